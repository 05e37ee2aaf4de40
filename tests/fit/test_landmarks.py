"""The landmark fit: recovery of known people, Jacobian, batches, outliers, laws of scale, refusals."""

from dataclasses import replace

import pytest
import torch
from synthetic_people import FOCAL, HEIGHT, WIDTH, Truth, landmarks_of, people

from pyface3d.errors import InputError
from pyface3d.fit import fit_landmarks
from pyface3d.fit.plausibility import check_plausibility
from pyface3d.fit.posterior import FaceState, LandmarkProblem, residual_jacobian
from pyface3d.fit.priors import expression_prior, split_side
from pyface3d.fit.sparse_model import sparse_face
from pyface3d.geometry import align_similarity, axis_angle_from_rotation, euler_from_rotation, rotation_from_euler

# Weights that leave the data alone, for tests of the machinery rather than of the priors.
FREE = {"identity_weight": 1e-6, "expression_weight": 1e-6, "sigma_floor": 0.0}


def fit(model, truth, **options):
    return fit_landmarks(model, truth.points, truth.sigma, HEIGHT, WIDTH, **{"focal": FOCAL, **options})


def pose_error_degrees(found, truth) -> torch.Tensor:
    return axis_angle_from_rotation(found.rotation @ truth.rotation.transpose(1, 2)).norm(dim=-1).rad2deg()


def test_without_noise_the_landmarks_are_met_exactly(head):
    truth = people(head, 6)
    inner = torch.arange(68) >= 17  # without priors the jaw points have several outlines to settle on
    found = fit(head, truth, use=inner, **FREE)
    miss = (found.points - truth.points).norm(dim=-1)[:, inner].amax(1)
    # The stopping rule (1e-4) and priors of 1e-6 leave this much, of faces some 190 px wide.
    assert miss.median() < 0.01
    assert miss.max() < 0.05
    assert found.points.dtype == torch.float64


def test_pose_of_the_mean_face_is_recovered_exactly(head):
    truth = people(head, 8, yaw=0.9)
    zeros = torch.zeros(8, head.identity_dim + head.expression_dim, dtype=torch.float64)
    points = landmarks_of(head, zeros, truth.rotation, truth.translation)
    still = replace(truth, points=points)
    found = fit(head, still)
    # The priors' minimum is the truth here, but for the lips: the mean face's overlap a little and the fit parts them.
    assert pose_error_degrees(found, still).max() < 0.3
    assert found.identity.abs().max() < 0.1
    torch.testing.assert_close(found.translation, still.translation, rtol=1e-3, atol=0.1)
    assert bool(found.converged.all())


def test_noise_of_two_percent_leaves_pose_and_shape_near_the_truth(head):
    truth = people(head, 16)
    noise = torch.randn(truth.points.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    noisy = replace(truth, points=truth.points + 1.5 * noise, sigma=truth.sigma * 3)
    found = fit(head, noisy)
    assert pose_error_degrees(found, truth).median() < 2.5
    verts, wanted = found.verts(head), head.vertices(truth.identity.float(), truth.expression.float())
    mean = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))
    face = head.topology.faces[head.landmarks("ibug68").faces.long()].flatten().long()

    def shape_error(verts):
        near = verts[:, face] - verts[:, face].mean(1, keepdim=True)
        far = wanted[:, face] - wanted[:, face].mean(1, keepdim=True)
        return (near - far).norm(dim=-1).mean().item()

    assert shape_error(verts.float()) < 0.8 * shape_error(mean.expand_as(wanted))


def test_jacobian_is_the_derivative_of_the_residual(head):
    truth = people(head, 2)
    sparse = sparse_face(head)
    generator = torch.Generator().manual_seed(3)
    count = head.identity_dim + head.expression_dim
    coefficients = torch.rand(2, count, generator=generator, dtype=torch.float64)
    state = FaceState(truth.rotation, truth.translation, coefficients)
    centre = torch.tensor([[WIDTH / 2, HEIGHT / 2]] * 2, dtype=torch.float64)
    focal = torch.full((2,), FOCAL, dtype=torch.float64)
    prior = expression_prior(head)
    expected = 0.3 * torch.ones_like(torch.cat([truth.identity, truth.expression], 1))
    problem = LandmarkProblem(sparse, prior, expected, truth.points, truth.sigma, focal, centre, 1.0, 1.0, False)
    index = torch.arange(68).expand(2, -1)
    residual, jacobian = residual_jacobian(problem, state, index)

    def moved(step):
        return residual_jacobian(problem, state.moved(step), index)[0]

    zero = torch.zeros(2, 6 + count, dtype=torch.float64)
    by_autograd = torch.autograd.functional.jacobian(moved, zero)
    both = torch.stack([by_autograd[b, ..., b, :] for b in range(2)])
    torch.testing.assert_close(jacobian, both)
    torch.testing.assert_close(moved(zero), residual)


def test_a_photo_does_not_depend_on_its_batch(head):
    truth = people(head, 5)
    together = fit(head, truth)
    for b in range(5):
        alone = fit_landmarks(head, truth.points[b : b + 1], truth.sigma[b : b + 1], HEIGHT, WIDTH, focal=FOCAL)
        # Batched factorisations round differently; everything is float64.
        torch.testing.assert_close(alone.identity[0], together.identity[b], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.points[0], together.points[b], rtol=0, atol=1e-6)


def test_is_repeatable_to_the_bit(head):
    truth = people(head, 3)
    one, two = fit(head, truth), fit(head, truth)
    assert torch.equal(one.identity, two.identity)
    assert torch.equal(one.rotation, two.rotation)


def test_photos_of_one_person_share_identity_and_know_it_better(head):
    truth = people(head, 6, same_person=True, seed=2)
    noise = torch.randn(truth.points.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noisy = replace(truth, points=truth.points + 2 * noise, sigma=truth.sigma * 4)
    apart, shared = fit(head, noisy), fit(head, noisy, share_identity=True)
    assert torch.equal(shared.identity, shared.identity[:1].expand_as(shared.identity))

    def shape_error(found):
        """mm after alignment with scale: photos of one unknown camera distance do not tell a head's size."""
        sparse = sparse_face(head)
        still = torch.zeros(6, head.expression_dim, dtype=torch.float64)
        verts = sparse.points(torch.cat([found.identity, still], 1))[:, :68]
        wanted = sparse.points(torch.cat([truth.identity, still], 1))[:, :68]
        return (align_similarity(verts, wanted).apply(verts) - wanted).norm(dim=-1).mean().item()

    assert shape_error(shared) < 0.9 * shape_error(apart)


def test_a_fifth_of_wild_landmarks_hardly_moves_the_pose(head):
    truth = people(head, 10)
    generator = torch.Generator().manual_seed(11)
    points = truth.points.clone()
    for b in range(10):
        wild = torch.randperm(68, generator=generator)[:14]
        points[b, wild] += torch.randn(14, 2, generator=generator, dtype=torch.float64) * 40
    spoiled = replace(truth, points=points)
    clean, found = fit(head, truth), fit(head, spoiled)
    apart = axis_angle_from_rotation(found.rotation @ clean.rotation.transpose(1, 2)).norm(dim=-1).rad2deg()
    assert apart.median() < 1.0
    assert apart.max() < 4.0
    right = (points - truth.points).norm(dim=-1) == 0
    miss = (found.points - truth.points).norm(dim=-1)
    assert miss[right].mean() < 1.5  # px, of faces some 190 px wide
    far = (points - truth.points).norm(dim=-1) > 30
    assert found.inlier_weight[far].mean() < 0.2 * found.inlier_weight[right].mean()


@pytest.mark.parametrize("degrees", [-85, -60, 60, 85])
def test_profiles_are_not_mirrored(head, degrees):
    truth = people(head, 4, yaw=0.0)
    turn = torch.full((4,), degrees, dtype=torch.float64).deg2rad()
    side = rotation_from_euler(turn, torch.zeros_like(turn), torch.zeros_like(turn))
    coefficients = torch.cat([truth.identity, truth.expression], 1)
    points = landmarks_of(head, coefficients, side, truth.translation)
    yaw, _, _ = euler_from_rotation(fit_landmarks(head, points, truth.sigma * 3, HEIGHT, WIDTH, focal=FOCAL).rotation)
    assert (yaw.rad2deg() - degrees).abs().max() < 15


def test_shifting_and_enlarging_the_photo_changes_nothing_but_pixels(head):
    truth = people(head, 3)
    small = fit(head, truth)
    factor = 3.0
    large = fit_landmarks(
        *(head, truth.points * factor, truth.sigma * factor),
        *(int(HEIGHT * factor), int(WIDTH * factor)),
        focal=FOCAL * factor,
    )
    torch.testing.assert_close(large.identity, small.identity, rtol=0, atol=1e-6)
    torch.testing.assert_close(large.translation, small.translation, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(large.points, small.points * factor, rtol=0, atol=1e-4)


def test_expression_stays_within_bounds_and_faces_stay_plausible(head):
    truth = people(head, 6)
    noise = torch.randn(truth.points.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    noisy = replace(truth, points=truth.points + 6 * noise)  # much more than σ says
    found = fit(head, noisy)
    assert found.expression.min() >= 0
    assert found.expression.max() <= 1
    checks = check_plausibility(head, found)
    assert checks.identity_rms.max() < 1.0
    assert (checks.interpupil_mm > 50).all()
    assert (checks.interpupil_mm < 80).all()


def test_unused_landmarks_do_not_count(head):
    truth = people(head, 2)
    use = torch.ones(68, dtype=torch.bool)
    use[::4] = False
    spoiled = truth.points.clone()
    spoiled[:, ::4] += 300
    spoiled = replace(truth, points=spoiled)
    torch.testing.assert_close(fit(head, spoiled, use=use).points, fit(head, truth, use=use).points, rtol=0, atol=1e-3)


def test_float32_in_float32_out(head):
    truth = people(head, 2)
    single = Truth(**{name: value.float() for name, value in vars(truth).items()})
    found = fit(head, single)
    assert {found.identity.dtype, found.points.dtype, found.camera.focal.dtype} == {torch.float32}


def test_default_focal_keeps_faces_at_arms_length(head):
    truth = people(head, 1)
    wide = fit(head, truth, focal=None)
    assert wide.camera.focal.item() >= 1.2 * WIDTH
    assert wide.translation[0, 2] > 550


def test_empty_batch(head):
    found = fit_landmarks(head, torch.zeros(0, 68, 2), torch.ones(0, 68), HEIGHT, WIDTH)
    assert found.identity.shape == (0, head.identity_dim)
    assert found.points.shape == (0, 68, 2)


def test_equal_points_give_finite_numbers(head):
    found = fit_landmarks(head, torch.full((1, 68, 2), 100.0), torch.ones(1, 68), HEIGHT, WIDTH)
    for value in (found.identity, found.rotation, found.translation, found.points):
        assert bool(value.isfinite().all())


@pytest.mark.parametrize(
    ("points", "sigma", "options", "message"),
    [
        (torch.zeros(1, 67, 2), torch.ones(1, 68), {}, "points must have shape"),
        (torch.zeros(1, 68, 2, dtype=torch.int64), torch.ones(1, 68), {}, "points must be float32 or float64"),
        (torch.full((1, 68, 2), torch.nan), torch.ones(1, 68), {}, "points must be finite"),
        (torch.zeros(1, 68, 2), torch.ones(2, 68), {}, "sigma must have shape"),
        (torch.zeros(1, 68, 2), torch.zeros(1, 68), {}, "sigma must be positive"),
        (torch.zeros(1, 68, 2), torch.ones(1, 68), {"focal": 0.0}, "focal must be positive"),
        (torch.zeros(1, 68, 2), torch.ones(1, 68), {"focal": torch.ones(3)}, "focal must have shape"),
        (torch.zeros(1, 68, 2), torch.ones(1, 68), {"use": torch.ones(60, dtype=torch.bool)}, "use must have"),
    ],
)
def test_refusals(head, points, sigma, options, message):
    with pytest.raises(InputError, match=message):
        fit_landmarks(head, points, sigma, HEIGHT, WIDTH, **options)


def test_sides_of_actions_pair_up():
    assert split_side("eyeBlinkLeft") == split_side("eyeBlink_L") == ("eyeBlink", "L")
    assert split_side("jawLeft") == ("jawLeft", "")
    assert split_side("mouthRight") == ("mouthRight", "")
    assert split_side("eyeLookInLeft")[0] == split_side("eyeLookOutRight")[0] == "eyeLookRight"
    assert split_side("jawOpen") == ("jawOpen", "")


def test_prior_is_positive_definite_and_bounds_actions(head):
    prior = expression_prior(head)
    assert bool((torch.linalg.eigvalsh(prior.precision) > 0).all())
    assert (prior.lower == 0).all()
    assert (prior.upper == 1).all()
