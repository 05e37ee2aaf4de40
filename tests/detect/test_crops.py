"""Every system's crop against its specification's numbers, and the way back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyface3d.detect.crops import (
    Crop,
    extreme3d_crop,
    focus_crop,
    occlusion_robust_crop,
    square_crop,
    temporal_deca_box_crop,
    temporal_deca_crop,
)
from pyface3d.errors import InputError

# The test vector of the five-point alignment: 400 x 400 picture, pixel indices.
FIVE = np.array([(150, 160), (250, 160), (200, 220), (160, 270), (240, 270)], float)


def face_points(seed: int = 0, center: tuple[float, float] = (310, 220), size: float = 90) -> np.ndarray:
    """68 points of a rough face: enough for the crops, which look at boxes and five points."""
    draw = np.random.default_rng(seed)
    points = draw.uniform(-1, 1, (68, 2))
    points[36:42], points[42:48] = (-0.4, -0.3), (0.4, -0.3)
    points[30], points[48], points[54] = (0, 0.1), (-0.3, 0.5), (0.3, 0.5)
    return points * size + center


def crops() -> dict[str, Crop]:
    points = face_points()
    return {
        "extreme3d": extreme3d_crop(points),
        "occlusion_robust": occlusion_robust_crop(FIVE + 0.5, 400, 400),
        "focus": focus_crop(points, 640, 480),
        "temporal_deca": temporal_deca_crop(points),
        "temporal_deca_box": temporal_deca_box_crop((100.0, 120.0, 221.0, 260.0)),
        "square": square_crop(np.array([50.0, 60.0]), 37.0, 256, roll=0.4),
    }


@pytest.mark.parametrize("name", sorted(crops()))
def test_there_and_back(name: str) -> None:
    crop = crops()[name]
    points = np.random.default_rng(1).uniform(-200, 1200, (50, 2))
    np.testing.assert_allclose(crop.to_image(crop.to_crop(points)), points, atol=1e-9)
    np.testing.assert_allclose(crop.to_crop(crop.to_image(points)), points, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    x=st.floats(-500, 5000),
    y=st.floats(-500, 5000),
    side=st.floats(2, 5000),
    roll=st.floats(-3.2, 3.2),
    size=st.integers(1, 1024),
)
def test_any_square_there_and_back(x: float, y: float, side: float, roll: float, size: int) -> None:
    crop = square_crop(np.array([x, y]), side, size, roll=roll)
    np.testing.assert_allclose(crop.to_crop(np.array([x, y])), [size / 2, size / 2], atol=1e-6)
    points = np.array([[0.0, 0.0], [x + side, y]])
    np.testing.assert_allclose(crop.to_image(crop.to_crop(points)), points, atol=1e-6)


@pytest.mark.parametrize("name", sorted(crops()))
def test_pixels_go_where_points_go(name: str) -> None:
    """A bright blob drawn at a point of the picture is found at the mapped point of the crop."""
    crop = crops()[name]
    target = crop.to_image(np.array([crop.width * 0.4, crop.height * 0.6]))
    height, width = 480, 640
    down, across = np.mgrid[:height, :width] + 0.5
    spread = 4 / min(crop.scale, 1)
    blob = 255 * np.exp(-((across - target[0]) ** 2 + (down - target[1]) ** 2) / (2 * spread**2))
    pixels = crop.warp(np.repeat(np.round(blob).astype(np.uint8)[..., None], 3, axis=2))
    assert pixels.shape == (crop.height, crop.width, 3)
    weights = pixels[..., 0].astype(float)
    rows, columns = np.mgrid[: crop.height, : crop.width] + 0.5
    found = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
    np.testing.assert_allclose(found, crop.to_crop(target), atol=0.15)


def test_shrinking_averages() -> None:
    """A chequerboard shrunk eightfold is grey; sampling without averages would be black or white."""
    board = (np.indices((512, 512)) // 2).sum(axis=0) % 2 * 255
    crop = square_crop(np.array([257.0, 255.0]), 480, 60)
    grey = crop.warp(board.astype(np.uint8))
    assert np.abs(grey.astype(int) - 128).max() <= 20
    assert np.abs(crop.warp(board.astype(np.uint8), antialias=False).astype(int) - 128).min() > 60


def test_outside_is_black_or_the_edge() -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    crop = square_crop(np.array([0.0, 0.0]), 20, 20)
    assert (crop.warp(white)[:9, :9] == 0).all()
    assert (crop.warp(white, border=None) == 255).all()


def test_extreme3d_box_lands_where_the_shipped_crops_have_it() -> None:
    for seed in range(20):
        points = face_points(seed, size=130)
        mapped = extreme3d_crop(points).to_crop(points)
        low, high = mapped.min(axis=0), mapped.max(axis=0)
        assert abs((high - low).max() - 258.5) < 1.5
        np.testing.assert_allclose((low + high) / 2, (248.9, 292.0), atol=1.5)


def test_extreme3d_bounds_are_whole_pixels() -> None:
    crop = extreme3d_crop(face_points())
    corners = crop.to_image(np.array([[0.0, 0.0], [500.0, 500.0]]))
    np.testing.assert_allclose(corners, np.round(corners), atol=1e-9)


def test_occlusion_robust_test_vector() -> None:
    crop = occlusion_robust_crop(FIVE + 0.5, 400, 400)
    # Of the specification: the resized picture is 252 wide, the crop starts at 14, the shift is (0.544326, 6.268321).
    np.testing.assert_allclose(crop.matrix[:, :2], np.eye(2) * 252 / 400)
    np.testing.assert_allclose(
        crop.to_image(np.array([0.0, 0.0])) - [14 * 400 / 252] * 2, [0.544326, 6.268321], atol=1e-5
    )
    lm224_up = [(80.3586, 140.8498), (143.4934, 140.8498), (111.9260, 102.9689), (86.6721, 71.4014)]
    expected = [(x + 0.5, 223 - y + 0.5) for x, y in [*lm224_up, (137.1800, 71.4014)]]
    # The original's own landmarks ignore the rounding of the resized picture: up to 1.2 px by its specification.
    np.testing.assert_allclose(crop.to_crop(FIVE + 0.5), expected, atol=1.2)


def test_focus_ideal_face() -> None:
    """A perfect orthographic face lands on the specification's positions, for any place and size of the face."""
    reference = np.array(
        [
            (-0.31148657, 0.29036078),
            (0.30979887, 0.28972036),
            (0.0032535, -0.04617932),
            (-0.25216928, -0.38133916),
            (0.2484662, -0.38128236),
        ]
    )
    expected = [(80.23, 82.38), (143.60, 82.45), (112.33, 116.71), (86.28, 150.90), (137.34, 150.89)]
    for scale, (x, y), (width, height) in [(204, (320, 260), (640, 480)), (77, (95, 130), (301, 299))]:
        five = np.column_stack([x + scale * reference[:, 0], height - (y + scale * reference[:, 1])])
        points = np.zeros((68, 2))
        points[[36, 39]], points[[42, 45]] = five[0], five[1]
        points[[30, 48, 54]] = five[2:]
        mapped = focus_crop(points + 0.5, width, height).to_crop(points + 0.5)
        found = [mapped[36], mapped[42], mapped[30], mapped[48], mapped[54]]
        # Whole-pixel rounding of the resized picture and of the crop: less than a pixel each.
        np.testing.assert_allclose(np.array(found) - 0.5, expected, atol=1.5)


def test_temporal_deca_corners() -> None:
    points = np.array([[100.0, 200.0], [300.0, 440.0]]) + 0.5
    crop = temporal_deca_crop(points, enlarge=1.0, scale=1.6)
    side = int(220 * 1.6)
    corners = crop.to_image(np.array([[0.5, 0.5], [223.5, 223.5]])) - 0.5
    np.testing.assert_allclose(corners, [[200 - side / 2, 320 - side / 2], [200 + side / 2, 320 + side / 2]])
    lower = temporal_deca_box_crop((100.5, 200.5, 300.5, 440.5))
    middle = lower.to_image(np.array([112.0, 112.0])) - 0.5
    np.testing.assert_allclose(middle, [200, 320 + 0.12 * 220])


def test_what_cannot_be_cropped_is_said() -> None:
    with pytest.raises(InputError, match=r"shape \(68, 2\)"):
        extreme3d_crop(np.zeros((5, 2)))
    with pytest.raises(InputError, match="less than a pixel"):
        extreme3d_crop(np.ones((68, 2)))
    with pytest.raises(InputError, match="points coincide"):
        occlusion_robust_crop(np.ones((5, 2)), 100, 100)
    with pytest.raises(InputError, match="finite"):
        occlusion_robust_crop(np.full((5, 2), np.nan), 100, 100)
    with pytest.raises(InputError, match="no extent"):
        temporal_deca_crop(np.ones((68, 2)))
    with pytest.raises(InputError, match="side"):
        square_crop(np.zeros(2), 0.0, 10)
    with pytest.raises(InputError, match="no inverse"):
        Crop(np.zeros((2, 3)), 10, 10)
    with pytest.raises(InputError, match=r"shape \(2, 3\)"):
        Crop(np.eye(3), 10, 10)


def test_crops_are_frozen() -> None:
    crop = square_crop(np.zeros(2), 10, 10)
    with pytest.raises(ValueError, match="read-only"):
        crop.matrix[0, 0] = 2
    with pytest.raises(AttributeError):
        crop.width = 3  # type: ignore[misc]
