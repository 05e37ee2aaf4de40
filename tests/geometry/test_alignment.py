"""Weighted similarity alignment: exact recovery, optimality, degenerate sets."""

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.geometry import align_similarity, rotation_from_axis_angle

B, N = 5, 20


def moved_points(dim: int):
    generator = torch.Generator().manual_seed(dim)
    source = torch.randn(B, N, dim, dtype=torch.float64, generator=generator) * 40
    rotation = rotation_from_axis_angle(torch.randn(B, 3, dtype=torch.float64, generator=generator))
    if dim == 2:
        angle = torch.randn(B, dtype=torch.float64, generator=generator)
        rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(B, 2, 2)
    scale = torch.rand(B, dtype=torch.float64, generator=generator) + 0.5
    shift = torch.randn(B, dim, dtype=torch.float64, generator=generator) * 100
    target = scale[:, None, None] * source @ rotation.transpose(1, 2) + shift[:, None]
    return source, target, scale, rotation, shift


@pytest.mark.parametrize("dim", [2, 3])
def test_recovers_an_exact_motion(dim):
    source, target, scale, rotation, shift = moved_points(dim)
    found = align_similarity(source, target)
    torch.testing.assert_close(found.scale, scale)
    torch.testing.assert_close(found.rotation, rotation, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.translation, shift)
    torch.testing.assert_close(found.apply(source), target)


def test_points_of_no_weight_do_not_count():
    source, target, scale, *_ = moved_points(3)
    weights = torch.ones(N, dtype=torch.float64)
    weights[:5] = 0
    target[:, :5] += 1000
    torch.testing.assert_close(align_similarity(source, target, weights).scale, scale)


def test_is_a_minimum_of_the_weighted_error():
    source, target, *_ = moved_points(3)
    generator = torch.Generator().manual_seed(9)
    target = target + torch.randn(target.shape, dtype=torch.float64, generator=generator) * 10
    weights = torch.rand(B, N, dtype=torch.float64, generator=generator)
    found = align_similarity(source, target, weights)

    def error(scale, rotation, translation):
        moved = scale[:, None, None] * source @ rotation.transpose(1, 2) + translation[:, None]
        return (weights[..., None] * (moved - target).square()).sum((1, 2))

    best = error(*found)
    for _ in range(20):
        turn = rotation_from_axis_angle(torch.randn(B, 3, dtype=torch.float64, generator=generator) * 0.01)
        shift = torch.randn(B, 3, dtype=torch.float64, generator=generator) * 0.1
        stretch = 1 + torch.randn(B, dtype=torch.float64, generator=generator) * 0.01
        assert (error(found.scale * stretch, found.rotation @ turn, found.translation + shift) > best).all()


def test_fixed_scale_is_kept():
    source, target, scale, rotation, _ = moved_points(3)
    rigid = align_similarity(source, target, scale=1.0)
    assert (rigid.scale == 1).all()
    torch.testing.assert_close(rigid.rotation, rotation, rtol=0, atol=1e-12)
    torch.testing.assert_close(align_similarity(source, target, scale=scale).apply(source), target)


def test_never_reflects():
    source, *_ = moved_points(3)
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    rotation = align_similarity(source, mirrored).rotation
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(B, dtype=torch.float64))


def test_points_of_no_extent_keep_scale_one_and_stay_finite():
    found = align_similarity(torch.ones(1, 6, 3), torch.full((1, 6, 3), 4.0))
    assert found.scale.item() == 1
    torch.testing.assert_close(found.apply(torch.ones(1, 6, 3)), torch.full((1, 6, 3), 4.0))


def test_refusals():
    points = torch.zeros(2, 6, 3)
    with pytest.raises(InputError, match="target must have shape"):
        align_similarity(points, points[:1])
    with pytest.raises(InputError, match="source must be finite"):
        align_similarity(points * torch.nan, points)
    with pytest.raises(InputError, match="2 or 3 coordinates"):
        align_similarity(torch.zeros(2, 6, 4), torch.zeros(2, 6, 4))
    with pytest.raises(InputError, match="weights must not be negative"):
        align_similarity(points, points, torch.zeros(6))
