"""Shading against closed forms, lights and their rotations, shadows of known shapes."""

import math

import numpy as np
import pytest
import torch

from pyface3d.data.synthetic.lights import Lights, _turned, draw_lights
from pyface3d.data.synthetic.shading import cast_shadows, head_occlusion, shade, vertex_occlusion
from pyface3d.face_models.head import load_head
from pyface3d.ops import Topology, shade_spherical_harmonics


def dark(batch=1):
    """No light at all."""
    towards = torch.tensor([0.0, 0.0, -1.0]).expand(batch, 2, 3).clone()
    return Lights(torch.zeros(batch, 9, 3), towards, torch.zeros(batch, 2, 3), torch.zeros(batch, 2), torch.ones(batch))


def lit(direction, color=(1.0, 1.0, 1.0), softness=0.0):
    lights = dark()
    lights.directions[0, 0] = torch.tensor(direction)
    lights.colors[0, 0] = torch.tensor(color)
    lights.softness[0, 0] = softness
    return lights


def ball(size=96):
    """Normals (1, S, S, 3) of a ball seen along z, camera frame, and where it is."""
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    inside = x.square() + y.square() < 1
    z = -(1 - x.square() - y.square()).clamp_min(0).sqrt()
    return torch.stack([x, y, z], -1)[None] * inside[None, ..., None], inside


def all_round(count=20_000):
    i = torch.arange(count) + 0.5
    z = 1 - 2 * i / count
    around = math.pi * (1 + 5**0.5) * i
    return torch.stack([(1 - z * z).sqrt() * around.cos(), (1 - z * z).sqrt() * around.sin(), z], -1)[None, None]


def matt(lights, normals, albedo=0.5, subsurface=0.0, **more):
    size = normals.shape[:3]
    to_eye = torch.zeros_like(normals)
    to_eye[..., 2] = -1.0
    gloss = torch.tensor([0.0, 0.5]).expand(*size, 2)
    occlusion = more.pop("occlusion", torch.ones(size))
    white = torch.full((*size, 3), albedo)
    return shade(lights, normals, to_eye, white, gloss, occlusion, subsurface=torch.full(size, subsurface), **more)


def test_lambert_under_one_lamp():
    normals, inside = ball()
    direction = (0.36, -0.48, -0.8)
    color = (1.0, 0.5, 2.0)
    seen = matt(lit(direction, color), normals)[0][inside]
    cosine = (normals[0][inside] @ torch.tensor(direction)).clamp_min(0)
    surrounding = 0.5 * 0.02  # what is shown where nine bands know no light
    torch.testing.assert_close(seen, 0.5 * cosine[:, None] * torch.tensor(color) + surrounding, rtol=1e-5, atol=1e-5)


def test_even_surrounding_shades_evenly():
    lights = dark()
    lights.harmonics[:, 0] = math.sqrt(4 * math.pi)
    normals, inside = ball()
    torch.testing.assert_close(matt(lights, normals)[0][inside], torch.full((int(inside.sum()), 3), 0.5))


@pytest.mark.parametrize("softness", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("subsurface", [0.0, 1.0])
def test_wrapped_light_keeps_its_total(softness, subsurface):
    """However far light wraps round a ball, the ball sends back the same: a quarter of the lamp, all round."""
    normals = all_round()
    seen = matt(lit((0.0, 0.6, 0.8), softness=softness), normals, albedo=1.0, subsurface=subsurface)
    torch.testing.assert_close(seen.mean((1, 2)), torch.full((1, 3), 0.25 + 0.02), rtol=0, atol=2e-3)


def test_skin_is_red_at_the_terminator():
    normals = torch.tensor([[[[math.cos(0.1), 0.0, -math.sin(0.1)]]]])  # lamp along -z: 6 degrees of light
    behind = normals * torch.tensor([1.0, 1.0, -1.0])
    lights = lit((0.0, 0.0, -1.0))
    hard, soft = matt(lights, behind, subsurface=0.0)[0, 0, 0], matt(lights, behind, subsurface=1.0)[0, 0, 0]
    assert float(hard[0]) == pytest.approx(0.01) and float(soft[0]) > float(soft[1]) >= float(soft[2])


@pytest.mark.parametrize("roughness", [0.2, 0.4, 0.7, 1.0])
def test_shine_sends_back_no_more_than_it_gets(roughness):
    """Shine of all normals under a lamp at the eye: at most the Fresnel share of a mirror's total, and not nothing."""
    normals = all_round()
    size = normals.shape[:3]
    to_eye = torch.tensor([0.0, 0.0, -1.0]).expand(*size, 3)
    gloss = torch.tensor([1.0, roughness]).expand(*size, 2)
    black = torch.zeros(*size, 3)
    seen = shade(lit((0.0, 0.0, -1.0)), normals, to_eye, black, gloss, torch.zeros(size))[..., 0]
    front = normals[..., 2] < 0
    # A mirror ball shows a distant lamp with its whole power over the sphere of directions: pi r² E / (4 pi).
    total = (seen * -normals[..., 2]).clamp_min(0)[front].sum() / front.sum()
    assert 0.2 * 0.028 / 4 < float(total) < 1.3 * 0.028


def test_never_negative_and_finite_off_the_surface():
    lights = lit((0.0, -1.0, 0.0))
    lights.harmonics[:, 2] = 5.0
    normals = torch.zeros(1, 8, 8, 3)
    normals[:, :4, :, 1] = 1.0
    seen = matt(lights, normals)
    assert bool(seen.isfinite().all()) and float(seen.min()) >= 0


def test_exposure_and_occlusion_scale():
    normals, inside = ball(32)
    lights = dark()
    lights.harmonics[:, 0] = 3.0
    open_air = matt(lights, normals)[0][inside]
    lights.exposure[:] = 2.0
    torch.testing.assert_close(matt(lights, normals)[0][inside], 2 * open_air)
    hidden = matt(lights, normals, occlusion=torch.zeros(1, 32, 32))[0][inside]
    assert float(hidden.max()) == 0.0


def test_shading_is_the_same_in_any_batch():
    rngs = [np.random.default_rng([1, i, 5]) for i in range(5)]
    lights = draw_lights({}, rngs)
    normals = torch.nn.functional.normalize(
        torch.randn(5, 16, 16, 3, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    together = matt(lights, normals, subsurface=1.0)
    for i in range(5):
        alone = matt(lights[i : i + 1], normals[i : i + 1], subsurface=1.0)
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-6)


def test_drawn_lights_are_repeatable_and_sane():
    draws = [draw_lights({}, [np.random.default_rng([2, i, 5]) for i in range(64)]) for _ in range(2)]
    for one, other in zip(vars(draws[0]).values(), vars(draws[1]).values(), strict=True):
        assert torch.equal(one, other)
    lights = draws[0]
    torch.testing.assert_close(lights.directions.norm(dim=-1), torch.ones(64, 2))
    assert float(lights.colors.min()) >= 0 and float(lights.exposure.min()) > 0
    # A camera that meters: what a white ball shows varies far less than the light itself.
    normals, inside = ball(24)
    white = matt(lights, normals.expand(64, -1, -1, -1), albedo=1.0)[:, inside].mean((1, 2))
    assert 0.5 < float(white.log().mean().exp()) < 2.5 and float(white.log().std()) < 0.6


def test_dark_skin_is_exposed_longer():
    tones = torch.tensor([[0.05, 0.03, 0.02], [0.5, 0.4, 0.3]])
    lights = draw_lights({}, [np.random.default_rng(7), np.random.default_rng(7)], tone=tones)
    assert 1.5 < float(lights.exposure[0] / lights.exposure[1]) < 4.0


def test_turned_light_is_the_light_of_turned_normals():
    rng = np.random.default_rng(0)
    harmonics, angle = rng.standard_normal((9, 3)), 0.7
    turned, direction = _turned(harmonics, np.array([0.0, 0.0, 1.0]), angle)
    normals = torch.nn.functional.normalize(
        torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), dim=1
    )
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    before = shade_spherical_harmonics(normals[None], torch.from_numpy(harmonics)[None])
    after = shade_spherical_harmonics((normals @ turn.T)[None], torch.from_numpy(turned)[None])
    torch.testing.assert_close(after, before)
    np.testing.assert_allclose(direction, [s, 0, c])


def plate(size, height):
    """A square in the plane z = height, corners at ±size; two triangles."""
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * size
    return corners + torch.tensor([0.0, 0.0, height]), torch.tensor([[0, 2, 1], [0, 3, 2]])


def test_a_plate_casts_its_shadow():
    """A lamp behind the camera, a small plate before a large one: dark in its middle, lit outside."""
    floor, faces = plate(80.0, 500.0)
    small, more = plate(25.0, 440.0)
    verts = torch.cat([floor, small])[None]
    topology = Topology(torch.cat([faces, more + 4]), 8)
    lights = lit((0.0, 0.0, -1.0))
    x = torch.linspace(-70, 70, 15)
    points = torch.stack([x, torch.zeros(15), torch.full((15,), 500.0)], -1).expand(1, 2, 15, 3)
    share = cast_shadows(lights, verts, topology, points)
    assert share.shape == (1, 2, 15, 2) and float(share[..., 1].min()) == 1.0
    along = share[0, 0, :, 0]
    assert float(along[6:9].max()) < 0.05  # |x| <= 10
    assert float(along[:3].min()) > 0.9 and float(along[-3:].min()) > 0.9  # |x| >= 50
    on_plate = points * torch.tensor([0.2, 1.0, 0.0]) + torch.tensor([0.0, 0.0, 440.0])
    assert float(cast_shadows(lights, verts, topology, on_plate)[..., 0].min()) > 0.9


def test_occlusion_of_the_head():
    """Open on the forehead, hidden behind the closed lids' rims, middling in the mouth and darker at its back."""
    model = load_head()
    share = head_occlusion(model)
    assert share.shape == (model.topology.num_verts,) and float(share.min()) >= 0 and float(share.max()) <= 1
    teeth, height = model.regions["teeth"], model.template[:, 1]
    forehead = model.regions["face"] & (height > 45)
    assert float(share[forehead].min()) > 0.9 and 0.3 < float(share[teeth].max()) < 0.7
    front = model.template[:, 2] > model.template[teeth, 2].median()
    assert float(share[teeth & front].mean()) > 1.3 * float(share[teeth & ~front].mean())


def test_occlusion_of_a_groove():
    """A plane sees its half sphere whole; the floor of a deep slit sees little of it."""
    verts = torch.tensor([[-50.0, 0, -50], [50, 0, -50], [50, 0, 50], [-50, 0, 50]])
    faces = torch.tensor([[0, 2, 1], [0, 3, 2]])
    assert float(vertex_occlusion(verts, Topology(faces, 4)).min()) > 0.93
    wall = torch.tensor([[-6.0, 0, -50], [-6, 60, -50], [-6, 60, 50], [-6, 0, 50]])
    middle = torch.tensor([[0.0, 0.2, 0.0], [1.0, 0.2, 0.0], [0.0, 0.2, 1.0]])
    slit = torch.cat([verts, wall, wall * torch.tensor([-1.0, 1, 1]), middle])
    quads = torch.tensor([[0, 2, 1], [0, 3, 2]])
    topology = Topology(torch.cat([quads, quads + 4, quads + 8, torch.tensor([[12, 14, 13]])]), 15)
    assert float(vertex_occlusion(slit, topology)[12:].max()) < 0.35
