"""3D face reconstruction that survives occlusion: kernels, head models, fitting and five published systems.

Importing this package costs nothing: sub-packages and the names below load torch on first use.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("pyface3d")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_LAZY = {
    "Reconstruction": "pyface3d.reconstruction",
    "load_face_model": "pyface3d.face_models",
    "read_image": "pyface3d.io.images",
    "reconstruct": "pyface3d.systems.fit",
}
_PACKAGES = (
    *("app", "data", "detect", "evaluate", "face_models", "fit", "geometry", "io", "losses", "networks"),
    *("ops", "render", "systems", "train"),
)

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _PACKAGES:
        return import_module(f"pyface3d.{name}")
    raise AttributeError(f"module 'pyface3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
