"""Spec test 3 of Extreme 3D Faces, and where a relief map lies over its crop."""

import numpy as np
import pytest
import torch

from pyface3d.geometry.bump_maps import (
    crop_of_map,
    levels_from_relief,
    mask_levels,
    output_from_relief,
    relief_from_levels,
    relief_from_output,
)


def test_spec_3_levels_are_millimetres() -> None:
    levels = torch.tensor([127, 139, 115, 0, 255], dtype=torch.uint8)
    wanted = torch.tensor([0.0, 1.25, -1.25, -127 / 12 * 1.25, 128 / 12 * 1.25])
    torch.testing.assert_close(relief_from_levels(levels), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(relief_from_levels(levels, gain=1.0), wanted / 1.25, rtol=0, atol=1e-6)
    assert relief_from_levels(levels.double()).dtype == torch.float64


def test_spec_3_the_float_path_differs_by_half_a_level() -> None:
    output = torch.linspace(-1, 1, 10001, dtype=torch.float64)
    levels = ((output + 1) * 127.5).round().to(torch.uint8)
    apart = (relief_from_output(output) - relief_from_levels(levels.double())).abs()
    assert 0.04 < apart.max() <= 0.053


def test_every_level_comes_back() -> None:
    levels = np.arange(256, dtype=np.uint8)
    for gain in (1.0, 1.25):
        relief = relief_from_levels(levels.astype(np.float64), gain)
        assert np.array_equal(levels_from_relief(relief, gain), levels)
    assert levels_from_relief(np.array([-99.0, 99.0, np.nan])).tolist() == [0, 255, 127]


def test_crop_pixel_is_six_further_in_the_map() -> None:
    values = torch.arange(512 * 512).reshape(1, 512, 512)
    crop = crop_of_map(values)
    assert crop.shape == (1, 500, 500)
    assert crop[0, 17, 30] == values[0, 23, 36]
    with pytest.raises(ValueError, match=r"got \(3, 7\)"):
        crop_of_map(torch.zeros(3, 7))


def test_the_output_that_a_relief_wants() -> None:
    bump = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(output_from_relief(relief_from_output(bump)), bump)
    assert output_from_relief(np.array([100.0, -100.0])).tolist() == [1, -1]


def test_half_is_face() -> None:
    assert mask_levels(np.array([-1.0, 0.0, 0.4979, 0.5021, 1.0])).tolist() == [0, 0, 127, 128, 255]
