"""The fit with the network's dense points: what they add, what hidden ones cost, where coefficients come in."""

from dataclasses import replace

import pytest
import torch
from synthetic_people import FOCAL, HEIGHT, WIDTH, people

from pyface3d.errors import InputError
from pyface3d.face_models import load_face_model
from pyface3d.fit import DenseLandmarks, fit_landmarks
from pyface3d.fit.landmarks import fitted_problem
from pyface3d.fit.sparse_model import has_dense_points, sparse_face
from pyface3d.geometry import Camera

COUNT = 4


@pytest.fixture(scope="module")
def truth(head):
    return people(head, COUNT, seed=3)


def dense_of(head, truth) -> torch.Tensor:
    """Where the dense points of the true faces are, (B, 320, 2) px."""
    verts = head.vertices(truth.identity.float(), truth.expression.float())
    spots = head.landmarks("dense320").points(verts, head.topology).double()
    camera = Camera.centered(torch.full((len(spots),), FOCAL, dtype=torch.float64), HEIGHT, WIDTH)
    return camera.project(spots @ truth.rotation.transpose(1, 2) + truth.translation[:, None])[..., :2]


def noisy(points: torch.Tensor, sigma: float, seed: int) -> torch.Tensor:
    noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points + sigma * noise


def shape_error(head, fit, truth) -> float:
    """Mean distance of the neutral faces' skin from the true ones', mm, mean over people, without their shift."""
    neutral = torch.zeros(COUNT, head.expression_dim)
    face = head.regions["face"]
    apart = head.vertices(fit.identity.float(), neutral) - head.vertices(truth.identity.float(), neutral)
    apart = apart[:, face] - apart[:, face].mean(1, keepdim=True)
    return float(apart.norm(dim=-1).mean())


def fit_of(head, truth, dense, points=None, **options):
    given = truth.points if points is None else points
    return fit_landmarks(head, given, truth.sigma * 2, HEIGHT, WIDTH, focal=FOCAL, dense=dense, **options)


def test_the_sparse_model_has_the_dense_points(head, truth):
    sparse = sparse_face(head)
    assert has_dense_points(head) and sparse.num_observable == 388
    spots = sparse.points(torch.cat([truth.identity, truth.expression], 1))[:, 68:388]
    verts = head.vertices(truth.identity.float(), truth.expression.float())
    torch.testing.assert_close(
        spots.float(), head.landmarks("dense320").points(verts, head.topology), rtol=0, atol=1e-3
    )


def test_dense_points_tell_more_of_the_face(head, truth):
    points, dense = noisy(truth.points, 1.0, 1), noisy(dense_of(head, truth), 1.0, 2)
    sigma = torch.full((COUNT, 320), 1.0, dtype=torch.float64)
    sparse = fit_of(head, truth, None, points)
    both = fit_of(head, truth, DenseLandmarks(dense, sigma), points)
    assert shape_error(head, both, truth) < 0.93 * shape_error(head, sparse, truth)
    assert both.points.shape == (COUNT, 68, 2) and both.sigma.shape == (COUNT, 68)
    assert both.dense is not None and both.dense.points.shape == (COUNT, 320, 2)
    assert sparse.dense is None
    assert bool((both.contour < head.topology.num_verts).all())


def test_hidden_points_count_less(head, truth):
    """A third of the points are somewhere else, and say so by their deviation: the face hardly moves."""
    dense = dense_of(head, truth)
    sigma = torch.full((COUNT, 320), 1.0, dtype=torch.float64)
    hidden = torch.arange(320) % 3 == 0
    spoiled = torch.where(hidden[:, None], dense + 8.0, dense)
    whole = fit_of(head, truth, DenseLandmarks(dense, sigma))
    warned = fit_of(head, truth, DenseLandmarks(spoiled, torch.where(hidden, 40.0, sigma)))
    deceived = fit_of(head, truth, DenseLandmarks(spoiled, sigma))
    errors = [shape_error(head, fit, truth) for fit in (whole, warned, deceived)]
    assert errors[1] < errors[0] + 0.2
    assert errors[2] > errors[1]


def test_where_points_are_silent_the_coefficients_speak(head, truth):
    silent = DenseLandmarks(
        dense_of(head, truth),
        torch.full((COUNT, 320), 1e5, dtype=torch.float64),
        0.5 * truth.identity,
        truth.expression,
    )
    no_word = torch.full_like(truth.sigma, 1e5)
    fit = fit_landmarks(head, truth.points, no_word, HEIGHT, WIDTH, focal=FOCAL, dense=silent)
    torch.testing.assert_close(fit.identity, 0.5 * truth.identity, rtol=0, atol=0.02)
    torch.testing.assert_close(fit.expression, truth.expression, rtol=0, atol=0.02)


def test_coefficients_near_the_truth_help(head, truth):
    points, dense = noisy(truth.points, 2.0, 1), noisy(dense_of(head, truth), 2.0, 2)
    sigma = torch.full((COUNT, 320), 2.0, dtype=torch.float64)
    without = fit_of(head, truth, DenseLandmarks(dense, sigma), points)
    told = DenseLandmarks(dense, sigma, 0.8 * truth.identity, truth.expression)
    assert shape_error(head, fit_of(head, truth, told, points), truth) < 0.8 * shape_error(head, without, truth)


def test_photos_of_one_person_share_what_the_network_says(head):
    one = people(head, COUNT, seed=5, same_person=True)
    generator = torch.Generator().manual_seed(0)
    guesses = one.identity + 0.3 * torch.randn(one.identity.shape, generator=generator, dtype=torch.float64)
    sigma = torch.full((COUNT, 320), 1.0, dtype=torch.float64)
    fit = fit_of(head, one, DenseLandmarks(dense_of(head, one), sigma, guesses, None), share_identity=True)
    torch.testing.assert_close(fit.identity, fit.identity[:1].expand(COUNT, -1))
    assert fit.dense is not None and fit.dense.identity is not None
    torch.testing.assert_close(fit.dense.identity, guesses.mean(0).expand(COUNT, -1))


def test_a_fit_that_goes_on_keeps_the_evidence(head, truth):
    sigma = torch.full((COUNT, 320), 1.0, dtype=torch.float64)
    fit = fit_of(head, truth, DenseLandmarks(dense_of(head, truth), sigma, 0.3 * truth.identity, truth.expression))
    problem = fitted_problem(head, fit, 2.0, 1.0, False)
    assert problem.points.shape == (COUNT, 388, 2)
    torch.testing.assert_close(problem.expected[:, : head.identity_dim], 0.3 * truth.identity)
    moved = fit.dense.shifted(torch.tensor([-3.0, 2.0]))
    torch.testing.assert_close(moved.points, fit.dense.points + torch.tensor([-3.0, 2.0]))
    assert moved.identity is fit.dense.identity
    plain = fitted_problem(head, fit_of(head, truth, None), 2.0, 1.0, False)
    assert plain.points.shape == (COUNT, 68, 2) and not plain.expected.any()


def test_what_cannot_be_fitted_is_said(head, truth, tmp_path):
    dense = DenseLandmarks(dense_of(head, truth), torch.ones(COUNT, 320, dtype=torch.float64))
    with pytest.raises(InputError, match=r"dense\.points"):
        fit_of(head, truth, replace(dense, points=dense.points[:, :68]))
    with pytest.raises(InputError, match=r"dense\.sigma must be positive"):
        fit_of(head, truth, replace(dense, sigma=dense.sigma * 0))
    with pytest.raises(InputError, match=r"dense\.identity"):
        fit_of(head, truth, replace(dense, identity=truth.identity[:, :3]))
    plain = replace(load_face_model("head"), embeddings={"ibug68": head.landmarks("ibug68")}, name="other")
    with pytest.raises(InputError, match="'other' has no dense points"):
        fit_of(plain, truth, dense)
