"""What the batch run wants of a system: results that become files, and options that every run has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError

THUMBNAIL = 256
"""Longest side of a thumbnail, px."""


class Result(Protocol):
    """What a system makes of one face of a picture."""

    def record(self) -> dict[str, Any]:
        """Plain values for ``<stem>.json``; ``quality`` in it goes to the report too."""
        ...


class Writer(Protocol):
    """How the results of a system become files."""

    def files(self, stem: str, result: Any, image: NDArray[np.uint8]) -> Iterable[tuple[str, bytes]]:
        """Name and content of each file of a face but the JSON; the names begin with ``stem``."""
        ...

    def pictures(self, result: Any, image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Thumbnails for the report by what they show, at most `THUMBNAIL` px."""
        ...


System = Callable[..., Sequence[Result]]
"""From a picture (H, W, 3) uint8 sRGB and its 68 landmarks, None unless the user gave them, to one result per face.

Where the user drew what hides the face, that mask (H, W) bool is a third argument.
"""


@dataclass(frozen=True)
class RunOptions:
    """How a run works, whatever its system makes; see `BatchOptions` for meshes.

    Attributes:
        pictures: draw the thumbnails of the report.
        batch: pictures that the system works on at the same time.
        workers: threads that read ahead, and as many that write.
        resume: skip pictures whose outputs are complete and were made from the same file with the same options.
        landmarks: folder with landmarks of the pictures, ``<stem of the picture>.pts|.txt|.csv|.npy``.
        occluders: folder with masks of what hides faces, ``<stem of the picture>_occ.png``, white on what hides, for
            any of the pictures.
        max_faces: of more faces in a picture the first so many are kept, and the row has a note; None keeps all.
        settings: whatever else the results depend on (system, model, options); a resumed run must have the same.
    """

    pictures: bool = True
    batch: int = 1
    workers: int = 2
    resume: bool = False
    landmarks: Path | None = None
    occluders: Path | None = None
    max_faces: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("batch", "workers", "max_faces"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("landmarks", "occluders"):
            folder = getattr(self, name)
            if folder is not None and not folder.is_dir():
                raise InputError(f"{name} must be a folder, got {folder}")

    def affecting_files(self) -> dict[str, Any]:
        """What decides the bytes that are written."""
        return {"pictures": self.pictures, "max_faces": self.max_faces, **self.settings}

    def writer(self) -> Writer:
        """How the results become files."""
        raise NotImplementedError(f"{type(self).__name__} must say how its results become files")


def around(box: tuple[float, float, float, float], image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """A square around a face with room for the head, clipped to the picture; x0, y0, x1, y1 px."""
    x0, y0, x1, y1 = box
    half = 0.95 * max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 - 0.1 * half
    height, width = image.shape[:2]
    left, right = (int(np.clip(value, 0, width)) for value in (x - half, x + half))
    top, bottom = (int(np.clip(value, 0, height)) for value in (y - half, y + half))
    if right - left < 2 or bottom - top < 2:  # a box outside the picture
        return 0, 0, width, height
    return left, top, right, bottom
