"""Crops: an affine map from the picture to a network's input, its pixels, and the way back.

Points are pixels with the middle of the first pixel at (0.5, 0.5) on both sides. The published systems count that
middle as 0; the constructors convert, so that the pixels of a crop are those the original would have cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.face_models.landmarks import EXTREME3D_AFTER, EXTREME3D_BEFORE

Points = NDArray[np.floating]

# Below this scale plain bilinear sampling skips pixels of the picture.
_SHRINKING = 0.5


@dataclass(frozen=True, eq=False)
class Crop:
    """A rectangle cut out of a picture by an affine map.

    Attributes:
        matrix: (2, 3) float64, picture px to crop px: ``crop = matrix[:, :2] @ picture + matrix[:, 2]``.
        width, height: size of the crop in pixels.
    """

    matrix: NDArray[np.float64]
    width: int
    height: int

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise InputError(f"matrix must be finite, of shape (2, 3), got {self.matrix!r}")
        if abs(np.linalg.det(matrix[:, :2])) < 1e-12:
            raise InputError("the crop has no inverse: its landmarks or its box have no extent; give a real face")
        if self.width < 1 or self.height < 1:
            raise InputError(f"a crop must have at least one pixel, got {self.width} x {self.height}")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @cached_property
    def inverse(self) -> NDArray[np.float64]:
        """(2, 3) float64, crop px to picture px."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return np.concatenate([linear, (-linear @ self.matrix[:, 2])[:, None]], axis=1)

    @property
    def scale(self) -> float:
        """Crop pixels per picture pixel (geometric mean of the two axes)."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def to_crop(self, points: Points) -> NDArray[np.float64]:
        """Picture points (…, 2) px in the crop's pixels."""
        return np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_image(self, points: Points) -> NDArray[np.float64]:
        """Crop points (…, 2) px in the picture's pixels; undoes `to_crop`."""
        return np.asarray(points, np.float64) @ self.inverse[:, :2].T + self.inverse[:, 2]

    def warp(self, image: NDArray[Any], *, border: int | None = 0, antialias: bool = True) -> NDArray[Any]:
        """The crop's pixels, bilinear.

        Args:
            image: (H, W) or (H, W, C), uint8 or float32.
            border: value outside the picture; None repeats its edge.
            antialias: average over the pixels that a strongly shrinking crop would skip.

        Returns:
            (height, width) or (height, width, C), dtype of ``image``.
        """
        matrix, source = self.matrix, image
        if antialias and self.scale < _SHRINKING:
            source, matrix = self._shrunk(image)
        by_index = matrix.copy()  # OpenCV counts the middle of the first pixel as 0
        by_index[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return cv2.warpAffine(
            source,
            by_index,
            (self.width, self.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT,
            borderValue=(border or 0,) * 4,
        )

    def _shrunk(self, image: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The part of the picture under the crop, area-averaged to at most twice the crop's scale, and its map."""
        corners = self.to_image(np.array([[0, 0], [self.width, 0], [0, self.height], [self.width, self.height]]))
        limit = np.array(image.shape[1::-1])
        step = int(1 / self.scale)  # whole blocks of pixels, at most one crop pixel each
        low = np.clip(np.floor(corners.min(axis=0)) - 2 * step, 0, limit - 1).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 2 * step, low + 1, limit).astype(int)
        part = image[low[1] : high[1], low[0] : high[0]]
        size = np.maximum(np.round((high - low) / step), 1).astype(int)
        shrunk = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
        factor = (high - low) / size  # picture pixels per pixel of the shrunk part
        linear = self.matrix[:, :2] * factor
        return shrunk, np.concatenate([linear, (self.matrix[:, :2] @ low + self.matrix[:, 2])[:, None]], axis=1)


def square_crop(center: Points, side: float, size: int, *, roll: float = 0.0) -> Crop:
    """A square of the picture, upright or turned, scaled to ``size`` pixels.

    Args:
        center: (2,) px.
        side: of the square, px.
        size: of the crop, px.
        roll: angle in radians by which the face is turned clockwise in the picture; it stands upright in the crop.
    """
    if not (np.isfinite(side) and side > 0):
        raise InputError(f"side must be a positive number of pixels, got {side}")
    scale = size / side
    cos, sin = np.cos(roll), np.sin(roll)
    linear = scale * np.array([[cos, sin], [-sin, cos]])
    return Crop(np.concatenate([linear, (size / 2 - linear @ np.asarray(center))[:, None]], axis=1), size, size)


# Reference positions of five points (units of 100 mm, y up): image-left eye, image-right eye, nose, mouth corners.
# Reduced from the 68-point reference of the Deng et al. 2019 alignment, which two of the systems share.
FIVE_POINTS_3D = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
PIXELS_PER_UNIT = 102.0  # scale of the aligned face: focal length over distance of the systems' camera
ALIGNED_SIZE = 224


def extreme3d_crop(landmarks: Points, *, whole_pixels: bool = True) -> Crop:
    """The 500 × 500 crop of Extreme 3D Faces.

    Args:
        landmarks: (68, 2) px, iBUG order.
        whole_pixels: round each bound to a whole pixel, as the original does; width and height may then differ by one
            and the crop's two scales with them. Else the crop is a square: what a pinhole camera sees in it, another
            pinhole camera would see.
    """
    points = check_landmarks(landmarks) - 0.5
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2, (high - low).max() / 2
    start, stop = center - half * np.array(EXTREME3D_BEFORE), center + half * np.array(EXTREME3D_AFTER)
    if whole_pixels:
        start, stop = np.floor(start + 0.5), np.floor(stop + 0.5)
    if (stop <= start).any():
        raise InputError("the landmarks span less than a pixel; give the landmarks of a real face")
    scale = 500 / (stop - start)
    return Crop(np.column_stack([np.diag(scale), -scale * start]), 500, 500)


def occlusion_robust_crop(points5: Points, width: int, height: int) -> Crop:
    """The 224 × 224 crop of the occlusion-robust regressor and CFR-GAN.

    Args:
        points5: (5, 2) px: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
        width, height: size of the picture, which the original's rounding depends on.

    In-plane rotation stays: the crop is a shift and a scale. The original rounds the resized picture to whole pixels,
    so the two scales may differ by a fraction of a per cent.
    """
    aligned = align_five_points(points5, width, height)
    moved = np.array([aligned.shift[0] - width / 2, height / 2 - aligned.shift[1]])
    factor = aligned.resized / (width, height)
    return Crop(np.column_stack([np.diag(factor), -moved * factor - aligned.corner]), ALIGNED_SIZE, ALIGNED_SIZE)


class FivePointPlacement(NamedTuple):
    """How a picture is brought to the size and place of the aligned face; pixels count the first one's middle as 0.

    Attributes:
        scale: of the affine camera that sees the reference points where the face's are, px per unit.
        shift: where it sees their origin, (2,) px, y up.
        resized: width and height (2,) of the picture at the aligned face's size, whole pixels.
        corner: left and upper edge (2,) of the crop in it, whole pixels.
    """

    scale: float
    shift: NDArray[np.float64]
    resized: NDArray[np.float64]
    corner: NDArray[np.float64]


def align_five_points(points5: Points, width: int, height: int) -> FivePointPlacement:
    """The alignment of Deng et al. 2019 of a picture by five points; arguments as of `occlusion_robust_crop`."""
    points = check_points5(points5) - 0.5
    scale, shift = five_point_camera(np.column_stack([points[:, 0], height - 1 - points[:, 1]]))
    resized = resized_picture(np.array([width, height]), PIXELS_PER_UNIT / scale)
    return FivePointPlacement(scale, shift, resized, np.trunc(resized / 2 - ALIGNED_SIZE / 2))


def alignment_points(points: Points) -> NDArray[np.float64]:
    """The five points (…, 5, D) of 68 landmarks (…, 68, D) that `FIVE_POINTS_3D` stands for: each eye the middle of its
    two corners, the nose tip, the mouth corners."""
    points = np.asarray(points, np.float64)
    eyes = points[..., [36, 42], :] / 2 + points[..., [39, 45], :] / 2
    return np.concatenate([eyes, points[..., [30, 48, 54], :]], axis=-2)


def focus_crop(landmarks: Points, width: int, height: int) -> Crop:
    """The 224 × 224 crop of FOCUS.

    Args:
        landmarks: (68, 2) px, iBUG order; the eyes are the means of their two corners.
        width, height: size of the picture, which the original's rounding depends on.
    """
    five = alignment_points(check_landmarks(landmarks) - 0.5)
    scale, shift = five_point_camera(np.column_stack([five[:, 0], height - five[:, 1]]))
    size = np.array([width, height])
    factor = PIXELS_PER_UNIT / scale
    resized = resized_picture(size, factor)
    moved = np.array([shift[0] - width / 2, height / 2 - shift[1]])
    corner = np.trunc(resized / 2 - ALIGNED_SIZE / 2 + moved * factor)
    return Crop(np.column_stack([np.diag(resized / size), -corner]), ALIGNED_SIZE, ALIGNED_SIZE)


def temporal_deca_crop(
    landmarks: Points, *, scale: float = 1.25, enlarge: float = 1.1, shift: Points | None = None
) -> Crop:
    """The 224 × 224 crop of DECA about 68 landmarks.

    Args:
        landmarks: (68, 2) px, or any points whose tight box is wanted.
        scale: side of the square over the box's size: 1.25 for testing, 1.6 in the published evaluations, drawn from
            1.4…1.8 in training.
        enlarge: factor on the box's size before: 1.1 for testing, 1 for evaluation and training.
        shift: (2,), moves the centre by this fraction of the box's size (training).
    """
    points = np.asarray(landmarks, np.float64) - 0.5
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise InputError(f"landmarks must be finite, of shape (N, 2), got shape {points.shape}")
    low, high = points.min(axis=0), points.max(axis=0)
    return _deca_square(low, high, enlarge, (0.0, 0.0) if shift is None else shift, scale)


def temporal_deca_box_crop(box: tuple[float, float, float, float], *, scale: float = 1.25) -> Crop:
    """The 224 × 224 crop of DECA about a detector's box (x0, y0, x1, y1) px: a little lower than the box."""
    corners = np.asarray(box, np.float64) - 0.5
    return _deca_square(corners[:2], corners[2:], 1.0, (0.0, 0.12), scale)


def _deca_square(low: Points, high: Points, enlarge: float, shift: Points | tuple[float, float], scale: float) -> Crop:
    old = enlarge * float((high - low).sum()) / 2
    side = int(old * scale)
    if side < 1:
        raise InputError("the face's box has no extent; give the box or landmarks of a real face")
    start = (low + high) / 2 + np.asarray(shift) * old - side / 2
    # The square's corners go to the middles of the crop's corner pixels, hence 223 and the half pixels.
    factor = (ALIGNED_SIZE - 1) / side
    return Crop(np.column_stack([factor * np.eye(2), 0.5 - factor * (start + 0.5)]), ALIGNED_SIZE, ALIGNED_SIZE)


def five_point_camera(points_up: Points) -> tuple[float, NDArray[np.float64]]:
    """Scale and shift of the affine camera that sees the five reference points at (5, 2), y up (least squares)."""
    design = np.column_stack([FIVE_POINTS_3D, np.ones(5)])
    rows = np.linalg.lstsq(design, points_up, rcond=None)[0].T  # two rows of (r, t)
    scale = float(np.linalg.norm(rows[:, :3], axis=1).mean())
    if not scale > 1e-6:
        raise InputError("the five points coincide; give the landmarks of a real face")
    return scale, rows[:, 3]


def resized_picture(size: NDArray[np.int_], factor: float) -> NDArray[np.float64]:
    """Width and height (2,) of the picture made ``factor`` times as large, cut down to whole pixels."""
    resized = np.trunc(size * factor)
    if (resized < 1).any():
        raise InputError("the face is larger than the picture by far; check that the landmarks belong to it")
    return resized


def check_landmarks(landmarks: Points) -> NDArray[np.float64]:
    """``landmarks`` as float64 after checking that it is finite and (68, 2)."""
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError(f"landmarks must be finite, of shape (68, 2), got shape {points.shape}")
    return points


def check_points5(points5: Points) -> NDArray[np.float64]:
    """``points5`` as float64 after checking that it is finite and (5, 2)."""
    points = np.asarray(points5, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise InputError(f"points5 must be finite, of shape (5, 2), got shape {points.shape} (dlib gives no points)")
    return points
