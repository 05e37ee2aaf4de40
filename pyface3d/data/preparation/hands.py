"""Flat hands painted over an aligned face: the occluders of the published stage 1.

Source: Ju et al., "Complete Face Recovery GAN" (WACV 2022), section 3.1, and its script. Repaired here: landmarks are
no longer cut to 8 bits (points outside the picture came back on its other side), the window that a colour is read from
is clipped to the picture (an empty one gave black), a hand that reaches over an edge loses the part beyond it (it was
moved), and a landmark outside the picture carries no hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError

TWO_HANDS = 0.2
"""Share of the pictures that get a second hand."""
SMALLEST, LARGEST, SHIFT = 0.25, 0.67, 0.09
"""Least and greatest side of the first hand (the second has the least) and the greatest shift, in picture sides."""
MAX_ANGLE = 90
_WINDOW = 20  # px to either side of the landmark, where the colour is read
_SIDE = 150  # px of a silhouette

Silhouette = NDArray[np.float32]


@dataclass(frozen=True)
class HandPlacement:
    """Where one hand goes.

    Attributes:
        landmark: of the 68, which it lies on.
        width, height: px that the silhouette takes.
        angle: degrees, anticlockwise in the picture.
        shift: (x, y) px from the landmark.
    """

    landmark: int
    width: int
    height: int
    angle: int
    shift: tuple[int, int]


def draw_hands(draw: np.random.Generator, size: int) -> list[HandPlacement]:
    """One hand or two for a picture of ``size`` px, as the published script draws them."""
    low, high, shift = int(SMALLEST * size), int(LARGEST * size), int(SHIFT * size)
    placements = []
    for number in range(1 + int(draw.random() < TWO_HANDS)):
        width, height = (int(side) for side in draw.integers(low, high + 1, 2)) if number == 0 else (low, low)
        landmark, angle = int(draw.integers(68)), int(draw.integers(-MAX_ANGLE, MAX_ANGLE + 1))
        right, down = (int(step) for step in draw.integers(-shift, shift + 1, 2))
        placements.append(HandPlacement(landmark, width, height, angle, (right, down)))
    return placements


def paint_hands(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    placements: list[HandPlacement],
    silhouette: Silhouette,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Paint hands in turn, each in the mean colour about its landmark.

    Args:
        image: (S, S, 3) uint8.
        landmarks: (68, 2) px, the middle of the first pixel at 0.5.
        placements: of `draw_hands`; those on a landmark outside the picture are left out.
        silhouette: (h, w) float32, 1 where the hand is; only pixels that are 1 after scaling and turning are painted.

    Returns:
        The painted copy, and (S, S) bool, True where a hand is.
    """
    painted, mask = image.copy(), np.zeros(image.shape[:2], bool)
    height, width = image.shape[:2]
    for one in placements:
        # Outside the picture, or no number: the comparison is false for NaN.
        x, y = float(landmarks[one.landmark, 0]), float(landmarks[one.landmark, 1])
        if not (0 <= x < width and 0 <= y < height):
            continue
        column, row = int(x), int(y)
        window = painted[max(row - _WINDOW, 0) : row + _WINDOW, max(column - _WINDOW, 0) : column + _WINDOW]
        colour = window.reshape(-1, 3).mean(axis=0)
        shape = _turned(silhouette, one)
        left, top = column + one.shift[0] - one.width // 2, row + one.shift[1] - one.height // 2
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + one.width, width), min(top + one.height, height)
        if x0 >= x1 or y0 >= y1:
            continue
        hand = np.zeros_like(mask)
        hand[y0:y1, x0:x1] = shape[y0 - top : y1 - top, x0 - left : x1 - left]
        painted[hand] = np.rint(colour).astype(np.uint8)
        mask |= hand
    return painted, mask


def _turned(silhouette: Silhouette, one: HandPlacement) -> NDArray[np.bool_]:
    """Scaled and turned about its middle on a canvas of its own size, which cuts corners; True where wholly inside."""
    scaled = cv2.resize(silhouette, (one.width, one.height), interpolation=cv2.INTER_LINEAR)
    turn = cv2.getRotationMatrix2D((one.width // 2, one.height // 2), one.angle, 1.0)
    turned = cv2.warpAffine(scaled, turn, (one.width, one.height), flags=cv2.INTER_LINEAR)
    return np.asarray(turned > 1 - 1e-4)  # 1 up to the rounding of the bilinear weights


@lru_cache(maxsize=1)
def open_hand() -> Silhouette:
    """An open hand with spread fingers from edge to edge of 150 × 150 px, drawn from a palm and five fingers."""
    fine = 8
    canvas = np.zeros((_SIDE * fine, _SIDE * fine), np.uint8)
    # Fingers as (x, y, x, y, width) in sides of the picture.
    palm = np.array([(0.25, 0.48), (0.36, 0.44), (0.52, 0.42), (0.68, 0.46), (0.79, 0.62), (0.68, 0.86), (0.62, 1.0)])
    palm = np.concatenate([palm, [(0.35, 1.0), (0.31, 0.84), (0.23, 0.66)]])
    bones = [
        (0.29, 0.58, 0.06, 0.35, 0.115),
        (0.35, 0.52, 0.26, 0.12, 0.125),
        (0.49, 0.48, 0.50, 0.065, 0.135),
        (0.62, 0.52, 0.74, 0.13, 0.125),
        (0.68, 0.78, 0.935, 0.50, 0.13),
    ]
    side = _SIDE * fine
    cv2.fillPoly(canvas, [np.rint(palm * side).astype(np.int32)], 255)
    for x0, y0, x1, y1, width in bones:
        ends = [(round(x * side), round(y * side)) for x, y in ((x0, y0), (x1, y1))]
        cv2.line(canvas, ends[0], ends[1], 255, round(width * side), cv2.LINE_8)
        for end in ends:
            cv2.circle(canvas, end, round(width * side / 2), 255, -1)
    small = cv2.resize(canvas, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return (small >= 128).astype(np.float32)


def read_silhouette(path: Path) -> Silhouette:
    """A silhouette (h, w): an ``.npy`` of 0 and 1 (such as the published ``hand.npy``), or a grey or RGBA picture of
    which the bright or opaque part is the hand.

    Raises:
        InputError: the file is missing, damaged, or has no shape in it.
    """
    if path.suffix.lower() == ".npy":
        from pyface3d.io.arrays import read_npy

        values = np.squeeze(read_npy(path))
        if values.ndim != 2 or values.dtype.kind not in "fiub":
            raise InputError(f"{path} must hold a silhouette of shape (h, w), got {values.shape} {values.dtype}")
        inside = values >= 0.5 * max(float(values.max(initial=0)), 1e-9)
    else:
        from PIL import Image

        try:
            with Image.open(path) as picture:
                band = picture.getchannel("A") if "A" in picture.getbands() else picture.convert("L")
                inside = np.asarray(band) >= 128
        except Exception as error:  # whatever the decoder stumbles over
            raise InputError(f"{path} cannot be read as a silhouette ({error}); give .npy or a picture") from error
    if not inside.any() or min(inside.shape) < 2 or max(inside.shape) > 4096:
        raise InputError(f"{path} holds no silhouette: {inside.shape[1]} x {inside.shape[0]} px, nothing inside")
    return inside.astype(np.float32)
