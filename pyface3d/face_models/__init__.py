"""Parametric heads: the embedded one, and readers of those that others publish.

To add a model, write a module with a function that returns a `FaceModel`, and name it in ``_SHIPPED`` (its file comes
with the package) or in ``_READERS`` (it is told apart by its file) and ``_PUBLISHED`` (so that it has a name as well).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from pyface3d.errors import InputError
from pyface3d.face_models.base import FaceModel, LandmarkEmbedding
from pyface3d.face_models.basel import EXPRESSION_FILE, RAW_FILE, TABLES_FILE, TRIMMED_FILES, is_basel, read_basel
from pyface3d.face_models.bfm_front import FRONT_FILES, is_bfm_front, read_bfm_front
from pyface3d.face_models.gnm import GnmFaceModel, read_gnm
from pyface3d.face_models.head import load_head
from pyface3d.face_models.ict import read_ict
from pyface3d.face_models.landmarks import IBUG68_FLIP, IBUG68_GROUPS, SCHEMES
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.face_models.storage import read_face_model, save_face_model
from pyface3d.face_models.subdivision import subdivide_model

__all__ = [
    "IBUG68_FLIP",
    "IBUG68_GROUPS",
    "SCHEMES",
    "FaceModel",
    "GnmFaceModel",
    "LandmarkEmbedding",
    "LinearFaceModel",
    "load_face_model",
    "read_face_model",
    "save_face_model",
    "subdivide_model",
]

_SHIPPED: dict[str, Callable[[], FaceModel]] = {"head": load_head}

_READERS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], FaceModel]]] = {
    "a .safetensors of ours": (lambda path: path.suffix == ".safetensors", read_face_model),
    f"{FRONT_FILES[0]} or {FRONT_FILES[1]} of Deng's face model": (is_bfm_front, read_bfm_front),
    f"{RAW_FILE} or {TRIMMED_FILES[0]} of the Basel Face Model": (is_basel, read_basel),
    "ICT-FaceKit's folder or .npz": (lambda path: path.is_dir() or _has_array(path, "neutral"), read_ict),
    "GNM's gnm_head.npz": (lambda path: _has_array(path, "template_vertex_positions"), read_gnm),
}
"""Kinds of files: what a path looks like, and what reads it; the first that fits is used."""

_PUBLISHED: dict[str, tuple[tuple[str, ...], str]] = {
    "ict": (
        ("ict_facekit/ict_facekit_light.npz", "ict_facekit", "ICT-FaceKit"),
        "github.com/ICT-VGL/ICT-FaceKit (MIT)",
    ),
    "gnm": (("gnm_head.npz",), "Google's release of GNM (Apache-2.0)"),
    "bfm09": (
        ("bfm09.safetensors", *TRIMMED_FILES, f"bfm09/{RAW_FILE}", f"PublicMM1/{RAW_FILE}", RAW_FILE),
        f"faces.dmi.unibas.ch (for research; {EXPRESSION_FILE} and {TABLES_FILE} go beside it: docs/face_models.md)",
    ),
    "bfm_front": (
        ("bfm_front.safetensors", *(f"bfm_front/{name}" for name in FRONT_FILES), *FRONT_FILES),
        "OR3D or Deng's Deep3DFaceReconstruction, or make it of the licensed parts (research: docs/face_models.md)",
    ),
}
"""Models of others by name: where their files are looked for under the folder ``PYFACE3D_MODELS``, and their source."""

MAX_LEVEL = 2


def load_face_model(name_or_path: str | os.PathLike[str] = "head", level: int = 0) -> FaceModel:
    """A face model by name or from a file; loaded once per process, so treat it as read-only.

    Args:
        name_or_path: ``"head"``; a path: our own ``.safetensors``, ICT-FaceKit's folder or ``.npz``, GNM's ``.npz``,
            the Basel Face Model's ``.mat`` or ``.h5`` or their folder, Deng's ``BFM_model_front.mat`` or its parts'
            folder; or ``"ict"``, ``"gnm"``, ``"bfm09"`` or ``"bfm_front"``, looked for in the folder that the
            environment variable PYFACE3D_MODELS names.
        level: how often each triangle is cut into four (0 to 2); linear models only.

    Returns:
        The model, float32 on the CPU; `FaceModel.to` moves it.

    Raises:
        InputError: no such name or file, or a level the model cannot have.
        AssetError: the file is damaged or inconsistent.
    """
    name = os.fspath(name_or_path)
    if name in _SHIPPED:
        return _load(name, None, level)
    path = _published(name) if name in _PUBLISHED else Path(name)
    if not path.exists():
        known = ", ".join([*_SHIPPED, *_PUBLISHED])
        raise InputError(f"no face model is called {name!r} and no such file exists; names are: {known}")
    return _load(str(path.resolve()), path.stat().st_mtime_ns, level)


def _published(name: str) -> Path:
    places, source = _PUBLISHED[name]
    folder = os.environ.get("PYFACE3D_MODELS")
    if folder is not None:
        for place in places:
            if (Path(folder) / place).exists():
                return Path(folder) / place
    raise InputError(
        f"face model {name!r} does not come with this package: get it from {source} and set PYFACE3D_MODELS to the "
        f"folder that holds {places[-1]}, or give its path"
    )


@lru_cache(maxsize=8)
def _load(name: str, modified_ns: int | None, level: int) -> FaceModel:
    if level not in range(MAX_LEVEL + 1):
        raise InputError(f"level must be 0 to {MAX_LEVEL}, got {level}")
    if level > 0:
        coarser = _load(name, modified_ns, level - 1)
        if not isinstance(coarser, LinearFaceModel):
            raise InputError(f"level must be 0 for model {coarser.name!r}, got {level}: only linear models subdivide")
        return subdivide_model(coarser)
    if modified_ns is None:
        return _SHIPPED[name]()
    for fits, read in _READERS.values():
        if fits(Path(name)):
            return read(Path(name))
    raise InputError(f"{name} is not a face model that is known here; give one of: {'; '.join(_READERS)}")


def _has_array(path: Path, key: str) -> bool:
    """Whether ``path`` is an ``.npz`` with such an array; a look at its table of contents."""
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return f"{key}.npy" in archive.namelist()
