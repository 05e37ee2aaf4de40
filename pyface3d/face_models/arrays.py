"""Arrays of a ``.npz`` file from outside, checked against a schema before anything is used."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import AssetError

Field = tuple[str, tuple[int | str, ...]]
"""What an array must be: numpy kinds allowed ("f" real, "iu" integer, "U" text) and its shape.

A name in the shape stands for a size that must be the same wherever the name occurs.
"""

_UNPACKED_PER_BYTE, _ALWAYS_UNPACKED = 64, 64 * 2**20  # a small file may not unpack into gigabytes


def read_arrays(path: Path, schema: Mapping[str, Field], what: str) -> dict[str, NDArray[Any]]:
    """Read every array of ``schema``; others are left alone.

    Args:
        what: what the file should be, for the messages.

    Raises:
        AssetError: the file is damaged, too large when unpacked, or does not follow the schema.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        limit = _ALWAYS_UNPACKED + _UNPACKED_PER_BYTE * path.stat().st_size
        if unpacked > limit:
            raise AssetError(f"{path} unpacks to {unpacked >> 20} MiB, more than {what} can be; get the file again")
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in schema if key in data.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        if isinstance(error, AssetError):
            raise
        raise AssetError(f"cannot read {path} as {what} ({error}); get the file again") from error
    sizes: dict[str, int] = {}
    for key, (kinds, shape) in schema.items():
        if key not in arrays:
            raise AssetError(f"{path}: array {key!r} is missing, so it is not {what}; get the file again")
        _check(path, key, arrays[key], kinds, shape, sizes)
    return arrays


def other_arrays(path: Path, schema: Mapping[str, Field]) -> list[str]:
    """Names of arrays in the file that the schema does not have."""
    with np.load(path, allow_pickle=False) as data:
        return sorted(set(data.files) - set(schema))


def check_index(path: Path, key: str, index: NDArray[Any], limit: int, lowest: int = 0) -> NDArray[np.int64]:
    """``index`` as int64, after a look at its range."""
    low, high = (int(index.min()), int(index.max())) if index.size else (lowest, lowest)
    if index.size and (low < lowest or high >= limit):
        raise AssetError(f"{path}: {key} must lie in [{lowest}, {limit}), got {low} to {high}; get the file again")
    return index.astype(np.int64)


def _check(
    path: Path, key: str, array: NDArray[Any], kinds: str, shape: tuple[int | str, ...], sizes: dict[str, int]
) -> None:
    if array.dtype.kind not in kinds:
        words = {"f": "real numbers", "iu": "integers", "U": "text"}[kinds]
        raise AssetError(f"{path}: {key} must hold {words}, got dtype {array.dtype}; get the file again")
    fits = array.ndim == len(shape)
    if fits:
        for want, got in zip(shape, array.shape):
            fits &= got == (sizes.setdefault(want, got) if isinstance(want, str) else want)
    if not fits:
        wanted = ", ".join(str(sizes.get(size, size)) if isinstance(size, str) else str(size) for size in shape)
        raise AssetError(f"{path}: {key} must have shape ({wanted}), got {array.shape}; get the file again")
    if kinds == "f" and not np.isfinite(array).all():
        raise AssetError(f"{path}: {key} holds NaN or infinity; get the file again")
