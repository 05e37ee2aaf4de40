"""Errors of landmarks that go together: their algebra, their symmetry, and what knowing them is worth."""

import pytest
import torch
from synthetic_people import FOCAL, HEIGHT, WIDTH, people

from pyface3d.detect.landmarks import MIRRORED_LANDMARKS
from pyface3d.fit import fit_landmarks
from pyface3d.fit.landmark_noise import LandmarkNoise, explain, face_axes, turn_terms
from pyface3d.geometry import rotation_from_euler


@pytest.fixture(scope="module")
def noise() -> LandmarkNoise:
    return LandmarkNoise.load()


def turned(yaw: float, roll: float = 0.0) -> torch.Tensor:
    return rotation_from_euler(*torch.tensor([[yaw], [0.1], [roll]], dtype=torch.float64))


def test_without_a_robust_loss_it_is_generalised_least_squares():
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(2, 68, 2, generator=generator, dtype=torch.float64)
    common = torch.randn(2, 136, 5, generator=generator, dtype=torch.float64)
    jacobian = torch.randn(2, 136, 7, generator=generator, dtype=torch.float64)
    explained = explain(residual, common, 1e6)
    hessian, gradient = explained.normal_equations(jacobian)
    covariance = torch.eye(136, dtype=torch.float64) + common @ common.transpose(1, 2)
    weighted = torch.linalg.solve(covariance, jacobian)
    flat = residual.flatten(1)[..., None]
    torch.testing.assert_close(hessian, jacobian.transpose(1, 2) @ weighted, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(gradient, (weighted.transpose(1, 2) @ flat).squeeze(-1), rtol=1e-6, atol=1e-8)
    cost = explained.rest.square().sum((1, 2)) + explained.cost
    wanted = (flat.transpose(1, 2) @ torch.linalg.solve(covariance, flat)).flatten()
    torch.testing.assert_close(cost, wanted, rtol=1e-6, atol=1e-8)


def test_the_gradient_is_that_of_the_robust_cost():
    generator = torch.Generator().manual_seed(1)
    residual = 2 * torch.randn(1, 68, 2, generator=generator, dtype=torch.float64)
    common = 0.3 * torch.randn(1, 136, 5, generator=generator, dtype=torch.float64)
    way = torch.randn(1, 68, 2, generator=generator, dtype=torch.float64)

    def cost(step: float) -> float:
        explained = explain(residual + step * way, common, 3.5)
        square = explained.rest.square().sum(-1)
        return float((square / (1 + square / 3.5**2)).sum() + explained.cost)

    _, gradient = explain(residual, common, 3.5).normal_equations(way.flatten(1)[..., None])
    assert (cost(1e-4) - cost(-1e-4)) / 4e-4 == pytest.approx(float(gradient), rel=1e-3)


def test_an_outlier_does_not_pull_the_common_part():
    residual, common = torch.zeros(1, 68, 2).double(), torch.ones(1, 136, 1).double()
    residual[0, 5] = 200.0
    assert float(explain(residual, common, 3.5).cost) < 1e-3


def test_a_mirrored_face_has_the_mirrored_noise(noise):
    flip = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    sigma = torch.rand(1, 68, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.tensor([3.0], dtype=torch.float64)
    here = noise.in_photo(turned(0.5), scale, sigma)
    there = noise.in_photo(turned(-0.5), scale, sigma[:, MIRRORED_LANDMARKS])
    torch.testing.assert_close(there.bias, here.bias[:, MIRRORED_LANDMARKS] * flip, rtol=0, atol=1e-3)
    torch.testing.assert_close(there.own, here.own[:, MIRRORED_LANDMARKS], rtol=0, atol=1e-3)
    mirrored = (here.common.view(68, 2, -1)[MIRRORED_LANDMARKS] * flip[:, None]).flatten(0, 1)
    covariance = there.common[0] @ there.common[0].T
    torch.testing.assert_close(covariance, mirrored @ mirrored.T, rtol=0, atol=1e-3)


def test_noise_turns_and_scales_with_the_face(noise):
    sigma = torch.ones(1, 68, dtype=torch.float64)
    upright = noise.in_photo(turned(0.4), torch.tensor([1.0]).double(), sigma)
    tilted = noise.in_photo(turned(0.4, 0.7), torch.tensor([2.0]).double(), 2 * sigma)
    turn = face_axes(turned(0.4, 0.7)) @ face_axes(turned(0.4)).transpose(1, 2)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(1).double())
    torch.testing.assert_close(tilted.bias.norm(dim=-1), 2 * upright.bias.norm(dim=-1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(tilted.own, 2 * upright.own)
    torch.testing.assert_close(face_axes(turned(0.0)), torch.eye(2).double()[None], rtol=0, atol=1e-6)
    assert float(turn_terms(turned(0.5))[0, 1]) > 0.4  # turned to the right of the picture


def test_knowing_the_noise_finds_the_person(head, noise):
    truth = people(head, 12)
    generator = torch.Generator().manual_seed(2)
    scale = FOCAL / truth.translation[:, 2]
    sigma = (1.5 * scale)[:, None].expand(-1, 68).double()
    seen = noise.in_photo(truth.rotation, scale, sigma)
    drawn = torch.randn(len(sigma), seen.common.shape[2], 1, generator=generator, dtype=torch.float64)
    independent = torch.randn(len(sigma), 68, 2, generator=generator, dtype=torch.float64) * seen.own[..., None]
    points = truth.points + seen.bias + (seen.common @ drawn).view(-1, 68, 2) + independent

    def error(**options) -> float:
        fit = fit_landmarks(head, points, sigma, HEIGHT, WIDTH, focal=FOCAL, **options)
        return float((fit.identity - truth.identity).square().mean().sqrt())

    informed = error(noise=noise, identity_weight=1.0)
    assert informed < 0.95 * min(error(identity_weight=weight) for weight in (1.0, 2.0, 4.0))
