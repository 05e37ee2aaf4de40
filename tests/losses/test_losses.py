"""Losses against their definitions."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from pyface3d.face_models import load_face_model
from pyface3d.geometry import rotation_from_axis_angle
from pyface3d.losses import (
    asymmetric_loss,
    binary_loss,
    chordal_loss,
    coefficient_loss,
    distance_loss,
    gaussian_nll,
    masked_mean,
    rotation_angle,
    vertex_gram,
    vertex_loss,
)


def random_points() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return (
        torch.randn(4, 7, 2, dtype=torch.float64),
        torch.randn(4, 7, 2, dtype=torch.float64),
        0.5 * torch.randn(4, 7, dtype=torch.float64),
    )


def test_likelihood_is_that_of_a_gaussian():
    points, truth, log_sigma = random_points()
    sigma = log_sigma.exp()[..., None].expand_as(points)
    expected = -Independent(Normal(points, sigma), 1).log_prob(truth)
    torch.testing.assert_close(gaussian_nll(points, truth, log_sigma), expected.mean())
    mask = torch.rand(4, 7) < 0.5
    torch.testing.assert_close(gaussian_nll(points, truth, log_sigma, mask), expected[mask].mean())
    weighted = (expected * sigma[..., 0]).mean()
    torch.testing.assert_close(gaussian_nll(points, truth, log_sigma, beta=0.5), weighted)


def test_likelihood_is_best_at_the_true_deviation():
    error = torch.tensor([[[0.3, 0.4]]])
    sigma = torch.linspace(0.1, 1, 500)
    values = torch.stack([gaussian_nll(error, torch.zeros(1, 1, 2), s.log().expand(1, 1)) for s in sigma])
    assert float(sigma[values.argmin()]) == pytest.approx(0.5 / math.sqrt(2), abs=0.01)  # two axes


def test_weighting_by_the_deviation_leaves_its_gradient_sign():
    points, truth, log_sigma = (value.requires_grad_() for value in random_points())
    gaussian_nll(points, truth, log_sigma, beta=0.5).backward()
    pulled = -points.grad  # downhill is towards the truth
    assert (((truth - points) * pulled).sum(-1) > 0).all()
    too_small = (points - truth).norm(dim=-1) > math.sqrt(2) * log_sigma.exp()
    assert ((log_sigma.grad < 0) == too_small).all()


def test_distance_is_smooth_at_zero_and_plain_far_off():
    far = distance_loss(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2), softness=0.01)
    assert float(far) == pytest.approx(5 - 0.01, abs=1e-4)
    points = torch.zeros(1, 1, 2, requires_grad=True)
    distance_loss(points, torch.zeros(1, 1, 2)).backward()
    assert torch.equal(points.grad, torch.zeros(1, 1, 2))


@pytest.mark.parametrize("angle", [1e-4, 0.3, 2.0, math.pi - 1e-3])
def test_rotation_angle_and_chordal_loss(angle):
    axis = torch.nn.functional.normalize(torch.randn(5, 3), dim=1)
    start = rotation_from_axis_angle(torch.randn(5, 3))
    turned = rotation_from_axis_angle(axis * angle) @ start
    torch.testing.assert_close(rotation_angle(turned, start), torch.full((5,), angle), atol=2e-3, rtol=1e-3)
    assert float(chordal_loss(turned, start)) == pytest.approx(1 - math.cos(angle), abs=1e-5)


def test_binary_loss_is_cross_entropy():
    log_odds, truth = torch.randn(6, 3), torch.rand(6, 3) < 0.5
    expected = -Bernoulli(logits=log_odds).log_prob(truth.float())
    torch.testing.assert_close(binary_loss(log_odds, truth), expected.mean())
    mask = torch.tensor([True, False, True, True, False, False])
    torch.testing.assert_close(binary_loss(log_odds, truth, mask), expected[mask].mean())
    best = torch.full((1, 1), math.log(0.95 / 0.05), requires_grad=True)
    binary_loss(best, torch.tensor([[True]]), smoothing=0.1).backward()
    assert float(best.grad) == pytest.approx(0, abs=1e-6)


def test_vertex_loss_is_the_distance_of_the_meshes():
    model = load_face_model("head")
    torch.manual_seed(0)
    weights = model.regions["face"].float()
    gram = vertex_gram(model, weights)
    one, two = (torch.cat([torch.randn(3, model.identity_dim), torch.rand(3, model.expression_dim)], 1) for _ in "ab")
    meshes = [model.vertices(c[:, : model.identity_dim], c[:, model.identity_dim :]) for c in (one, two)]
    square = (meshes[0] - meshes[1]).square().sum(-1)[:, model.regions["face"]].mean(1)
    assert float(vertex_loss(one - two, gram)) == pytest.approx(float(square.sqrt().mean()), rel=1e-3)
    known = torch.tensor([False, True, False])
    assert float(vertex_loss(one - two, gram, known)) == pytest.approx(float(square[1].sqrt()), rel=1e-3)


def test_what_is_masked_does_not_count_even_if_it_is_not_finite():
    values = torch.tensor([[1.0, 3.0], [math.nan, math.inf]], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False]))
    mean.backward()
    assert float(mean.detach()) == 2
    assert torch.equal(values.grad, torch.tensor([[0.5, 0.5], [0.0, 0.0]]))
    assert float(masked_mean(values.detach(), torch.zeros(2, dtype=torch.bool))) == 0
    coefficients = torch.tensor([[1.0, 2.0], [math.nan, 0.0]])
    assert float(coefficient_loss(coefficients, torch.zeros(2, 2), torch.tensor([True, False]))) == 2.5


def test_too_little_costs_three_times_what_too_much_costs() -> None:
    """By hand: truth 2 and -2, answers 1 beyond, 1 short, of the other sign, right; and a true 0, which has no side."""
    truth = torch.tensor([[2.0, 2.0, -2.0, -2.0, 2.0, 0.0]])
    found = torch.tensor([[3.0, 1.0, -3.0, 1.0, 2.0, 5.0]])
    #                      1*1  3*1   1*1  3*9  0    0
    assert float(asymmetric_loss(found, truth)) == pytest.approx((1 + 3 + 1 + 27) / 6)
    assert float(asymmetric_loss(found, truth, over=2.0, under=0.0)) == pytest.approx(4 / 6)
    rows = torch.cat([found, found + 100]), torch.cat([truth, truth])
    assert float(asymmetric_loss(*rows, torch.tensor([True, False]))) == pytest.approx(32 / 6)


def test_equal_costs_are_a_squared_distance() -> None:
    torch.manual_seed(0)
    found, truth = torch.randn(2, 5, 9, dtype=torch.float64)
    equal = asymmetric_loss(found, truth, over=1.0, under=1.0)
    torch.testing.assert_close(equal, coefficient_loss(found, truth))
    assert torch.autograd.gradcheck(lambda values: asymmetric_loss(values, truth), (found.requires_grad_(),))
