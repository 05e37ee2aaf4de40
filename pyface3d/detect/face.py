"""A face found in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Face:
    """Where a face is, in pixels of the picture (middle of the first pixel at (0.5, 0.5)).

    Attributes:
        box: (x0, y0, x1, y1), outer edges; may reach over the picture's border.
        score: confidence in [0, 1]; comparable within one detector only.
        points5: (5, 2) float32: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner;
            NaN from a detector that gives none.
        detector: name of the detector, as given to `detect_faces`.
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
