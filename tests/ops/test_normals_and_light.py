"""vertex_normals, face_normals and shade_spherical_harmonics beyond the table: closed forms, edges, errors."""

import math

import pytest
import torch
from op_case import Size, mesh, sheet
from raster_oracles import sphere

from pyface3d.ops import Topology, face_normals, shade_spherical_harmonics, vertex_normals


def unit_sphere(device, dtype):
    verts, faces = sphere()
    return torch.tensor(verts, device=device, dtype=dtype), Topology(torch.tensor(faces, device=device), len(verts))


def random_units(count, seed=0):
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points / points.norm(dim=-1, keepdim=True)


def test_sphere_points_outwards(device, dtype):
    verts, topology = unit_sphere(device, dtype)
    normals = vertex_normals(verts * 80 + 5, topology)
    assert ((normals * verts).sum(-1) > 0.98).all()
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(len(verts), device=device, dtype=dtype))
    middles = verts[topology.faces.long()].mean(1)
    assert ((face_normals(verts, topology) * middles).sum(-1) > 0).all()


def test_faces_count_by_their_area(dtype):
    # Two right triangles share the vertex 0: area 1/2 in the plane z = 0, area 3/2 in the plane x = 0.
    verts = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3.0]], dtype=dtype)
    topology = Topology(torch.tensor([[0, 1, 2], [0, 2, 3]]), 4)
    expected = torch.tensor([3.0, 0.0, 1.0], dtype=dtype) / math.sqrt(10)
    torch.testing.assert_close(vertex_normals(verts, topology)[0], expected)


def test_no_direction_is_zero_with_no_gradient(device, dtype):
    """A vertex of no face, faces that cancel, faces without area, corners that are not finite."""
    flat = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    verts = torch.tensor(
        [*flat, [5, 5, 5], *flat, [1, 1, 1], [2, 2, 2], [3, 3, 3], *flat, [0, 0, 9]], device=device, dtype=dtype
    )
    verts[10, 0] = torch.nan
    verts[13, 0] = torch.inf
    faces = torch.tensor([[0, 1, 2], [0, 2, 1], [7, 8, 9], [10, 11, 12], [4, 5, 6], [11, 12, 13]], device=device)
    verts.requires_grad_()
    topology = Topology(faces, len(verts))
    normals = vertex_normals(verts, topology)
    seen = [4, 5, 6]
    expected = torch.zeros(len(verts), 3, device=device, dtype=dtype)
    expected[seen, 2] = 1
    assert torch.equal(normals.detach(), expected)
    weights = torch.arange(normals.numel(), device=device, dtype=dtype).reshape(normals.shape)
    (gradient,) = torch.autograd.grad((normals * weights).sum(), verts)
    assert gradient.isfinite()[:10].all()
    assert not gradient[[0, 1, 2, 3, 7, 8, 9]].any()
    assert gradient[seen].any()
    of_faces = face_normals(verts.detach(), topology)
    assert not of_faces[[2, 3, 5]].any()


def test_moving_and_scaling_change_nothing_and_mirroring_turns(dtype):
    verts, topology = unit_sphere("cpu", dtype)
    normals = vertex_normals(verts, topology)
    torch.testing.assert_close(vertex_normals(verts * 64 - 3, topology), normals, rtol=1e-4, atol=1e-4)
    flip = torch.tensor([1, 1, -1], dtype=dtype)
    torch.testing.assert_close(vertex_normals(verts * flip, topology), -normals * flip)


def test_a_large_mesh_has_the_same_bits_on_several_threads(dtype):
    """Large enough that the threads share one image, where every vertex gathers; on one thread the faces scatter."""
    topology = mesh(Size(grid=370))
    assert topology.num_faces > 2**18
    verts = sheet(Size(batch=1, grid=370)).to(dtype).requires_grad_()
    weights = torch.linspace(-1, 2, verts.numel(), dtype=dtype).reshape(verts.shape)
    results, before = [], torch.get_num_threads()
    try:
        for count in (1, 4):
            torch.set_num_threads(count)
            normals = vertex_normals(verts, topology)
            results.append((normals.detach(), *torch.autograd.grad(normals, verts, weights)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results))
    assert results[0][1].any()


@pytest.mark.parametrize("batch", [4, 8, 19])
@pytest.mark.parametrize("count", [1, 2])
def test_many_images_have_the_bits_of_each_alone(dtype, batch, count):
    """Images go through the kernel side by side; a flat one and one with NaN beside the others."""
    verts = sheet(Size(batch=batch, grid=9)).to(dtype)
    verts[1, :, 1:] = 0
    verts[2, 5] = torch.nan
    verts[3] *= 1e30
    topology = mesh(Size(grid=9))
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        whole = vertex_normals(verts, topology)
    finally:
        torch.set_num_threads(before)
    for b in range(batch):
        assert torch.equal(whole[b], vertex_normals(verts[b], topology))
    assert not whole[1].any()
    assert whole.isfinite().all()


def test_a_mesh_without_batch_axis(dtype):
    verts, topology = unit_sphere("cpu", dtype)
    assert torch.equal(vertex_normals(verts, topology), vertex_normals(verts[None], topology)[0])


def test_normals_refuse_other_meshes():
    topology = Topology(torch.tensor([[0, 1, 2]]), 4)
    with pytest.raises(ValueError, match=r"verts must have shape \(B, 4, 3\), got \(1, 5, 3\)"):
        vertex_normals(torch.zeros(1, 5, 3), topology)
    with pytest.raises(TypeError, match=r"verts must be float32 or float64, got torch\.int64"):
        vertex_normals(torch.zeros(1, 4, 3, dtype=torch.long), topology)


def band(index, value=1.0, dtype=torch.float64):
    light = torch.zeros(1, 9, 3, dtype=dtype)
    light[0, index] = value
    return light


@pytest.mark.parametrize(
    ("convention", "coefficient", "expected"),
    [
        ("irradiance", math.sqrt(4 * math.pi), 1.0),  # radiance 1 from everywhere
        ("deng", 0.8, 0.708982),  # the system's prior, its coefficients at zero
        ("deca", 3.5449, 1.0),
        ("focus", 0.7 * 2 * math.pi, 1.24072),
    ],
)
def test_ambient_light_shades_every_normal_alike(device, convention, coefficient, expected):
    normals = random_units(50).to(device)
    found = shade_spherical_harmonics(normals, band(0, coefficient).to(device), convention=convention)
    torch.testing.assert_close(found, torch.full_like(found, expected), rtol=0, atol=1e-5)


def test_deng_bands_of_a_known_normal():
    normal = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64)
    expected = [0.886227, -0.850778, 1.417963, -0.638083, 0.419391, -0.931980, 0.644574, -0.698985, -0.122322]
    found = [float(shade_spherical_harmonics(normal, band(k), convention="deng")[0]) for k in range(9)]
    assert found == pytest.approx(expected, abs=1e-6)


def test_irradiance_is_the_integral_over_the_hemisphere():
    """Light that is itself a sum of harmonics, gathered by quadrature: 1/π ∫ L(ω) max(0, n·ω) dω."""
    generator = torch.Generator().manual_seed(3)
    light = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    steps = 400
    z = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps * 2 - 1
    turn = (torch.arange(2 * steps, dtype=torch.float64) + 0.5) / (2 * steps) * 2 * math.pi
    z, turn = torch.meshgrid(z, turn, indexing="ij")
    ring = (1 - z * z).sqrt()
    directions = torch.stack([ring * turn.cos(), ring * turn.sin(), z], -1).reshape(-1, 3)
    solid_angle = 4 * math.pi / len(directions)
    x, y, z = directions.T
    one = math.sqrt(1 / (4 * math.pi))
    two, four = math.sqrt(3 / (4 * math.pi)), math.sqrt(15 / (4 * math.pi))
    harmonics = torch.stack(
        [
            torch.full_like(x, one), two * y, two * z, two * x, four * x * y, four * y * z,
            four / (2 * math.sqrt(3)) * (3 * z * z - 1), four * x * z, four / 2 * (x * x - y * y),
        ],
        -1,
    )  # fmt: skip
    torch.testing.assert_close(
        harmonics.T @ harmonics * solid_angle, torch.eye(9, dtype=torch.float64), rtol=0, atol=1e-4
    )
    normals = random_units(12, seed=4)
    gathered = (normals @ directions.T).clamp(min=0) @ (harmonics @ light) * solid_angle / math.pi
    torch.testing.assert_close(shade_spherical_harmonics(normals, light), gathered, rtol=1e-4, atol=1e-4)


def test_light_from_one_side_lights_that_side():
    """The first-degree bands name the axes: y, z, x."""
    for axis, index in ((1, 1), (2, 2), (0, 3)):
        normals = torch.eye(3, dtype=torch.float64)[axis] * torch.tensor([[1.0], [-1.0]])
        bright, dark = shade_spherical_harmonics(normals, band(index))[:, 0]
        assert bright > 0 > dark


def test_light_and_albedo_are_broadcast(device, dtype):
    normals = random_units(24).reshape(2, 3, 4, 3).to(device, dtype)
    light = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    tint = torch.tensor([0.2, 0.5, 1.0], device=device, dtype=dtype)
    each = torch.stack([shade_spherical_harmonics(n, l) for n, l in zip(normals, light)])
    assert torch.equal(shade_spherical_harmonics(normals, light), each)
    torch.testing.assert_close(shade_spherical_harmonics(normals, light, tint), each * tint)
    assert torch.equal(shade_spherical_harmonics(normals, light[:1])[0], each[0])
    for few in (light[:1], light[0]):
        few = few.clone().requires_grad_()
        shade_spherical_harmonics(normals, few, tint).sum().backward()
        spread = light[:1].expand(2, -1, -1).clone().requires_grad_()
        shade_spherical_harmonics(normals, spread, tint).sum().backward()
        torch.testing.assert_close(few.grad.reshape(9, 3), spread.grad.sum(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), (0, 4, 5, 3)])
def test_no_normals(device, dtype, shape):
    light = torch.ones(9, 3, device=device, dtype=dtype, requires_grad=True)
    found = shade_spherical_harmonics(torch.zeros(shape, device=device, dtype=dtype), light)
    assert found.shape == shape
    found.sum().backward()
    assert not light.grad.any()


def test_nan_stays_where_it_is(device, dtype):
    normals = random_units(4).to(device, dtype)
    normals[2, 0] = torch.nan
    found = shade_spherical_harmonics(normals, torch.ones(9, 3, device=device, dtype=dtype))
    assert found.isnan().any(-1).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "convention must be one of irradiance, deng, deca, focus, got 'sh'", {"convention": "sh"}),
        (ValueError, r"normals must have shape \(\.\.\., 3\)", {"normals": torch.zeros(2, 4)}),
        (ValueError, r"light must have shape \(B, 9, 3\), got \(2, 3, 9\)", {"light": torch.zeros(2, 3, 9)}),
        (ValueError, "one image's coefficients or as many as normals", {"light": torch.zeros(5, 9, 3)}),
        (ValueError, "albedo must broadcast", {"albedo": torch.zeros(7, 3)}),
        (TypeError, "light is torch.float64, but normals is torch.float32", {"light": torch.zeros(9, 3).double()}),
    ],
)
def test_shading_refuses(error, message, arguments):
    usual = {"normals": torch.zeros(2, 4, 3), "light": torch.zeros(2, 9, 3)}
    with pytest.raises(error, match=message):
        shade_spherical_harmonics(**{**usual, **arguments})
