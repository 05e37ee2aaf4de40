"""Losses of relief against sums by hand and loops; a known bump is found from its picture by the losses."""

import math

import pytest
import torch
from torch.nn import functional

from pyface3d.losses import height_normals, normal_angle_loss, relief_loss, relief_slope_loss


def maps(seed=0, size=(2, 7, 9)):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(2))
    return a, b, torch.rand(size, generator=generator, dtype=torch.float64).round(decimals=1)


def test_heights_by_hand():
    relief, truth = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[0.5, -1.0]]])
    assert float(relief_loss(relief, truth, torch.tensor([[[3.0, 1.0]]]))) == pytest.approx((3 * 0.5 + 2.0) / 4)
    assert float(relief_loss(relief, truth, torch.zeros(1, 1, 2))) == 0.0


def test_slopes_by_hand():
    relief = torch.tensor([[[0.0, 1.0], [0.0, 3.0]]])
    truth = torch.zeros_like(relief)
    # across: 1 and 3, mean 2; down: 0 and 2, mean 1
    assert float(relief_slope_loss(relief, truth, torch.ones_like(relief))) == pytest.approx(3.0)
    weight = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])  # the corner that leaps does not count
    assert float(relief_slope_loss(relief, truth, weight)) == pytest.approx(1.0)


@pytest.mark.parametrize("step", [1, 3])
def test_slopes_agree_with_a_loop(step):
    a, b, weight = maps()
    error = a - b
    total = 0.0
    for down, right in ((0, step), (step, 0)):
        top = bottom = 0.0
        for n in range(error.shape[0]):
            for y in range(error.shape[1] - down):
                for x in range(error.shape[2] - right):
                    counts = min(weight[n, y, x], weight[n, y + down, x + right])
                    top += counts * abs(error[n, y + down, x + right] - error[n, y, x])
                    bottom += counts
        total += top / bottom
    torch.testing.assert_close(relief_slope_loss(a, b, weight, step), total)


def test_softness_by_hand_and_in_its_limits():
    relief, truth, weight = torch.tensor([[[0.03, 4.0]]]), torch.zeros(1, 1, 2), torch.ones(1, 1, 2)
    wanted = ((0.03**2 + 0.04**2) ** 0.5 - 0.04 + (16 + 0.04**2) ** 0.5 - 0.04) / 2
    assert float(relief_loss(relief, truth, weight, 0.04)) == pytest.approx(wanted)
    a, b, some = maps(3)
    torch.testing.assert_close(relief_slope_loss(a, b, some, 1, 1e-9), relief_slope_loss(a, b, some))


def test_a_constant_offset_has_no_slope():
    a, _, weight = maps(1)
    assert float(relief_slope_loss(a + 0.7, a, weight)) == pytest.approx(0.0, abs=1e-12)
    assert float(relief_loss(a + 0.7, a, weight)) == pytest.approx(0.7)


@pytest.mark.parametrize("loss", [relief_loss, relief_slope_loss])
def test_gradients(loss):
    a, b, weight = maps(2)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, b, weight), (a,))


def test_a_known_bump_on_a_plane_is_found_from_its_picture():
    """A Gaussian ridge on a plane, lit from two sides; descent on its pictures alone, then the losses say how near.

    The picture is the closed form of a matt surface, n·l with n = (-∂x, -∂y, 1) / |…|. So the losses and the meaning of
    heights and slopes agree: the relief whose slopes are right is the one they call right.
    """
    size, pitch = 33, 0.5
    x = (torch.arange(size, dtype=torch.float64) - 16) * pitch
    truth = (0.8 * torch.exp(-(x[None, :] ** 2) / 4) * torch.exp(-(x[:, None] ** 2) / 30))[None]

    def pictures(relief):
        across = (relief[:, :-1, 1:] - relief[:, :-1, :-1]) / pitch
        down = (relief[:, 1:, :-1] - relief[:, :-1, :-1]) / pitch
        normals = functional.normalize(torch.stack([-across, -down, torch.ones_like(down)], -1), dim=-1)
        lights = functional.normalize(torch.tensor([[0.6, 0.0, 1.0], [0.0, 0.6, 1.0]]).double(), dim=-1)
        return normals @ lights.T

    seen = pictures(truth)
    found = torch.zeros_like(truth).requires_grad_()
    optimizer = torch.optim.LBFGS([found], max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = 1e3 * (pictures(found) - seen).square().mean()
        value.backward()
        return value

    everywhere = torch.ones_like(truth)
    flat = float(relief_slope_loss(found.detach(), truth, everywhere))
    optimizer.step(closure)
    level = found.detach() - found.detach()[0, 0, 0] + truth[0, 0, 0]  # pictures do not know the height of the plane
    assert float(relief_slope_loss(level, truth, everywhere)) < 0.05 * flat
    assert float(relief_loss(level, truth, everywhere)) < 0.05 * float(truth.mean()) + 1e-3
    assert math.isfinite(flat) and flat > 0.01


def test_angle_of_normals_by_hand():
    """A slope of 45 degrees beside a flat one: 1 - cos 45° everywhere; with pixels twice as large, of atan(1/2)."""
    rising = torch.arange(5.0).expand(1, 5, 5).double()
    flat, ones = torch.zeros_like(rising), torch.ones_like(rising)
    assert float(normal_angle_loss(rising, flat, ones, 1.0)) == pytest.approx(1 - 2**-0.5, abs=1e-12)
    assert float(normal_angle_loss(rising, flat, ones, 2.0)) == pytest.approx(1 - 2 / 5**0.5, abs=1e-12)
    assert float(normal_angle_loss(rising, rising + 3.0, ones, 1.0)) == pytest.approx(0.0, abs=1e-12)
    sideways = height_normals(rising, 1.0)[0, 0, 0]
    assert sideways.tolist() == pytest.approx([-(2**-0.5), 0.0, 2**-0.5])  # leans away from where it rises


def test_angle_of_normals_counts_by_the_least_of_three_pixels():
    step = torch.zeros(1, 3, 3, dtype=torch.float64)
    step[0, :, 2] = 1.0  # a step between the second and the third column
    weight = torch.ones_like(step)
    weight[0, :, 2] = 0.5
    expected = (0.5 * 2 * (1 - 2**-0.5)) / (2 * 1.0 + 2 * 0.5)
    assert float(normal_angle_loss(step, 0 * step, weight, 1.0)) == pytest.approx(expected, abs=1e-12)
    assert float(normal_angle_loss(step, 0 * step, 0 * weight, 1.0)) == 0.0


def test_gradient_of_the_angle():
    generator = torch.Generator().manual_seed(0)
    relief, truth = (torch.randn(2, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    weight = torch.rand(2, 4, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda values: normal_angle_loss(values, truth, weight, 0.6), (relief.requires_grad_(),)
    )
