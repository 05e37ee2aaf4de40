"""What this machine has, what is missing, and what to do about it.

Exit code 0 when reconstructing photos will work, 1 when something it needs is missing.

examples:
  pyface3d doctor
"""

from __future__ import annotations

import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import pyface3d
from pyface3d.cli import EXIT_FAILED, EXIT_OK

_GOOD, _OPTIONAL, _BAD = "ok", "--", "!!"

# Distribution, module, what it is for; of the extras also how to get it.
_NEEDED = (
    ("numpy", "numpy", "arrays"),
    ("scipy", "scipy", "sparse solvers"),
    ("pillow", "PIL", "reading and writing pictures"),
    ("opencv-python-headless", "cv2", "image filters"),
    ("safetensors", "safetensors", "models and weights"),
    ("tqdm", "tqdm", "progress bar"),
    ("dlib-bin", "dlib", "its detectors and landmarks"),
)
_EXTRAS = (("pytest", "pytest", "the tests", "pip install 'pyface3d[test]'"),)


@dataclass(frozen=True)
class Command:
    def run(self) -> int:
        missing = False
        for check in (_system, _torch, _kernels, _models, _landmarks, _packages):
            for mark, what, state in _guarded(check):
                print(f"{mark:2} {what:22} {state}")
                missing |= mark == _BAD
        print()
        print(
            "something that is needed is missing: see the lines with !!" if missing else "ready to reconstruct photos"
        )
        return EXIT_FAILED if missing else EXIT_OK


Line = tuple[str, str, str]


def _guarded(check: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """A part that breaks must not keep the others from being seen: finding what is broken is the point."""
    try:
        yield from check()
    except Exception as error:
        yield _BAD, check.__name__.strip("_"), f"{type(error).__name__}: {error}"


def _system() -> Iterator[Line]:
    yield _GOOD, "pyface3d", f"{pyface3d.__version__}, {os.path.dirname(pyface3d.__file__)}"
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    state = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield (_GOOD, "Python", state) if supported else (_BAD, "Python", f"{state}; install Python 3.10 to 3.13")


def _torch() -> Iterator[Line]:
    if find_spec("torch") is None:
        yield _BAD, "torch", "not installed; pip install torch (see pytorch.org for CUDA builds)"
        return
    import torch

    yield _GOOD, "torch", f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} processors"
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
        yield _GOOD, "CUDA device", ", ".join(sorted(names))
    elif torch.version.cuda is None:
        yield _OPTIONAL, "CUDA device", "this torch is a CPU build; for a GPU install a CUDA build from pytorch.org"
    else:
        yield _OPTIONAL, "CUDA device", f"none works, although torch has CUDA {torch.version.cuda}; check the driver"


def _kernels() -> Iterator[Line]:
    from pyface3d.errors import Pyface3dError
    from pyface3d.ops._kernels import cpu_kernels, cuda_state

    try:
        module = cpu_kernels()
        isa = module.__name__.rpartition("_cpu_")[2]
        yield _GOOD, "CPU kernels", f"{isa}, of {', '.join(module.supported())} that this processor has"
    except Pyface3dError as error:
        yield _BAD, "CPU kernels", str(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sentence below says it
        state = cuda_state()
    yield _GOOD if "device(s)" in state else _OPTIONAL, "CUDA kernels", state


def _models() -> Iterator[Line]:
    from pyface3d.errors import AssetError
    from pyface3d.io.weights import list_assets

    assets = list_assets()
    for asset in assets:
        try:
            asset.verify()
            yield _GOOD, f"model {asset.card.name}", f"{asset.path.stat().st_size / 2**20:.1f} MB, {asset.card.licence}"
        except AssetError as error:
            yield _BAD, f"model {asset.card.name}", str(error)
    for name in ("head", "mtcnn", "face_points"):
        if name not in {asset.card.name for asset in assets}:
            yield _BAD, f"model {name}", "missing; reinstall pyface3d"
    if "face_parts" not in {asset.card.name for asset in assets}:
        yield _OPTIONAL, "model face_parts", "missing: what hides a face is told by colour alone, segment does not work"


def _landmarks() -> Iterator[Line]:
    from pyface3d.detect.dlib_models import model_path
    from pyface3d.errors import AssetError

    try:
        path = model_path("shape_predictor_68_face_landmarks.dat")
        yield _GOOD, "dlib's landmarks", f"{path.stat().st_size / 2**20:.0f} MB; research use; --predictor dlib"
    except AssetError as error:
        yield _OPTIONAL, "dlib's landmarks", f"{error}; for --predictor dlib"


def _packages() -> Iterator[Line]:
    for package, module, purpose in _NEEDED:
        if find_spec(module) is None:
            yield _BAD, package, f"not installed; needed for {purpose}; pip install {package}"
        else:
            yield _GOOD, package, f"{_version(package)}; {purpose}"
    for package, module, purpose, remedy in _EXTRAS:
        if find_spec(module) is None:
            yield _OPTIONAL, package, f"not installed; for {purpose}: {remedy}"
        else:
            yield _GOOD, package, f"{_version(package)}; {purpose}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from another distribution"
