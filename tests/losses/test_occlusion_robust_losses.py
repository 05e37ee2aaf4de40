"""Losses of the occlusion-robust stages: cases whose answers are known by hand, corrected and as published."""

from __future__ import annotations

import math

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.losses import occlusion_robust as losses

F64 = torch.float64


def test_spec_12_landmark_weights() -> None:
    """Sums 325 and 136 either way; the eyes are 36 to 47, and 37 to 48 as published."""
    for stage, total, eyes in ((1, 325, 5), (2, 136, 3)):
        right, late = (losses.landmark_weights(stage, legacy=legacy) for legacy in (False, True))
        assert len(right) == len(late) == 68
        assert float(right.sum()) == float(late.sum()) == total
        ridge = float(right[28])
        assert [float(right[k]) for k in (27, 30, 31, 35, 36, 47, 48, 59)] == [1, ridge, 1, 1, eyes, eyes, 1, 1]
        assert [float(late[k]) for k in (36, 37, 48, 49)] == [1, eyes, eyes, 1]
        assert set(right[60:].tolist()) == set(right[28:31].tolist()) == {ridge}
    with pytest.raises(InputError, match="stage must be 1 or 2"):
        losses.landmark_weights(3)


def test_landmark_losses_by_hand() -> None:
    truth = torch.rand(2, 68, 2, dtype=F64)
    moved = truth.clone()
    moved[0, 30] += torch.tensor([3.0, -4.0], dtype=F64)  # 25 squared, 7 absolute
    moved[1, 0] += torch.tensor([1.0, 2.0], dtype=F64)  # 5 and 3
    first, second = losses.landmark_weights(1), losses.landmark_weights(2)
    flags = torch.tensor([0.9, 1.0])
    expected = (20 * 25 * 0.9 + 5) / 68 / 2
    assert float(losses.squared_landmark_loss(moved, truth, first, flags)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.squared_landmark_loss(moved, truth, first)) == pytest.approx((500 + 5) / 136)
    assert float(losses.absolute_landmark_loss(moved, truth, second)) == pytest.approx((5 * 7 + 3) / 136)


def test_spec_11_photo_loss_is_per_sample() -> None:
    draw = torch.Generator().manual_seed(0)
    picture, render = (torch.rand(3, 3, 5, 4, generator=draw, dtype=F64) for _ in range(2))
    mask = (torch.rand(3, 5, 4, generator=draw) < torch.tensor([0.2, 0.5, 0.9])[:, None, None]).double()
    found = losses.photo_loss(picture, render, mask)
    alone = torch.stack([losses.photo_loss(*(part[k : k + 1] for part in (picture, render, mask))) for k in range(3)])
    sizes = mask.sum((1, 2))
    torch.testing.assert_close(found, (alone * sizes).sum() / sizes.sum())
    assert abs(float(losses.photo_loss(picture, render, mask.roll(1, 0)) - found)) > 1e-3
    # As published every error meets every mask: the order of the masks does not matter, and it is three times as much.
    slow = sum(
        float(((picture[i] - render[i]).abs().sum(0) * mask[j]).sum()) for i in range(3) for j in range(3)
    ) / float(mask.sum())
    legacy = losses.photo_loss(picture, render, mask, legacy=True)
    assert float(legacy) == pytest.approx(slow)
    torch.testing.assert_close(losses.photo_loss(picture, render, mask.roll(1, 0), legacy=True), legacy)
    one = (picture[:1], render[:1], mask[:1])
    torch.testing.assert_close(losses.photo_loss(*one, legacy=True), losses.photo_loss(*one))
    assert float(losses.photo_loss(picture, render, torch.zeros_like(mask))) == 0


def test_identity_light_reflectance_and_size_by_hand() -> None:
    found = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=F64, requires_grad=True)
    wanted = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=F64, requires_grad=True)
    loss = losses.identity_loss(found, wanted)
    assert float(loss) == pytest.approx((1 - math.sqrt(0.5)) / 2)
    loss.backward()
    assert wanted.grad is None

    light = torch.zeros(2, 3, 9, dtype=F64)
    light[0, :, 4] = torch.tensor([3.0, 0.0, 0.0], dtype=F64)  # differences 2, -1, -1
    assert float(losses.light_loss(light)) == pytest.approx(6 / 54)
    assert float(losses.light_loss(light.mean(1, keepdim=True).expand(2, 3, 9))) == 0

    albedo = torch.zeros(1, 4, 3, dtype=F64)
    albedo[0, 0], albedo[0, 1], albedo[0, 3] = 0.2, 0.6, 9.0
    skin = torch.tensor([True, True, False, False])
    assert float(losses.reflectance_loss(albedo, skin)) == pytest.approx(3 * 0.2**2)
    assert float(losses.reflectance_loss(albedo, torch.zeros(4, dtype=torch.bool))) == 0

    parts = [torch.full((2, size), value, dtype=F64) for size, value in ((8, 1.0), (2, 3.0), (18, 10.0))]
    assert float(losses.coefficient_size(*parts)) == pytest.approx(4 + 0.1 * 6 + 1.7e-3 * 60)


def test_the_mean_face_has_a_finite_gradient() -> None:
    """Training begins there: heads of zero, and lengths have no slope at zero."""
    parts = [torch.zeros(2, size, requires_grad=True) for size in (80, 64, 80)]
    losses.coefficient_size(*parts).backward()
    assert all(part.grad is not None and bool(part.grad.isfinite().all()) for part in parts)


def test_spec_13_a_student_that_agrees_costs_nothing() -> None:
    draw = torch.Generator().manual_seed(1)
    shapes = [(2, 512, 4, 4), (2, 1024, 2, 2), (2, 2048, 1, 1), (2, 2048)]
    taught = [torch.rand(shape, generator=draw) for shape in shapes]
    vector, points = torch.rand(2, 257, generator=draw), torch.rand(2, 68, 2, generator=draw)
    assert float(losses.feature_loss(taught, taught)) == 0
    assert float(losses.taught_coefficient_loss(vector, vector, 144, 80)) == 0
    assert float(losses.absolute_landmark_loss(points, points, losses.landmark_weights(2))) == 0
    for number, weight in enumerate((1 / 8, 1 / 4, 1 / 2, 1)):
        other = [value + 2 * (number == index) for index, value in enumerate(taught)]
        assert float(losses.feature_loss(other, taught)) == pytest.approx(4 * weight, rel=1e-5)
    for start, stop in ((0, 144), (144, 224), (224, 257)):  # three means of one weight
        other = vector.clone()
        other[:, start:stop] += 3
        assert float(losses.taught_coefficient_loss(other, vector, 144, 80)) == pytest.approx(9, rel=1e-5)
    student, teacher = (value.clone().requires_grad_() for value in (vector, vector + 1))
    losses.taught_coefficient_loss(student, teacher, 144, 80).backward()
    assert student.grad is not None and teacher.grad is None
