"""bump_normals and displace: planes, spheres and charts whose answer is known, and their edges."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relief_oracles import slow_bump_normals
from torch import Tensor
from torch.nn.functional import normalize

from pyface3d.ops import bump_normals, displace

PITCH = 0.6  # mm between two pixels


def plane(height: int = 12, width: int = 15, dtype: torch.dtype = torch.float64, device: str = "cpu"):
    """Positions (1, H, W, 3) on z = 600 mm and the normals that look at the camera."""
    y, x = torch.meshgrid(
        *(PITCH * torch.arange(n, dtype=dtype, device=device) for n in (height, width)), indexing="ij"
    )
    positions = torch.stack([x, y, torch.full_like(x, 600)], -1)[None]
    return positions, torch.tensor([0.0, 0.0, -1.0], dtype=dtype, device=device).expand(positions.shape)


def everywhere(bump: Tensor) -> Tensor:
    return torch.ones_like(bump, dtype=torch.bool)


def rotation(seed: int) -> Tensor:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return torch.from_numpy(q * np.sign(np.linalg.det(q)))


@pytest.mark.parametrize("height", [0.0, 1.7])
def test_a_constant_bump_changes_nothing(device, dtype, height):
    """To rounding: one division by a length that is 1."""
    positions, _ = plane(dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(0)
    normals = normalize(torch.randn(positions.shape, generator=generator, dtype=dtype), dim=-1).to(device)
    bump = torch.full_like(positions[..., 0], height)
    found = bump_normals(positions, normals, bump, everywhere(bump))
    torch.testing.assert_close(found, normals, rtol=0, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_known_slope_on_any_plane_and_grid(device, seed, mirrored):
    """A sheared, rotated plane with a linear bump: n − grad b by hand, up to the borders, for grids of either hand."""
    turn = rotation(seed)
    positions, normals = plane()
    shear = torch.tensor([[1.0, 0.3, 0], [0, 0.8, 0], [0, 0, 1.0]], dtype=torch.float64)
    flat = positions @ shear.T
    slope = torch.tensor([0.4, -0.7, 0.0], dtype=torch.float64)  # d bump / d position, in the plane
    bump = flat @ slope
    expected = normalize((normals - slope)[0, 0, 0] @ turn.T, dim=0)
    maps = (flat @ turn.T, normals @ turn.T, bump)
    if mirrored:
        maps = tuple(m.flip(2) for m in maps)
    found = bump_normals(*(m.to(device) for m in maps), everywhere(bump).to(device)).cpu()
    # The positions are 600 mm large, the steps 0.5 mm: a thousand roundings.
    torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=1e-12)


def test_a_sine_on_a_plane(device, dtype):
    """Central differences of sin(k x) are cos(k x) sin(k h) / h: the analytic slope to (k h)^2 / 6."""
    positions, normals = plane(8, 60, dtype, device)
    k, size = 2 * math.pi / 12, 0.5  # a wrinkle every 12 mm, 0.5 mm high
    x = positions[..., 0]
    found = bump_normals(positions, normals, size * (k * x).sin(), everywhere(x))[:, :, 1:-1]
    slope = size * (k * x).cos()[:, :, 1:-1] * math.sin(k * PITCH) / PITCH
    expected = normalize(torch.stack([-slope, torch.zeros_like(slope), -torch.ones_like(slope)], -1), dim=-1)
    rounding = 1e-12 if dtype == torch.float64 else 1e-4  # 600 mm to 6e-5 mm in float32, over 1.2 mm
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding)
    analytic = normalize(torch.stack([-size * k * (k * x).cos(), x * 0, x * 0 - 1], -1), dim=-1)[:, :, 1:-1]
    assert (found - analytic).abs().max() < size * k * (k * PITCH) ** 2 / 6 + rounding


def sphere(radius: float = 80.0, size: int = 60) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A sphere's positions and normals over longitude and latitude within 0.6 rad of the front, and the two angles."""
    angle = torch.linspace(-0.6, 0.6, size, dtype=torch.float64)
    v, u = torch.meshgrid(angle, angle, indexing="ij")
    normals = torch.stack([u.sin() * v.cos(), v.sin(), -u.cos() * v.cos()], -1)[None]
    return radius * normals, normals, u[None], v[None]


def test_a_sphere_with_a_constant_bump_keeps_its_normals(device):
    positions, normals, u, _ = sphere()
    bump = torch.full_like(u, 3.0)
    found = bump_normals(*(m.to(device) for m in (positions, normals, bump, everywhere(bump)))).cpu()
    torch.testing.assert_close(found, normals, rtol=0, atol=1e-15)


def test_what_is_left_out_on_a_sphere_is_the_bump_over_the_radius():
    """The exact normal of (R + b(u)) n has the slope b'(u) / ((R + b) cos v); the op's has b'(u) / (R cos v)."""
    radius, size, waves = 80.0, 1.5, 12
    positions, normals, u, v = sphere(radius, 400)
    bump = size * (waves * u).sin()
    found = bump_normals(positions, normals, bump, everywhere(bump))[:, 1:-1, 1:-1]
    east = torch.stack([u.cos(), torch.zeros_like(u), u.sin()], -1)
    for scale, limit in ((radius, 3e-4), (radius + bump, size / radius * 0.3)):  # slopes reach 0.27
        slope = size * waves * (waves * u).cos() / (scale * v.cos())
        exact = normalize(normals - slope[..., None] * east, dim=-1)[:, 1:-1, 1:-1]
        assert (found - exact).norm(dim=-1).max() < limit


def test_nothing_is_read_across_the_mask(device, dtype):
    """Outside the mask anything may stand: the answer inside is that of the piece alone, to the bit."""
    positions, normals = plane(10, 16, dtype, device)
    generator = torch.Generator().manual_seed(4)
    bump = torch.rand(positions.shape[:3], generator=generator, dtype=dtype).to(device)
    mask = everywhere(bump)
    mask[:, :, 7:9] = False
    wild = positions.clone()
    wild[:, :, 7:9] = torch.tensor([1e6, math.nan, math.inf], dtype=dtype, device=device)
    found = bump_normals(wild, normals, torch.where(mask, bump, math.nan), mask)
    for part in (np.s_[:, :, :7], np.s_[:, :, 9:]):
        alone = bump_normals(*(m[part] for m in (positions, normals, bump, mask)))
        assert torch.equal(found[part], alone)
    assert torch.equal(found[:, :, 7:9], normals[:, :, 7:9])


def test_islands_of_a_chart_that_touch_are_not_joined(device, dtype):
    """Two islands side by side, 40 mm apart in space, with relief of their own: the grid mesh of DECA bends every
    normal at the seam (spec temporal_deca, D4)."""
    positions, normals = plane(10, 16, dtype, device)
    positions = positions.clone()
    positions[:, :, 8:] += torch.tensor([30.0, 5.0, -25.0], dtype=dtype, device=device)
    x = positions[..., 0]
    bump = torch.where(torch.arange(16, device=device) < 8, 0.2 * x, 5 - 0.3 * x)
    mask = everywhere(bump)
    found = bump_normals(positions, normals, bump, mask, max_gap_mm=3.0)
    for part, slope in ((np.s_[:, :, :8], 0.2), (np.s_[:, :, 8:], -0.3)):
        assert torch.equal(found[part], bump_normals(*(m[part] for m in (positions, normals, bump, mask))))
        expected = normalize(torch.tensor([-slope, 0, -1.0], dtype=dtype, device=device), dim=0)
        rounding = 1e-12 if dtype == torch.float64 else 2e-4  # 600 mm to 6e-5 mm in float32, over 0.6 mm
        torch.testing.assert_close(found[part], expected.expand_as(found[part]), rtol=0, atol=rounding)
    joined = bump_normals(positions, normals, bump, mask)
    assert torch.equal(joined[:, :, :7], found[:, :, :7])
    assert not torch.allclose(joined[:, :, 7:9], found[:, :, 7:9], atol=0.05)


def test_gap_is_a_distance_in_space(device):
    """Neighbours exactly max_gap_mm apart are of one surface; a hair more and they are not."""
    positions, normals = plane(4, 4, device=device)
    bump = 0.5 * positions[..., 0]
    bumped = bump_normals(positions, normals, bump, everywhere(bump), max_gap_mm=PITCH * (1 + 1e-9))
    assert not torch.equal(bumped, normals)
    assert torch.equal(bump_normals(positions, normals, bump, everywhere(bump), max_gap_mm=PITCH * 0.999), normals)


def test_where_no_slope_is_known_the_coarse_normal_stands(device, dtype):
    positions, normals = plane(6, 6, dtype, device)
    generator = torch.Generator().manual_seed(5)
    bump = torch.rand(positions.shape[:3], generator=generator, dtype=dtype).to(device)
    lone, line = torch.zeros_like(everywhere(bump)), torch.zeros_like(everywhere(bump))
    lone[0, 2, 3] = True
    line[0, 2, :] = True
    for mask in (lone, line, torch.zeros_like(lone)):
        assert torch.equal(bump_normals(positions, normals, bump, mask), normals)
    squeezed = positions * torch.tensor([1.0, 0.0, 1.0], dtype=dtype, device=device)  # all rows on one line
    assert torch.equal(bump_normals(squeezed, normals, bump, everywhere(bump)), normals)
    point = torch.zeros_like(positions)
    assert torch.equal(bump_normals(point, normals, bump, everywhere(bump)), normals)


def test_coarse_normals_of_any_length_and_none(device, dtype):
    positions, normals = plane(dtype=dtype, device=device)
    bump = positions[..., 0] * 0.3
    found = bump_normals(positions, normals, bump, everywhere(bump))
    torch.testing.assert_close(bump_normals(positions, 7 * normals, bump, everywhere(bump)), found)
    for value in (0.0, math.nan, math.inf):
        bad = normals.clone()
        bad[0, 3, 4] = value
        other = bump_normals(positions, bad, bump, everywhere(bump))
        assert not other[0, 3, 4].any()
        other[0, 3, 4] = found[0, 3, 4]
        assert torch.equal(other, found)  # neighbours do not ask


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_bad_numbers_are_as_outside_the_mask(device, dtype, value):
    """In value and in gradient."""
    positions, normals = plane(dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(6)
    bump = torch.rand(positions.shape[:3], generator=generator, dtype=dtype).to(device)
    mask = everywhere(bump)
    mask[0, 5, 6] = False
    weights = torch.rand(positions.shape, generator=generator, dtype=dtype).to(device)

    def results(positions: Tensor, bump: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        leaves = [t.clone().requires_grad_() for t in (positions, normals, bump)]
        bumped = bump_normals(*leaves, mask)
        return bumped, *torch.autograd.grad((bumped * weights).sum(), leaves)

    expected = results(positions, bump, mask)
    bad_bump, bad_position = bump.clone(), positions.clone()
    bad_bump[0, 5, 6] = value
    bad_position[0, 5, 6, 1] = value
    for found in (results(positions, bad_bump, everywhere(bump)), results(bad_position, bump, everywhere(bump))):
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)


def test_huge_numbers_give_unit_normals(device, dtype):
    positions, normals = plane(dtype=dtype, device=device)
    huge = torch.finfo(dtype).max / 8
    signs = huge * (1 - 2 * (torch.arange(15, device=device) % 3 == 0).to(dtype)).expand(positions.shape[:3])
    for maps in ((positions, signs), (positions * signs[..., None], torch.ones_like(signs))):
        found = bump_normals(maps[0], normals, maps[1], everywhere(maps[1]))
        torch.testing.assert_close(found.norm(dim=-1), torch.ones_like(signs))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 7), st.integers(1, 7), st.floats(0.05, 3.0))
def test_laws(seed, height, width, roughness):
    """Any surface: the slow twin's normals, of length 1, never turned away from the coarse ones, the same in any unit
    of length and turned with the surface."""
    generator = torch.Generator().manual_seed(seed)
    positions, normals = plane(height, width)
    positions = positions + roughness * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    normals = normalize(torch.randn(positions.shape, generator=generator, dtype=torch.float64), dim=-1)
    bump = torch.randn(positions.shape[:3], generator=generator, dtype=torch.float64)
    mask = torch.rand(bump.shape, generator=generator) < 0.8
    found = bump_normals(positions, normals, bump, mask, max_gap_mm=2.0)
    torch.testing.assert_close(found, slow_bump_normals(positions, normals, bump, mask, 2.0), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones_like(bump))
    assert ((found * normals).sum(-1) > -1e-12).all()
    scaled = bump_normals(8 * positions, normals, 8 * bump, mask, max_gap_mm=16.0)
    assert torch.equal(scaled, found)  # powers of two
    turn = rotation(seed)
    turned = bump_normals(positions @ turn.T, normals @ turn.T, bump, mask, max_gap_mm=2.0)
    torch.testing.assert_close(turned, found @ turn.T, rtol=0, atol=1e-6)  # nearly flat steps lose ten digits


@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 0, 5), (2, 4, 0), (1, 1, 1)])
def test_empty_and_one(device, dtype, shape):
    positions = torch.zeros(*shape, 3, dtype=dtype, device=device, requires_grad=True)
    normals = torch.ones_like(positions)
    found = bump_normals(positions, normals, positions[..., 0], everywhere(positions[..., 0]))
    torch.testing.assert_close(found, normals / math.sqrt(3))
    assert torch.equal(torch.autograd.grad(found.sum(), positions)[0], torch.zeros_like(positions))


def test_a_relief_is_recovered_from_its_normals():
    """What the gradient is for: from a flat start to the bump that explains given normals, border included."""
    positions, normals = plane(10, 12)
    x, y = positions[..., 0], positions[..., 1]
    target = bump_normals(positions, normals, 0.4 * (0.9 * x).sin() * (0.8 * y).cos(), everywhere(x))
    bump = torch.zeros_like(x).requires_grad_()
    optimizer = torch.optim.LBFGS([bump], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (bump_normals(positions, normals, bump, everywhere(x)) - target).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = bump_normals(positions, normals, bump.detach(), everywhere(x))
    assert torch.rad2deg((found * target).sum(-1).clamp(-1, 1).acos()).max() < 0.5


def test_wrong_arguments_of_bump_normals():
    positions, normals = plane(4, 5)
    bump = positions[..., 0]
    mask = everywhere(bump)
    for wrong, error, message in (
        ((positions[0], normals, bump, mask), ValueError, r"positions must have shape \(B, H, W, 3\), got \(4, 5, 3\)"),
        ((positions.half(), normals, bump, mask), TypeError, "positions must be float32 or float64"),
        ((positions, normals[:, :3], bump, mask), ValueError, r"normals must have shape \(1, 4, 5, 3\)"),
        ((positions, normals.float(), bump, mask), TypeError, "normals is torch.float32, but positions"),
        ((positions, normals, bump[..., None], mask), ValueError, r"bump must have shape \(1, 4, 5\)"),
        ((positions, normals, bump.float(), mask), TypeError, "bump is torch.float32"),
        ((positions, normals, bump.to("meta"), mask), ValueError, "bump is on meta, but positions is on cpu"),
        ((positions, normals, bump, mask.float()), TypeError, "mask must be bool, got torch.float32"),
        ((positions, normals, bump, None), TypeError, "mask must be a torch.Tensor, got NoneType"),
        ((positions, normals, bump, mask[:, 1:]), ValueError, r"mask must have shape \(1, 4, 5\)"),
        ((positions, normals, bump, mask.to("meta")), ValueError, "mask is on meta"),
    ):
        with pytest.raises(error, match=message):
            bump_normals(*wrong)
    for gap in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="max_gap_mm must be greater than 0"):
            bump_normals(positions, normals, bump, mask, max_gap_mm=gap)


def test_displacement_along_unit_normals_is_its_own_length(device, dtype):
    """Every vertex moves by exactly the bump (spec temporal_deca, 9 test 6)."""
    generator = torch.Generator().manual_seed(1)
    verts = 100 * torch.randn(2, 50, 3, generator=generator, dtype=dtype).to(device)
    normals = normalize(torch.randn(2, 50, 3, generator=generator, dtype=dtype), dim=-1).to(device)
    moved = displace(verts, normals, torch.full((2, 50), 1.5, dtype=dtype, device=device))
    rounding = 400 * torch.finfo(dtype).eps  # of coordinates of some 200 mm, twice
    torch.testing.assert_close((moved - verts).norm(dim=-1), moved.new_full((2, 50), 1.5), rtol=0, atol=rounding)


def test_a_shared_direction_is_the_same_direction_for_all(device, dtype):
    generator = torch.Generator().manual_seed(2)
    verts, direction = (torch.randn(*s, generator=generator, dtype=dtype).to(device) for s in ((3, 5, 3), (5, 3)))
    amount = torch.randn(3, 5, generator=generator, dtype=dtype).to(device)
    one, many = direction.clone().requires_grad_(), direction.repeat(3, 1, 1).requires_grad_()
    moved = displace(verts, one, amount)
    assert torch.equal(moved, displace(verts, many, amount))
    weights = torch.randn(3, 5, 3, generator=generator, dtype=dtype).to(device)
    grad_one, grad_many = (torch.autograd.grad((displace(verts, d, amount) * weights).sum(), d)[0] for d in (one, many))
    torch.testing.assert_close(grad_one, grad_many.sum(0))


def test_displace_edges(dtype):
    verts = torch.tensor([[[1.0, 2, 3], [4, 5, 6]]], dtype=dtype)
    nothing = displace(verts, torch.zeros_like(verts), torch.zeros(1, 2, dtype=dtype))
    assert torch.equal(nothing, verts)
    amount = torch.tensor([[math.nan, math.inf]], dtype=dtype)
    found = displace(verts, torch.ones_like(verts), amount)
    assert found[0, 0].isnan().all()
    assert (found[0, 1] == math.inf).all()
    assert displace(verts[:, :0], verts[:, :0], amount[:, :0]).shape == (1, 0, 3)


def test_wrong_arguments_of_displace():
    verts, amount = torch.zeros(2, 4, 3), torch.zeros(2, 4)
    for wrong, error, message in (
        ((verts[0], verts, amount), ValueError, r"verts must have shape \(B, V, 3\)"),
        ((verts.half(), verts, amount), TypeError, "verts must be float32 or float64"),
        ((verts, verts[:, :3], amount), ValueError, r"direction must have shape \(2, 4, 3\)"),
        ((verts, verts[0, :3], amount), ValueError, r"direction must have shape \(4, 3\)"),
        ((verts, verts.double(), amount), TypeError, "direction is torch.float64"),
        ((verts, verts, amount[:1]), ValueError, r"amount must have shape \(2, 4\)"),
        ((verts, verts, amount.to("meta")), ValueError, "amount is on meta"),
        ((verts, verts, 1.0), TypeError, "amount must be a torch.Tensor, got float"),
    ):
        with pytest.raises(error, match=message):
            displace(*wrong)
