"""Specks of a label map: islands too small to be what they are called.

A network decides pixel by pixel; a printed mouth on a mask, a bright spot in a lens or the bag under an eye makes an
island of another class. What is truly small on a face (an earring, the corner of an eye, a rim) is kept by a least
size of each class's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.part_labels import VISIBLE_FACE, FacePart

LEAST: Mapping[FacePart, float] = {
    FacePart.SKIN: 0.012,
    FacePart.EYE: 0.0015,
    FacePart.NOSE: 0.006,
    FacePart.LIP: 0.0015,
    FacePart.HAIR: 0.006,
    FacePart.GLASSES: 0.03,
    FacePart.OCCLUDER: 0.008,
    FacePart.BACKGROUND: 0.004,
}
"""Area that an island of a class must have, in shares of the landmarks' box taken square (`PARTS_MARGIN`)."""
PAIRED: Mapping[FacePart, float] = {FacePart.GLASSES: 0.2}
"""Classes of which one island that is large enough vouches for others: these need only this share of the area. A lens
that rims or hair cut off from its pair is no speck."""

_HIDDEN = tuple(part for part in FacePart if part not in VISIBLE_FACE)
_RING = np.ones((3, 3), np.uint8)


def decided(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Classes (H, W) of probabilities (12, H, W): first whether the face is seen, then which part, or what else."""
    seen = probabilities[[*VISIBLE_FACE]].sum(axis=0) > 0.5
    of_face = np.array(VISIBLE_FACE, np.uint8)[probabilities[[*VISIBLE_FACE]].argmax(axis=0)]
    of_rest = np.array(_HIDDEN, np.uint8)[probabilities[[*_HIDDEN]].argmax(axis=0)]
    return np.where(seen, of_face, of_rest)


def without_specks(
    probabilities: NDArray[np.float32], face_area: float, least: Mapping[FacePart, float] = LEAST
) -> NDArray[np.float32]:
    """Probabilities in which every speck is what is around it.

    A speck's pixels get the mean probabilities of the pixels along its border, less those of its own class.

    Args:
        probabilities: of each `FacePart`, (12, H, W).
        face_area: of the landmarks' box taken square, px.
        least: of the classes that can be specks.

    Returns:
        (12, H, W); the same array where there is no speck.
    """
    labels = decided(probabilities)
    result = probabilities
    for part, share in least.items():
        count, islands, stats, _ = cv2.connectedComponentsWithStats((labels == part).astype(np.uint8), connectivity=8)
        areas, needed = stats[1:count, cv2.CC_STAT_AREA], share * face_area
        if (areas >= needed).any():
            needed *= PAIRED.get(part, 1.0)
        for number in np.flatnonzero(areas < needed) + 1:
            left, top, width, height = stats[number, :4]
            near = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
            inside = islands[near] == number
            border = (cv2.dilate(inside.astype(np.uint8), _RING) > 0) & ~inside
            if not border.any():
                continue
            around = probabilities[(slice(None), *near)][:, border].mean(axis=1)
            around[part] = 0
            if result is probabilities:
                result = probabilities.copy()
            result[(slice(None), *near)][:, inside] = (around / max(around.sum(), 1e-6))[:, None]
    return result
