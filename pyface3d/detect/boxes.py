"""Boxes (x0, y0, x1, y1) in pixels: outer edges, so that a box over the first pixel alone is (0, 0, 1, 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating]


def box_areas(boxes: Boxes) -> Boxes:
    """Areas (N,) of boxes (N, 4); a box turned inside out has none."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def box_overlaps(boxes: Boxes, others: Boxes, *, of_smaller: bool = False) -> Boxes:
    """Shared area of every pair, as a fraction.

    Args:
        boxes: (N, 4).
        others: (M, 4).
        of_smaller: relative to the smaller box of the pair instead of their union.

    Returns:
        (N, M) in [0, 1]; 0 where a box has no area.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    area, other_area = box_areas(boxes)[:, None], box_areas(others)[None]
    whole = np.minimum(area, other_area) if of_smaller else area + other_area - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def suppress_overlaps(boxes: Boxes, scores: Boxes, threshold: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: the best box stays, those that overlap it more than ``threshold`` go.

    Args:
        boxes: (N, 4).
        scores: (N,); ties go to the earlier box.
        threshold: overlap as `box_overlaps` gives it.

    Returns:
        Indices of the boxes that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        if not len(rest):
            break
        overlap = box_overlaps(boxes[best : best + 1], boxes[rest], of_smaller=of_smaller)[0]
        order = rest[overlap <= threshold]
    return np.array(kept, dtype=np.intp)


def square_boxes(boxes: Boxes) -> Boxes:
    """Squares of the longer side about the same centres."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def shift_corners(boxes: Boxes, offsets: Boxes) -> Boxes:
    """Boxes whose corners move by fractions (N, 4) of their width (x) and height (y)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.concatenate([sides, sides], axis=1)
