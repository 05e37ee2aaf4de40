"""The five-point alignment: the 224 px crop that the regressor looks at, and landmarks there and back.

`detect.crops.occlusion_robust_crop` cuts the same pixels with an exact inverse; take that to bring points back. What is
here beside it is the published bookkeeping, whose rounding is in every published figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import (
    ALIGNED_SIZE,
    PIXELS_PER_UNIT,
    Crop,
    FivePointPlacement,
    Points,
    align_five_points,
    occlusion_robust_crop,
)


@dataclass(frozen=True, eq=False)
class FivePointAlignment:
    """How one picture is aligned.

    Attributes:
        crop: the exact map from the picture to the 224 px crop, in this package's pixels.
        placement: the published numbers that it is made of.
        width, height: of the picture.
    """

    crop: Crop
    placement: FivePointPlacement
    width: int
    height: int

    @classmethod
    def of(cls, points5: Points, width: int, height: int) -> FivePointAlignment:
        """Align a picture of ``width`` by ``height`` px by five points (5, 2) px, first pixel's middle at (0.5, 0.5):
        image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.

        Raises:
            InputError: points that are not finite, coincide, or do not belong to a picture of that size.
        """
        crop = occlusion_robust_crop(points5, width, height)
        return cls(crop, align_five_points(points5, width, height), width, height)

    @property
    def record(self) -> tuple[int, int, int, int, int, float, float]:
        """What the published program keeps to bring landmarks back: left, right, upper and lower edge of the crop in
        whole pixels of the picture, the crop's size, and by how much the picture was moved to the left and up."""
        _, shift, resized, corner = self.placement
        factor = (self.width, self.height) / resized
        low, high = (np.rint(factor * edge).astype(int) for edge in (corner, corner + ALIGNED_SIZE))
        moved = float(shift[0] - self.width / 2), float(self.height / 2 - shift[1])
        return int(low[0]), int(high[0]), int(low[1]), int(high[1]), ALIGNED_SIZE, *moved

    def published_landmarks(self, points: Points) -> NDArray[np.float64]:
        """Landmarks (…, 2) of the picture in the crop as the published labels are made, published px, y up.

        The unrounded scale is used on both axes, so that they lie up to 1.2 px beside where the crop shows them.
        """
        points = np.asarray(points, np.float64) - 0.5
        upward = np.stack([points[..., 0], self.height - 1 - points[..., 1]], axis=-1)
        scale, shift, resized, _ = self.placement
        edge = resized / 2 - ALIGNED_SIZE / 2  # not cut down to whole pixels here
        return (upward - shift + np.array([self.width, self.height]) / 2) * PIXELS_PER_UNIT / scale - edge

    def published_to_image(self, points: Points) -> NDArray[np.float64]:
        """Landmarks (…, 2) of the crop, published px and y down, in the picture by `record`, published px.

        The edges' rounding leaves up to about 1.2 px; ``crop.to_image`` leaves none.
        """
        left, right, upper, lower, size, right_by, down_by = self.record
        factor = np.array([right - left, lower - upper]) / size
        return np.asarray(points, np.float64) * factor + (left + right_by, upper + down_by)


def published_rows(points_up: Points) -> NDArray[np.float64]:
    """Published landmarks (…, 2), y up, with y as rows of the crop from above: 223 − y."""
    points = np.asarray(points_up, np.float64)
    return np.stack([points[..., 0], ALIGNED_SIZE - 1 - points[..., 1]], axis=-1)
