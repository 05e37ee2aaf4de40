"""Parametric heads: the embedded one, and readers of those that others publish.

To add a model, write a module with a function that returns a `FaceModel`, and name it in ``_BY_NAME`` (it needs no
file) or in ``_READERS`` (it is told apart by its file).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from pyface3d.errors import InputError
from pyface3d.face_models.base import FaceModel, LandmarkEmbedding
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
    "LandmarkEmbedding",
    "LinearFaceModel",
    "load_face_model",
    "read_face_model",
    "save_face_model",
    "subdivide_model",
]

_BY_NAME: dict[str, Callable[[], FaceModel]] = {"head": load_head}

_READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path], FaceModel]], ...] = (
    (lambda path: path.suffix == ".safetensors", read_face_model),
    (lambda path: path.is_dir() or (path.suffix == ".npz" and "ict" in path.stem.lower()), read_ict),
)
"""What a path looks like, and what reads it; the first that fits is used."""

MAX_LEVEL = 2


def load_face_model(name_or_path: str | os.PathLike[str] = "head", level: int = 0) -> FaceModel:
    """A face model by name or from a file; loaded once per process, so treat it as read-only.

    Args:
        name_or_path: ``"head"``, or a path: our own ``.safetensors``.
        level: how often each triangle is cut into four (0 to 2); linear models only.

    Returns:
        The model, float32 on the CPU; `FaceModel.to` moves it.

    Raises:
        InputError: no such name or file, or a level the model cannot have.
        AssetError: the file is damaged or inconsistent.
    """
    name = os.fspath(name_or_path)
    if name in _BY_NAME:
        return _load(name, None, level)
    path = Path(name)
    if not path.exists():
        known = ", ".join(_BY_NAME)
        raise InputError(f"no face model is called {name!r} and no such file exists; names are: {known}")
    return _load(str(path.resolve()), path.stat().st_mtime_ns, level)


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
        return _BY_NAME[name]()
    for fits, read in _READERS:
        if fits(Path(name)):
            return read(Path(name))
    raise InputError(f"{name} is of no kind of face model that is known here; give a .safetensors file")
