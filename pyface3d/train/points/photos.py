"""Annotated photos, cut as a detector would have them cut. They are looked at in training and never learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyface3d.face_models.landmarks import CROP_MARGIN
from pyface3d.train.cutting import cut_square

_ZOOM, _SHIFT = 0.1, 0.05


@dataclass(frozen=True)
class PhotoSet:
    """N crops (N, 3, S, S) uint8 and their landmarks (N, 68, 2) in fractions of the crop's side."""

    image: Tensor
    points: Tensor


def read_photos(folder: Path, size: int, count: int = 128, seed: int = 0) -> PhotoSet:
    """Crops about the annotated landmarks of a folder's photos, evenly chosen, jittered as by a detector.

    Args:
        folder: pictures and ``landmarks68.npz`` (see `pyface3d.evaluate.landmarks`).
        size: side of the crops in pixels.
        count: at most so many.
        seed: of the jitter.

    Raises:
        InputError: the folder or its annotation cannot be read.
    """
    from pyface3d.evaluate.landmarks import read_annotated_faces
    from pyface3d.io.images import read_image

    faces = read_annotated_faces(folder)
    faces = [faces[i * len(faces) // count] for i in range(count)] if len(faces) > count else faces
    rng = np.random.default_rng([seed, len(faces)])
    images, points = [], []
    for face in faces:
        image = torch.from_numpy(read_image(face.path)).permute(2, 0, 1)
        landmarks = torch.from_numpy(face.points.astype(np.float32))
        low, high = landmarks.amin(0), landmarks.amax(0)
        side = CROP_MARGIN * float((high - low).max()) * float(np.exp(rng.normal(0, _ZOOM)))
        middle = (low + high) / 2 + side * torch.from_numpy(rng.normal(0, _SHIFT, 2)).float()
        images.append(cut_square(image, middle, side, size))
        points.append((landmarks - middle) / side + 0.5)
    return PhotoSet(torch.stack(images), torch.stack(points))
