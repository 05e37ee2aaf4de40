"""Box arithmetic against its definitions."""

import numpy as np
import pytest

from pyface3d.detect.boxes import box_areas, box_overlaps, shift_corners, square_boxes, suppress_overlaps


def test_overlaps_by_counting_pixels() -> None:
    draw = np.random.default_rng(0)
    corners = draw.integers(0, 20, (30, 2))
    boxes = np.concatenate([corners, corners + draw.integers(1, 10, (30, 2))], axis=1).astype(float)
    masks = np.zeros((30, 32, 32), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int)):
        mask[y0:y1, x0:x1] = True
    shared = (masks[:, None] & masks[None]).sum(axis=(2, 3))
    union = (masks[:, None] | masks[None]).sum(axis=(2, 3))
    np.testing.assert_allclose(box_overlaps(boxes, boxes), shared / union)
    smaller = np.minimum(masks.sum(axis=(1, 2))[:, None], masks.sum(axis=(1, 2))[None])
    np.testing.assert_allclose(box_overlaps(boxes, boxes, of_smaller=True), shared / smaller)


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[1.0, 1, 1, 5], [5, 5, 2, 2]])
    np.testing.assert_array_equal(box_areas(flat), 0)
    np.testing.assert_array_equal(box_overlaps(flat, np.array([[0.0, 0, 9, 9]])), 0)


def slow_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Straight from the definition: walk down the scores, keep what no kept box covers."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if all(box_overlaps(boxes[i : i + 1], boxes[k : k + 1])[0, 0] <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_suppression_agrees_with_the_definition(threshold: float) -> None:
    draw = np.random.default_rng(1)
    corners = draw.uniform(0, 50, (200, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(5, 25, (200, 2))], axis=1)
    scores = draw.permutation(200).astype(float)
    assert suppress_overlaps(boxes, scores, threshold).tolist() == slow_suppression(boxes, scores, threshold)


def test_suppression_of_nothing_and_of_ties() -> None:
    assert suppress_overlaps(np.zeros((0, 4)), np.zeros(0), 0.5).shape == (0,)
    twice = np.array([[0.0, 0, 4, 4], [0, 0, 4, 4]])
    assert suppress_overlaps(twice, np.ones(2), 0.5).tolist() == [0]


def test_squares_and_corners() -> None:
    np.testing.assert_allclose(square_boxes(np.array([[0.0, 0, 4, 10]])), [[-3, 0, 7, 10]])
    moved = shift_corners(np.array([[0.0, 0, 4, 10]]), np.array([[0.25, 0.1, -0.25, -0.1]]))
    np.testing.assert_allclose(moved, [[1, 1, 3, 9]])
