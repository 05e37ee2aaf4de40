"""The five-point alignment against the specification's numbers, and landmarks there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyface3d.detect.crops import FIVE_POINTS_3D
from pyface3d.errors import InputError
from pyface3d.systems.occlusion_robust import FivePointAlignment, published_rows

# The specification's picture of 400 x 400, pixels counted from 0.
FIVE = np.array([(150, 160), (250, 160), (200, 220), (160, 270), (240, 270)], float)


def test_spec_3_numbers_of_the_alignment() -> None:
    aligned = FivePointAlignment.of(FIVE + 0.5, 400, 400)
    scale, shift, resized, corner = aligned.placement
    np.testing.assert_allclose([scale, *shift], [161.558972, 200.544326, 193.731679], atol=1e-6)
    assert (resized.tolist(), corner.tolist()) == ([252, 252], [14, 14])
    *box, size, right, down = aligned.record
    assert (box, size) == ([22, 378, 22, 378], 224)
    np.testing.assert_allclose([right, down], [0.544326, 6.268321], atol=1e-5)
    expected = [
        (80.3586, 140.8498),
        (143.4934, 140.8498),
        (111.9260, 102.9689),
        (86.6721, 71.4014),
        (137.1800, 71.4014),
    ]
    np.testing.assert_allclose(aligned.published_landmarks(FIVE + 0.5), expected, atol=1e-4)


def test_spec_7_points_come_back() -> None:
    aligned = FivePointAlignment.of(FIVE + 0.5, 400, 400)
    there = published_rows(aligned.published_landmarks(FIVE + 0.5))
    assert np.abs(aligned.published_to_image(there) - FIVE).max() < 1.5
    np.testing.assert_allclose(aligned.crop.to_image(aligned.crop.to_crop(FIVE + 0.5)), FIVE + 0.5, atol=1e-9)


@settings(max_examples=80, deadline=None)
@given(
    x=st.floats(80, 900),
    y=st.floats(80, 700),
    scale=st.floats(40, 500),
    roll=st.floats(-0.6, 0.6),
    yaw=st.floats(-0.9, 0.9),
)
def test_spec_7_any_face_comes_back(x: float, y: float, scale: float, roll: float, yaw: float) -> None:
    """Faces of the reference's shape, turned: its origin lands in the middle, and the rounding stays under 1.5 px of
    the picture at the crop's scale or coarser."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = FIVE_POINTS_3D @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    points = (turned[:, :2] @ turn.T) * (scale, -scale) + (x, y)
    aligned = FivePointAlignment.of(points, 1000, 800)
    mapped = aligned.crop.to_crop(points)
    np.testing.assert_allclose(aligned.crop.to_image(mapped), points, atol=1e-6)
    middle = aligned.crop.to_crop(np.array([x, y]))
    # The crop's edge is cut down to a whole pixel and the resized picture too: about two pixels of the crop.
    np.testing.assert_allclose(middle, [112, 112], atol=2.6)
    there = published_rows(aligned.published_landmarks(points))
    np.testing.assert_allclose(there + 0.5, mapped, atol=2.6)
    back = aligned.published_to_image(there) + 0.5
    assert np.abs(back - points).max() < 1.5 * max(1.0, 1 / aligned.crop.scale) + 1.0


def test_spec_7_an_aligned_crop_stays() -> None:
    first = FivePointAlignment.of(FIVE + 0.5, 400, 400)
    points = first.crop.to_crop(FIVE + 0.5)
    again = FivePointAlignment.of(points, 224, 224)
    corners = np.array([[0.0, 0], [224, 0], [0, 224], [224, 224], [112, 112]])
    assert np.abs(again.crop.to_crop(corners) - corners).max() < 2


def test_grey_pictures_and_what_lies_outside() -> None:
    aligned = FivePointAlignment.of(FIVE - (140, 150) + 0.5, 140, 150)
    pixels = aligned.crop.warp(np.full((150, 140, 3), 200, np.uint8))
    assert pixels.shape == (224, 224, 3)
    assert (pixels[:20] == 0).all() or (pixels[:, :20] == 0).all()


def test_points_that_are_no_face_are_refused() -> None:
    for bad in (np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))):
        with pytest.raises(InputError):
            FivePointAlignment.of(bad, 100, 100)
