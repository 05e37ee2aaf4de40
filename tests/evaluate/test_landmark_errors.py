"""Errors, offsets and yaw of landmarks against constructed truth."""

import math

import numpy as np
import pytest
import torch

from pyface3d.evaluate.landmark_errors import (
    apply_offsets,
    cross_fitted,
    fit_offsets,
    landmark_error,
    mean_of_present,
    point_errors,
    yaw_of_landmarks,
)
from pyface3d.face_models import load_face_model
from pyface3d.fit.sparse_model import sparse_face
from pyface3d.geometry import Camera, rotation_from_euler

RNG = np.random.default_rng(4)
SHAPE = RNG.uniform(-1, 1, (68, 2))
SHAPE[36], SHAPE[45] = (-0.5, 0), (0.5, 0)  # the outer eye corners: the frame's first axis and unit


def faces(count: int, shape: np.ndarray) -> np.ndarray:
    """``shape`` (68, 2) at random sizes, turns and places, the same for every call."""
    rng = np.random.default_rng(count)
    placed = []
    for _ in range(count):
        angle, size = rng.uniform(-math.pi, math.pi), rng.uniform(20, 200)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        placed.append(size * shape @ turn.T + rng.uniform(-300, 300, 2))
    return np.stack(placed)


def test_error_by_hand() -> None:
    truth = np.zeros((68, 2))
    truth[45] = (200, 0)
    assert landmark_error(truth + (3, 4), truth) == pytest.approx(2.5)
    some = np.full((68, 2), np.nan)
    some[:10] = truth[:10] + (0, 8)
    assert landmark_error(some, truth) == pytest.approx(4)
    assert np.isnan(point_errors(some, truth)[10:]).all()


def test_mean_of_present() -> None:
    values = np.array([[1.0, np.nan, 3.0], [np.nan] * 3])
    np.testing.assert_array_equal(mean_of_present(values), [2.0, np.nan])


def test_a_constant_offset_is_found_and_taken_out_in_every_pose() -> None:
    offsets = RNG.normal(0, 0.05, (68, 2))
    offsets[[36, 45]] = 0  # they span the frame, so that the truth's frame is the points' own
    points, truth = faces(9, SHAPE), faces(9, SHAPE + offsets)
    np.testing.assert_allclose(fit_offsets(points, truth), offsets, atol=1e-12)
    np.testing.assert_allclose(apply_offsets(points, offsets), truth, atol=1e-9)
    np.testing.assert_allclose(cross_fitted(points, points, truth), truth, atol=1e-9)


def test_offsets_of_the_eye_corners_too() -> None:
    """Even where the frame's own corners are off: all faces have the same shape, so one offset explains them all."""
    truth = faces(8, SHAPE + RNG.normal(0, 0.1, (68, 2)))
    np.testing.assert_allclose(cross_fitted(faces(8, SHAPE), faces(8, SHAPE), truth), truth, atol=1e-9)


def test_a_minority_of_failures_does_not_move_the_offsets() -> None:
    offsets = RNG.normal(0, 0.05, (68, 2))
    points, truth = faces(9, SHAPE), faces(9, SHAPE + offsets)
    points[:4] += RNG.normal(0, 300, (4, 68, 2))
    points[8] = np.nan
    points[7, 20] = np.nan
    misled = fit_offsets(points[4:], truth[4:])
    np.testing.assert_allclose(misled, offsets, atol=1e-12)
    assert np.abs(fit_offsets(points, truth) - offsets).max() < 1


def test_no_picture_is_scored_with_offsets_it_was_fitted_on() -> None:
    """Half of the annotators are off by one constant, half by the opposite: fitted on the other half, it doubles."""
    offset = np.array([0.1, 0.0])
    points = faces(10, SHAPE)
    truth = np.where(np.arange(10)[:, None, None] % 2, faces(10, SHAPE + offset), faces(10, SHAPE - offset))
    before, after = (point_errors(each, truth).mean() for each in (points, cross_fitted(points, points, truth)))
    assert before == pytest.approx(10)
    assert after == pytest.approx(20)


def test_offsets_need_pictures_in_both_halves() -> None:
    points = faces(2, SHAPE)
    points[1] = np.nan
    moved = cross_fitted(points, points, faces(2, SHAPE))
    assert np.isnan(moved).all()


@pytest.mark.parametrize("yaw_deg", [-60, -35, -10, 0, 20, 45])
def test_yaw_of_rendered_landmarks(yaw_deg: float) -> None:
    face = sparse_face(load_face_model("head"))
    generator = torch.Generator().manual_seed(3)
    coefficients = torch.zeros(20, face.basis.shape[0], dtype=torch.float64)
    coefficients[:, : face.identity_dim] = torch.randn(20, face.identity_dim, generator=generator)
    angles = torch.deg2rad(torch.tensor([[yaw_deg] * 20, [8.0] * 20, [-12.0] * 20], dtype=torch.float64))
    points = face.points(coefficients)[:, :68] @ rotation_from_euler(*angles).transpose(1, 2)
    points = points + torch.tensor([20.0, -10.0, 1100.0])
    pixels = Camera.centered(torch.full((20,), 600.0), 256, 256).project(points)[..., :2].numpy()
    found = yaw_of_landmarks(pixels)
    assert abs(np.median(found) - yaw_deg) < 4
    assert np.abs(found - yaw_deg).max() < 15
