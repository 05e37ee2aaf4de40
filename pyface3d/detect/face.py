"""A face found in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points, check_landmarks


@dataclass(frozen=True, eq=False)
class Face:
    """Where a face is, in pixels of the picture (middle of the first pixel at (0.5, 0.5)).

    Attributes:
        box: (x0, y0, x1, y1), outer edges; may reach over the picture's border.
        score: confidence in [0, 1]; comparable within one detector only.
        points5: (5, 2) float32: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner;
            NaN from a detector that gives none.
        detector: whose box this is: "mtcnn", "dlib", "dlib-cnn", "retinaface", "faceboxes", or "landmarks".
    """

    box: tuple[float, float, float, float]
    score: float
    points5: NDArray[np.float32]
    detector: str

    @property
    def size(self) -> float:
        """Geometric mean of the box's width and height, in pixels."""
        x0, y0, x1, y1 = self.box
        return float(np.sqrt(max(x1 - x0, 0.0) * max(y1 - y0, 0.0)))

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the box, in pixels."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2


def face_from_landmarks(points: Points, score: float = 1.0) -> Face:
    """The face that 68 given landmarks (px) belong to; its box is tight about them."""
    points = check_landmarks(points)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    box = float(x0), float(y0), float(x1), float(y1)
    return Face(box, score, five_points(points).astype(np.float32), "landmarks")


def five_points(points: Points) -> Points:
    """Eyes (means of their six points), nose tip and mouth corners (…, 5, 2) of 68 landmarks (…, 68, 2)."""
    eyes = points[..., 36:48, :].reshape(*points.shape[:-2], 2, 6, 2).mean(axis=-2)
    return np.concatenate([eyes, points[..., [30, 48, 54], :]], axis=-2)


def face_roll(points5: Points) -> float:
    """In-plane rotation in radians, clockwise in the picture: the way from between the eyes to the mouth's middle.

    The line between the eyes would serve as well on frontal faces, but turns with the head where one eye is guessed.
    """
    down = (points5[3] + points5[4] - points5[0] - points5[1]) / 2
    return float(np.arctan2(-down[0], down[1]))
