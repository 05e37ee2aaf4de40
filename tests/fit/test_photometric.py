"""The photometric fit: derivatives, recovery of known people, occluders, unseen pixels, refusals."""

from dataclasses import replace

import pytest
import torch
from synthetic_people import photographed

from pyface3d.errors import InputError
from pyface3d.fit import check_plausibility, fit_landmarks, fit_photometric, render_fit
from pyface3d.fit.dense_model import dense_face
from pyface3d.fit.pixels import Appearance, Crop, Noise, PixelProblem, choose_points, render, to_perceived
from pyface3d.fit.posterior import POSE, FaceState
from pyface3d.geometry import align_similarity

SIZE = 224


@pytest.fixture(scope="module")
def scene(head):
    """Truth, pictures and the landmark fit (2 % noise) of three people."""
    truth, pictures, points = photographed(head, 3, size=SIZE)
    noise = 0.02 * (points[:, 36] - points[:, 45]).norm(dim=-1)[:, None, None]
    points = points + noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(4))
    sigma = noise[:, 0].expand(-1, 68)
    return truth, pictures, fit_landmarks(head, points, sigma, SIZE, SIZE, focal=truth.camera.focal)


def shape_error(head, fit, truth) -> torch.Tensor:
    """mm over the facial skin after alignment with scale, (B,)."""
    face = head.regions["face"]
    found, wanted = fit.verts(head)[:, face], truth.verts(head)[:, face]
    return (align_similarity(found, wanted).apply(found) - wanted).norm(dim=-1).mean(-1)


def pixel_problem(head, truth, pictures):
    dense, state = dense_face(head), None
    coefficients = torch.cat([truth.identity, truth.expression], 1)[:1].double()
    state = FaceState(truth.rotation[:1].double(), truth.translation[:1].double(), coefficients)
    look = Appearance(truth.light[0].double(), truth.albedo[0].double())
    valid = torch.ones(SIZE, SIZE, dtype=torch.bool)
    crop = Crop(to_perceived(pictures[0]), valid, truth.camera[0])
    drawn = render(dense, head.topology, crop.camera, state, look)
    points = choose_points(dense, head.topology, drawn, torch.ones(SIZE, SIZE), state, 1500, 1e9)
    return PixelProblem.make(dense, head.topology, points, crop, Noise(0.1, 0.05), 2.0), state, look


def test_gradient_of_light_and_albedo_is_that_of_the_cost(head, scene):
    truth, pictures, _ = scene
    problem, state, look = pixel_problem(head, truth, pictures)
    look = Appearance(look.light * 1.1 + 0.05, look.albedo + 0.5)
    start = POSE + state.coefficients.shape[1]
    _, gradient = problem.quadratic_model(state, look)
    step = 1e-2  # costs are float32 sums of some thousands: smaller differences drown
    for index in (0, 4, 11, 26, 27, 30):
        costs = []
        for side in (step, -step):
            light, albedo = look.light.clone(), look.albedo.clone()
            (light.view(-1) if index < 27 else albedo)[index if index < 27 else index - 27] += side
            costs.append(problem.cost(state, Appearance(light, albedo)))
        numeric = (costs[0] - costs[1]) / (4 * step)  # the gradient is of half the cost
        assert gradient[start + index].item() == pytest.approx(numeric, rel=0.02, abs=0.5)


def test_gradient_of_pose_and_shape_points_along_that_of_the_cost(head, scene):
    """The picture's slope is a central difference, not the derivative of its interpolation: equal only nearly."""
    truth, pictures, _ = scene
    problem, state, look = pixel_problem(head, truth, pictures)
    generator = torch.Generator().manual_seed(0)
    offset = torch.randn(1, state.coefficients.shape[1], generator=generator, dtype=torch.float64)
    state = replace(state, coefficients=state.coefficients + 0.3 * offset)
    _, gradient = problem.quadratic_model(state, look)
    for group in (slice(0, 3), slice(3, 6), slice(6, 26)):
        numeric = []
        for index in range(*group.indices(100)):
            step = torch.zeros(1, POSE + state.coefficients.shape[1], dtype=torch.float64)
            step[0, index] = 1e-3 if index < 3 else 0.05
            costs = [problem.cost(state.moved(sign * step), look) for sign in (1, -1)]
            numeric.append((costs[0] - costs[1]) / (4 * step[0, index]))
        numeric = torch.stack(numeric)
        assert torch.nn.functional.cosine_similarity(numeric, gradient[group], dim=0) > 0.97


def test_pixels_bring_shape_albedo_and_light_nearer_to_the_truth(head, scene):
    truth, pictures, start = scene
    found = fit_photometric(head, pictures, start)
    assert shape_error(head, found, truth).mean() < 0.95 * shape_error(head, start, truth).mean()
    wanted, mean = head.albedo(truth.albedo), head.albedo(torch.zeros(1, head.albedo_dim))
    assert (head.albedo(found.albedo) - wanted).abs().mean() < 0.5 * (mean - wanted).abs().mean()
    flat = torch.zeros_like(truth.light)
    flat[:, 0] = truth.light[:, :1].mean()
    assert (found.light - truth.light).norm() < 0.6 * (flat - truth.light).norm()
    face = render_fit(head, truth)
    seen = torch.stack([one.facial for one in face])
    assert found.inliers[seen].float().mean() > 0.9
    covered = torch.stack([one.covered for one in render_fit(head, found)])
    assert not found.inliers[~torch.nn.functional.max_pool2d(covered.float(), 5, 1, 2).bool()].any()


def test_an_occluder_is_left_out_and_does_not_bend_the_face(head, scene):
    truth, pictures, start = scene
    hidden = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    hidden[SIZE // 2 + 14 :, SIZE // 4 : 3 * SIZE // 4] = True  # mouth and chin, as a mask would
    generator = torch.Generator().manual_seed(3)
    cloth = torch.tensor([0.10, 0.25, 0.50]) * (0.8 + 0.4 * torch.rand(SIZE, SIZE, 1, generator=generator))
    found = fit_photometric(head, torch.where(hidden[..., None], cloth, pictures), start)
    facial = torch.stack([one.facial for one in render_fit(head, truth)])
    assert found.inliers[facial & ~hidden].float().mean() > 0.85
    assert found.inliers[facial & hidden].float().mean() < 0.15
    assert shape_error(head, found, truth).mean() < 1.1 * shape_error(head, start, truth).mean()
    assert check_plausibility(head, found).identity_max.max() < 3


def test_a_mask_tells_a_hand_of_the_skin_s_own_colour(head, scene):
    truth, pictures, start = scene
    hidden = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    hidden[SIZE // 2 + 10 :, SIZE // 4 : 3 * SIZE // 4] = True
    facial = torch.stack([one.facial for one in render_fit(head, truth)])
    skin = torch.stack([picture[where].median(0).values for picture, where in zip(pictures, facial)])
    painted = torch.where(hidden[..., None], skin[:, None, None], pictures)
    alone = fit_photometric(head, painted, start)
    told = fit_photometric(head, painted, start, seen=~hidden.expand(3, -1, -1))
    assert alone.inliers[facial & hidden].float().mean() > 0.3  # what the mask is for
    assert told.inliers[facial & hidden].float().mean() < 0.03
    assert told.inliers[facial & ~hidden].float().mean() > 0.85
    assert shape_error(head, told, truth).mean() < 1.02 * shape_error(head, alone, truth).mean()
    everything = fit_photometric(head, pictures, start, seen=torch.ones(3, SIZE, SIZE))
    assert everything.inliers[facial].float().mean() > 0.9


def test_predicts_pixels_that_it_did_not_see(head, scene):
    truth, pictures, start = scene
    blocks = torch.rand(SIZE // 16, SIZE // 16, generator=torch.Generator().manual_seed(0)) < 0.5
    visible = blocks.repeat_interleave(16, 0).repeat_interleave(16, 1).expand(3, -1, -1)
    errors = {}
    for unknowns in ("light", "all"):
        found = fit_photometric(head, pictures, start, visible=visible, unknowns=unknowns)
        facial = torch.stack([one.facial for one in render_fit(head, truth)]) & ~visible
        drawn = torch.stack([one.colour for one in render_fit(head, found)])
        errors[unknowns] = (to_perceived(pictures) - drawn).norm(dim=-1)[facial].mean()
    assert errors["all"] < 0.9 * errors["light"]


def test_hidden_pixels_change_nothing(head, scene):
    _, pictures, start = scene
    visible = torch.ones(3, SIZE, SIZE, dtype=torch.bool)
    visible[:, SIZE // 2 :] = False
    noise = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(6))
    spoiled = torch.where(visible[..., None], pictures, noise)
    # The crop's antialiasing reaches over the border into pixels that are then not valid.
    one = fit_photometric(head, pictures, start, visible=visible, unknowns="light")
    two = fit_photometric(head, spoiled, start, visible=visible, unknowns="light")
    torch.testing.assert_close(one.light, two.light, rtol=0, atol=0.1)


def test_a_photo_does_not_depend_on_its_batch_and_runs_repeat(head, scene):
    _, pictures, start = scene
    together = fit_photometric(head, pictures, start, unknowns="colour")
    again = fit_photometric(head, pictures, start, unknowns="colour")
    assert torch.equal(together.light, again.light)
    one = {name: value[1:2] for name, value in vars(start).items() if value is not None}
    alone = fit_photometric(head, pictures[1:2], type(start)(**one), unknowns="colour")
    torch.testing.assert_close(alone.light[0], together.light[1], rtol=1e-4, atol=1e-4)
    assert torch.equal(alone.inliers[0], together.inliers[1])


def test_photos_of_one_person_share_identity(head, scene):
    _, pictures, start = scene
    same = replace(start, identity=start.identity[:1].expand(3, -1).clone())
    found = fit_photometric(head, pictures, same, share_identity=True)
    torch.testing.assert_close(found.identity, found.identity[:1].expand(3, -1))


@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_a_blank_picture_gives_finite_numbers(head, scene, colour):
    _, pictures, start = scene
    found = fit_photometric(head, torch.full_like(pictures, colour), start)
    for value in (found.identity, found.expression, found.rotation, found.light, found.albedo):
        assert bool(value.isfinite().all())
    assert found.expression.min() >= 0


def test_nothing_visible_leaves_the_landmark_fit(head, scene):
    _, pictures, start = scene
    nothing = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
    for told in ({"visible": nothing}, {"seen": nothing}):
        found = fit_photometric(head, pictures, start, **told)
        assert (found.points - start.points).norm(dim=-1).mean() < 1.5
    assert found.inliers.float().mean() < 0.01


def test_a_face_at_the_picture_s_edge(head, scene):
    _, pictures, start = scene
    cut = SIZE // 2
    narrow = replace(start, camera=replace(start.camera, width=cut))
    found = fit_photometric(head, pictures[:, :, :cut], narrow)
    assert found.inliers.shape == (3, SIZE, cut)
    assert bool(found.identity.isfinite().all())


def test_empty_batch(head):
    nobody = fit_landmarks(head, torch.zeros(0, 68, 2), torch.ones(0, 68), SIZE, SIZE)
    found = fit_photometric(head, torch.zeros(0, SIZE, SIZE, 3), nobody)
    assert found.inliers.shape == (0, SIZE, SIZE)
    assert found.light.shape == (0, 9, 3)
    assert found.albedo.shape == (0, head.albedo_dim)


def test_refusals(head, scene):
    _, pictures, start = scene
    with pytest.raises(InputError, match="image_linear must have shape"):
        fit_photometric(head, pictures[:2], start)
    with pytest.raises(InputError, match="image_linear must be float"):
        fit_photometric(head, (pictures * 255).to(torch.uint8), start)
    with pytest.raises(InputError, match="image_linear must be finite"):
        fit_photometric(head, pictures * torch.nan, start)
    with pytest.raises(InputError, match="visible must have shape"):
        fit_photometric(head, pictures, start, visible=torch.ones(1, 2, 2, dtype=torch.bool))
    with pytest.raises(InputError, match="seen must have shape"):
        fit_photometric(head, pictures, start, seen=torch.ones(3, 2, 2))
    with pytest.raises(InputError, match="unknowns must be"):
        fit_photometric(head, pictures, start, unknowns="everything")
    with pytest.raises(InputError, match="no albedo"):
        fit_photometric(replace(head, albedo_mean=None, albedo_basis=None), pictures, start)
