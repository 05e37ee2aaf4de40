"""Pictures whose 68 landmarks are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points
from pyface3d.detect.face import Face
from pyface3d.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class AnnotatedFace:
    """One annotated picture: its path, split, and landmarks (68, 2) px, first pixel's middle at (0.5, 0.5)."""

    path: Path
    split: str
    points: NDArray[np.float32]


def read_annotated_faces(data_dir: Path) -> list[AnnotatedFace]:
    """The pictures and landmarks that ``landmarks68.npz`` of a folder lists.

    The file holds ``names`` (N,), ``pts`` (N, 68, 2) px with the first pixel's middle at 0, and optionally ``split``
    (N,).

    Raises:
        InputError: it is missing, damaged or of another layout.
    """
    path = data_dir / "landmarks68.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            names, points = archive["names"], archive["pts"]
            split = archive["split"] if "split" in archive else np.full(len(names), "all")
    except Exception as error:  # a damaged archive raises whatever zipfile or numpy stumble over
        raise InputError(f"cannot read {path}: {error}; it must hold names (N,) and pts (N, 68, 2)") from error
    if points.shape != (len(names), 68, 2) or split.shape != names.shape or not np.isfinite(points).all():
        raise InputError(f"{path} must hold names (N,) and finite pts (N, 68, 2), got pts of shape {points.shape}")
    if not len(names):
        raise InputError(f"{path} lists no pictures; give a folder with annotated faces")
    moved = points.astype(np.float32) + 0.5
    return [AnnotatedFace(data_dir / str(n), str(s), p) for n, s, p in zip(names, split, moved)]


def evenly(items: Sequence[T], limit: int | None) -> list[T]:
    """At most ``limit`` of ``items``, evenly spread over them; all where it is None.

    Raises:
        InputError: ``limit`` is less than 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}")
    count = len(items) if limit is None else min(limit, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def face_at(faces: list[Face], truth: Points) -> Face | None:
    """The one of ``faces`` whose centre is nearest to the middle of the true landmarks' box, if it lies in that box."""
    low, high = truth.min(axis=0), truth.max(axis=0)
    inside = [face for face in faces if (low < face.center).all() and (face.center < high).all()]
    middle = (low + high) / 2
    return min(inside, key=lambda face: float(np.linalg.norm(face.center - middle)), default=None)
