"""The arrays of a MATLAB or HDF5 file that holds a face model, looked at before use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.errors import AssetError
from pyface3d.face_models.base import LandmarkEmbedding


class MatlabArrays:
    """The arrays of one file by name; everything asked for is checked, and what is wrong is named with the file."""

    def __init__(self, path: Path, fields: Mapping[str, Any]) -> None:
        self.path, self.fields = path, fields

    def numbers(self, key: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """The array of that shape; sides of one entry do not count, as MATLAB has no vectors."""
        value = self.fields.get(key)
        self.want(isinstance(value, np.ndarray), f"array {key!r} is missing")
        assert isinstance(value, np.ndarray)
        given = value.shape
        if value.ndim > len(shape):
            value = value.reshape([side for side in given if side != 1] or [1])
        if value.ndim < len(shape):
            value = value.reshape(*value.shape, *(1,) * (len(shape) - value.ndim))
        fits = value.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, value.shape))
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        self.want(fits, f"{key} must have shape ({wanted}), got {given}")
        return value

    def reals(
        self,
        key: str,
        shape: tuple[int | None, ...],
        rows: NDArray[np.int64] | None = None,
        columns: int | None = None,
    ) -> NDArray[np.float32]:
        """As float32; of a matrix only these ``rows`` and the first ``columns``, where given."""
        value = self.numbers(key, shape)
        if rows is not None:
            value = value[rows]
        if columns is not None:
            value = value[:, :columns]
        with np.errstate(over="ignore"):
            value = value.astype(np.float32)
        self.want(bool(np.isfinite(value).all()), f"{key} holds NaN or infinity")
        return value

    def indices(self, key: str, shape: tuple[int | None, ...], limit: int, first: int = 1) -> NDArray[np.int64]:
        """``limit`` different indices, from ``first`` on in the file, from 0 here."""
        value = self.numbers(key, shape)
        whole = value.astype(np.int64) if np.isfinite(value).all() else np.zeros(1, np.int64)
        self.want(bool((whole == value).all()), f"{key} must hold whole numbers")
        low, high = (int(whole.min()), int(whole.max())) if whole.size else (first, first)
        last = limit - 1 + first
        self.want(low >= first and high <= last, f"{key} must lie in {first} to {last}, got {low} to {high}")
        return whole - first

    def size(self, key: str) -> int:
        value = self.fields.get(key)
        self.want(isinstance(value, np.ndarray), f"array {key!r} is missing")
        assert isinstance(value, np.ndarray)
        self.want(value.size > 0 and value.size % 3 == 0, f"{key} must hold x, y, z in turn, got {value.size} numbers")
        return value.size

    def want(self, condition: bool, problem: str) -> None:
        if not condition:
            raise AssetError(f"{self.path}: {problem}; get the file again")


def scaled_basis(path: Path, name: str, columns: NDArray[np.float32], sigma: NDArray[np.float32]) -> torch.Tensor:
    """Columns (3V, C) times their σ, as (C, V, 3)."""
    if columns.shape[1] < len(sigma) or not len(sigma):
        raise AssetError(f"{path}: {name} has {columns.shape[1]} components but {len(sigma)} σ; get the file again")
    with np.errstate(over="ignore"):
        scaled = columns.T[: len(sigma)] * sigma[:, None]
    if not np.isfinite(scaled).all():
        raise AssetError(f"{path}: {name} components times their σ are not finite; get the file again")
    return torch.from_numpy(np.ascontiguousarray(scaled)).unflatten(1, (-1, 3))


def landmarks_at_vertices(path: Path, vertices: NDArray[np.int64], faces: NDArray[np.int64]) -> LandmarkEmbedding:
    """Landmarks that are vertices, each on the first triangle that has it as a corner."""
    corner = np.full(int(faces.max(initial=-1)) + 1, -1, np.int64)
    flat = faces.ravel()[::-1]
    corner[flat] = np.arange(len(flat))[::-1]  # of equal indices numpy keeps the last assignment: the first corner
    found = np.array([corner[v] if v < len(corner) else -1 for v in vertices.tolist()])
    if (found < 0).any():
        raise AssetError(f"{path}: landmark vertex {vertices[found < 0][0] + 1} is on no triangle; get the file again")
    weights = np.zeros((len(vertices), 3), np.float32)
    weights[np.arange(len(vertices)), found % 3] = 1.0
    return LandmarkEmbedding(torch.from_numpy(found // 3), torch.from_numpy(weights))


def rows_of(vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of x, y, z in arrays of interleaved coordinates."""
    return (3 * vertices[:, None] + np.arange(3)).ravel()
