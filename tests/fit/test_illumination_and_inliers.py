"""Light's basis and prior; the E-step's densities and smoothing; the plausibility checks."""

import math
from dataclasses import replace

import torch

from pyface3d.fit import FaceFit, check_plausibility
from pyface3d.fit.illumination import harmonics, light_prior, shading_slope
from pyface3d.fit.inliers import blur, inlier_probability, outlier_density
from pyface3d.fit.pixels import Noise
from pyface3d.fit.plausibility import crossing_pairs
from pyface3d.geometry import Camera, rotation_from_euler


def unit_normals(count: int) -> torch.Tensor:
    normals = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(normals, dim=-1)


def test_even_light_shades_evenly():
    light = torch.zeros(9, 3, dtype=torch.float64)
    light[0] = math.sqrt(4 * math.pi)
    shade = harmonics(unit_normals(50)) @ light
    torch.testing.assert_close(shade, torch.ones_like(shade))


def test_slope_is_the_derivative():
    normals = unit_normals(5).requires_grad_()
    light = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shade = harmonics(normals) @ light
    slope = shading_slope(normals.detach(), light)
    for colour in range(3):
        (gradient,) = torch.autograd.grad(shade[:, colour].sum(), normals, retain_graph=True)
        torch.testing.assert_close(slope[:, colour], gradient)


def test_light_prior_expects_white_light_and_fears_colour_more_than_brightness():
    mean, precision = light_prior()
    assert bool((torch.linalg.eigvalsh(precision) > 0).all())
    assert torch.equal(mean[:3], mean[:1].expand(3))
    brighter, redder = torch.zeros(27).double(), torch.zeros(27).double()
    brighter[:3] = 0.1
    redder[:3] = torch.tensor([0.1, -0.1, 0.0])
    assert redder @ precision @ redder > 5 * (brighter @ precision @ brighter)


def test_noise_whitens_brightness_and_hue_apart():
    noise = Noise(0.1, 0.02)
    whitener = noise.whitener(torch.zeros(1, dtype=torch.float64))
    grey, hue = torch.full((3,), 0.1).double(), torch.tensor([0.02, -0.02, 0.0]).double()
    torch.testing.assert_close((whitener @ grey).norm(), torch.tensor(1.0).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close((whitener @ hue).norm(), torch.tensor(2.0).double().sqrt(), rtol=1e-6, atol=0)


def test_colours_found_round_the_face_are_likely_outliers():
    colours = torch.full((32, 32, 3), 0.2)
    colours[:16] = torch.tensor([0.9, 0.1, 0.1])
    around = torch.zeros(32, 32, dtype=torch.bool)
    around[:8] = True
    density = outlier_density(colours, around)
    assert density[12, 5] > 10 * density[25, 5]
    assert density.min() > 0
    assert bool(outlier_density(colours, ~around & around).isfinite().all())


def test_neighbours_decide_for_a_pixel_that_does_not_know():
    square = torch.zeros(24, 24)
    square[:, 12:] = 100.0
    square[6, 4] = 10.0  # one wrinkle in the face
    square[6, 18] = 5.0  # one lucky pixel of the occluder
    covered = torch.ones(24, 24, dtype=torch.bool)
    covered[:, 22:] = False
    belief = inlier_probability(square, 3.0, torch.ones(24, 24), covered, covered)
    assert belief[6, 4] > 0.5
    assert belief[6, 18] < 0.5
    assert (belief[:, 22:] == 0).all()
    unseen = inlier_probability(square, 3.0, torch.ones(24, 24), covered, covered & (square != 100.0))
    assert unseen[12, 11] > 0.9


def test_blur_keeps_sums_and_constants():
    image = torch.zeros(2, 21, 21)
    image[0, 10, 10] = 1
    image[1] = 3
    smooth = blur(image, 1.5)
    torch.testing.assert_close(smooth[0].sum(), torch.tensor(1.0))
    torch.testing.assert_close(smooth[1], image[1])


def test_crossing_triangles_are_found_and_neighbours_are_not():
    verts = torch.tensor(
        [[0, 0, 0], [2, 0, 0], [0, 2, 0], [0.5, 0.5, -1], [0.5, 0.5, 1], [-3, -3, 0], [2, 2, 0]], dtype=torch.float64
    )
    corners = torch.tensor([[0, 1, 2], [3, 4, 5], [1, 6, 2]])
    assert crossing_pairs(verts, corners).tolist() == [[0, 1]]
    apart = verts.clone()
    apart[3:6] += torch.tensor([0, 0, 5.0])
    assert len(crossing_pairs(apart, corners)) == 0
    assert len(crossing_pairs(verts, corners[:0])) == 0


def fit_of(head, identity, expression) -> FaceFit:
    size = len(identity)
    zero = torch.zeros(size)
    camera = Camera.centered(torch.full((size,), 500.0), 100, 100)
    return FaceFit(identity, expression, rotation_from_euler(zero, zero, zero), torch.zeros(size, 3), camera)


def test_the_mean_face_is_plausible_and_monsters_are_not(head):
    calm = torch.zeros(1, head.expression_dim)
    mean = check_plausibility(head, fit_of(head, torch.zeros(1, head.identity_dim), calm))
    assert bool(mean.passed)
    assert mean.interpupil_mm.item() > 58
    far = torch.zeros(1, head.identity_dim)
    far[0, 0] = 3.5
    assert not check_plausibility(head, fit_of(head, far, calm)).passed
    shut = calm.clone()
    shut[0, list(head.expression_names).index("mouthClose")] = 1.0  # without an open jaw: lips through lips
    broken = check_plausibility(head, fit_of(head, torch.zeros(1, head.identity_dim), shut))
    assert broken.crossing.item() + broken.flipped.item() > 0
    assert not broken.passed
    inside_out = replace(head, template=-head.template)
    assert check_plausibility(inside_out, fit_of(inside_out, torch.zeros(1, head.identity_dim), calm)).flipped == 0
