"""Landmarks of many pictures as one array: predictions and truths of the AFLW2000-3D protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.io.arrays import read_npy
from pyface3d.io.matlab import read_matlab

NUM_LANDMARKS = 68
_SUFFIXES = (".npy", ".npz", ".mat")


def read_landmark_arrays(path: Path, count: int) -> dict[str, NDArray[np.float64]]:
    """Every array of a file that holds 68 landmarks of ``count`` pictures.

    Args:
        path: ``.npy`` with one array, ``.npz`` or ``.mat`` with any number.
        count: of pictures.

    Returns:
        (count, 68, 2) each, in the file's own pixels, by the array's name ("" in an ``.npy``). (count, 2, 68) and a
        third coordinate are understood; the third is dropped. A picture without landmarks is NaN.

    Raises:
        InputError: the file is missing, damaged, of another kind, or has no such array; it says what it has.
        AssetError: a damaged ``.mat``.
    """
    content = _content(path)
    found = {name: _landmarks(value) for name, value in content.items() if _fits(value, count)}
    if not found:
        shapes = ", ".join(f"{name or 'the array'} {np.shape(value)}" for name, value in list(content.items())[:6])
        raise InputError(
            f"{path} must hold landmarks of shape ({count}, 68, 2) or ({count}, 2, 68), got {shapes or 'no arrays'}"
        )
    return found


def read_numbers(path: Path, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """The array of an ``.npy`` file; None in ``shape`` stands for any length.

    Raises:
        InputError: the file is missing, damaged, or of another shape.
    """
    value = _content(path)[""]
    if value.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, value.shape)):
        wanted = ", ".join("N" if side is None else str(side) for side in shape)
        raise InputError(f"{path} must have shape ({wanted}), got {value.shape}")
    if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise InputError(f"{path} must hold finite numbers, got {value.dtype}")
    return value.astype(np.float64)


def _content(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} must end in {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    if path.suffix == ".mat":
        fields = read_matlab(path, "landmarks")
        return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    if path.suffix == ".npy":
        return {"": read_npy(path)}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged file raises whatever zipfile or numpy stumble over
        raise InputError(f"cannot read {path} ({error}); save it with numpy.save or numpy.savez") from error


def _fits(value: NDArray[Any], count: int) -> bool:
    shape = value.shape
    return (
        value.dtype.kind in "fiu"
        and len(shape) == 3
        and shape[0] == count
        and ((shape[1] == NUM_LANDMARKS and shape[2] in (2, 3)) or (shape[1] in (2, 3) and shape[2] == NUM_LANDMARKS))
    )


def _landmarks(value: NDArray[Any]) -> NDArray[np.float64]:
    points = value if value.shape[1] == NUM_LANDMARKS else value.transpose(0, 2, 1)
    return points[..., :2].astype(np.float64)
