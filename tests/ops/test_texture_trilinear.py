"""Mip-mapped lookups beyond the table: pyramids, what minification does, exact levels, footprints, edges, errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mip_oracles import slow_mip_pyramid
from op_case import SMALL, mesh, sheet_image
from torch.autograd import gradcheck

from pyface3d import ops
from pyface3d.ops import Fragments, Topology, render_texture, sample_texture, uv_footprint
from pyface3d.ops._mip_pyramid import level_sizes, mip_pyramid

SIZES = [(1, 1), (1, 7), (6, 1), (2, 2), (8, 8), (16, 4), (5, 8), (7, 9), (3, 13), (31, 17)]


def random(*shape, seed=0, low=0.0, high=1.0, dtype=torch.float64):
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def levels_of(texture):
    """The levels above a texture as pictures."""
    above, levels, first = mip_pyramid(texture), [], 0
    for height, width in level_sizes(*texture.shape[1:3]):
        levels.append(above[:, first : first + height * width].unflatten(1, (height, width)))
        first += height * width
    assert first == above.shape[1]
    return levels


def steps(size, du_dx, dv_dy, dtype=torch.float64, device="cpu"):
    """The same upright footprint at every pixel of (B, H, W)."""
    return torch.diag(torch.tensor([du_dx, dv_dy], dtype=dtype, device=device)).expand(*size, 2, 2)


def picture_uvs(height, width, dtype=torch.float64):
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((torch.stack([u, v], -1) + 0.5) / torch.tensor([width, height])).to(dtype)[None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_levels_are_means_of_areas(device, dtype, size, channels):
    texture = random(2, *size, channels).to(device, dtype)
    found, expected = levels_of(texture), slow_mip_pyramid(texture.cpu().double())[1:]
    assert [level.shape[1:3] for level in found] == level_sizes(*size)
    for level, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(level.cpu(), wanted.to(dtype))
        torch.testing.assert_close(level.mean((1, 2)), texture.mean((1, 2)))
    if found:
        assert found[-1].shape[1:3] == (1, 1)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_every_level_has_the_mean_of_the_texture(height, width, seed):
    texture = random(1, height, width, 2, seed=seed)
    for level in levels_of(texture):
        torch.testing.assert_close(level.mean((1, 2)), texture.mean((1, 2)))
        assert level.min() >= texture.min() - 1e-12
        assert level.max() <= texture.max() + 1e-12


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_derivative_is_the_transpose(device, dtype, size, channels):
    texture = random(2, *size, channels, low=-1).to(device, dtype).requires_grad_()
    above = mip_pyramid(texture)
    weights = random(*above.shape, seed=1, low=-1).to(device, dtype)
    given = weights.clone()
    (transposed,) = torch.autograd.grad(above, texture, weights)
    torch.testing.assert_close((texture * transposed).sum(), (above * weights).sum(), rtol=1e-5, atol=1e-5)
    assert torch.equal(weights, given)  # used up inside, on a copy
    if dtype == torch.float64:
        assert gradcheck(mip_pyramid, texture)


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_minified_checkerboard_is_grey_where_bilinear_aliases(device, dtype, wrap):
    at = torch.arange(256)
    board = ((at[:, None] // 3 + at // 3) % 2).to(device, dtype)[None, ..., None]  # squares of three texels
    uvs = picture_uvs(23, 23, dtype).to(device)  # a pixel covers 11 x 11 texels
    bilinear = sample_texture(board, uvs, "bilinear", wrap)
    trilinear = sample_texture(board, uvs, "trilinear", wrap, steps(uvs.shape[:3], 1 / 23, 1 / 23, dtype, device))
    assert bilinear.std() > 0.3
    assert float(bilinear.var() / trilinear.var()) > 500
    torch.testing.assert_close(trilinear.mean(), board.mean(), rtol=0, atol=5e-3)


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("channels", [1, 3])
def test_magnified_it_is_the_bilinear_lookup(device, dtype, wrap, channels):
    texture = random(2, 9, 12, channels).to(device, dtype)
    uvs = random(2, 20, 20, 2, seed=1, low=-0.5, high=1.5).to(device, dtype)
    footprint = random(2, 20, 20, 2, 2, seed=2, low=-0.7, high=0.7).to(device, dtype) / texture.new_tensor([[12], [9]])
    assert torch.equal(
        sample_texture(texture, uvs, "trilinear", wrap, footprint), sample_texture(texture, uvs, "bilinear", wrap)
    )


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_whole_levels_are_read_as_they_are_and_mixed_between(device, wrap):
    texture, uvs = random(1, 16, 24, 3).to(device), random(1, 9, 9, 2, seed=1, low=-0.5, high=1.5).to(device)
    size = uvs.shape[:3]
    lookups = [sample_texture(level, uvs, "bilinear", wrap) for level in [texture, *levels_of(texture)]]
    for level, expected in enumerate(lookups):
        step = 2.0**level / 16
        found = sample_texture(texture, uvs, "trilinear", wrap, steps(size, 0.0, step, device=device))
        torch.testing.assert_close(found, expected)
        if level + 1 < len(lookups):
            between = steps(size, 0.0, step * 2**0.25, device=device)
            found = sample_texture(texture, uvs, "trilinear", wrap, between)
            torch.testing.assert_close(found, 0.75 * expected + 0.25 * lookups[level + 1])


def test_the_longer_side_decides(device):
    texture, uvs = random(1, 32, 32, 2).to(device), random(1, 5, 5, 2, seed=1).to(device)
    slanted = torch.tensor([[3.0, 0.1], [4.0, 0.2]], dtype=torch.float64, device=device) / 32  # sides 5 and 0.22 texels
    found = sample_texture(texture, uvs, "trilinear", "clamp", slanted.expand(1, 5, 5, 2, 2))
    expected = sample_texture(texture, uvs, "trilinear", "clamp", steps((1, 5, 5), 5 / 32, 0.0, device=device))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(8, 16), (7, 11)])
def test_repeat_has_period_one_and_joins_the_sides(device, size):
    texture, uvs = random(1, *size, 3).to(device), random(1, 9, 9, 2, seed=1).to(device)
    footprint = random(1, 9, 9, 2, 2, seed=2, low=-0.5, high=0.5).to(device)
    expected = sample_texture(texture, uvs, "trilinear", "repeat", footprint)
    for shift in ((1, 0), (-2, 3)):
        moved = uvs + torch.tensor(shift, device=device)
        torch.testing.assert_close(sample_texture(texture, moved, "trilinear", "repeat", footprint), expected)
    level = levels_of(texture)[0]
    seam = torch.tensor([[[[0.0, 0.5 / level.shape[1]]]]], dtype=torch.float64, device=device)
    step = 2 / size[1]
    joined = sample_texture(texture, seam, "trilinear", "repeat", steps((1, 1, 1), step, 0.0, device=device))
    torch.testing.assert_close(joined[0, 0, 0], (level[0, 0, 0] + level[0, 0, -1]) / 2)
    held = sample_texture(texture, seam, "trilinear", "clamp", steps((1, 1, 1), step, 0.0, device=device))
    torch.testing.assert_close(held[0, 0, 0], level[0, 0, 0])


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    log_step=st.floats(-12, 12),
    wrap=st.sampled_from(["clamp", "repeat"]),
    seed=st.integers(0, 2**16),
)
def test_a_lookup_is_a_mean_of_the_texture(height, width, log_step, wrap, seed):
    """Colours lie among the texture's, their weights add to 1, and a constant stays one."""
    texture = random(1, height, width, 1, seed=seed).requires_grad_()
    uvs = random(1, 4, 4, 2, seed=seed + 1, low=-2, high=3)
    footprint = 2.0**log_step * random(1, 4, 4, 2, 2, seed=seed + 2, low=-1)
    found = sample_texture(texture, uvs, "trilinear", wrap, footprint)
    assert found.min() >= texture.min() - 1e-12
    assert found.max() <= texture.max() + 1e-12
    (weights,) = torch.autograd.grad(found.sum(), texture)
    torch.testing.assert_close(weights.sum(), torch.tensor(16.0, dtype=torch.float64))
    assert weights.min() >= -1e-12


def test_footprints_that_are_nothing_or_everything(device, dtype):
    texture, uvs = random(1, 12, 10, 3).to(device, dtype), random(1, 1, 6, 2, seed=1).to(device, dtype)
    inf, nan = math.inf, math.nan
    footprint = torch.tensor(
        [
            [[0, 0], [0, 0]],
            [[nan, nan], [nan, nan]],
            [[nan, 0], [0, 0]],
            [[inf, 0], [0, 0]],
            [[0, -inf], [0, nan]],  # this column is NaN
            [[1e30, 0], [0, 0]],
        ],
        dtype=dtype,
        device=device,
    )[None, None]
    found = sample_texture(texture, uvs, "trilinear", "clamp", footprint)
    fine, coarse = sample_texture(texture, uvs), texture.mean((1, 2))
    for pixel, whole in enumerate([False, False, False, True, False, True]):
        torch.testing.assert_close(found[0, 0, pixel], coarse[0] if whole else fine[0, 0, pixel])


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_coordinates_that_are_not_finite_read_nothing(device, dtype, wrap):
    bad = [float("nan"), float("inf"), float("-inf"), 1e30, 0.5]
    uvs = torch.tensor([[u, v] for u in bad for v in bad], device=device, dtype=dtype)[None, None].requires_grad_()
    texture = torch.ones(1, 4, 5, 2, device=device, dtype=dtype, requires_grad=True)
    footprint = steps(uvs.shape[:3], 0.7, 0.6, dtype, device)
    found = sample_texture(texture, uvs, "trilinear", wrap, footprint)
    reads = uvs.detach().isfinite().all(-1)
    torch.testing.assert_close(found.detach(), reads[..., None].expand_as(found).to(dtype))
    of_texture, of_uvs = torch.autograd.grad(found.sum(), (texture, uvs))
    torch.testing.assert_close(of_texture.sum(), reads.sum().to(dtype) * 2)
    assert of_uvs.isfinite().all()
    assert not of_uvs[~reads].any()


@pytest.mark.parametrize("filter", ["bilinear", "trilinear"])
@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1)])
def test_gradient_of_textures_one_texel_wide(device, filter, wrap, size):
    """All the weight of a lone texel reaches it."""
    texture = random(1, *size, 2).to(device).requires_grad_()
    uvs = random(1, 7, 7, 2, seed=1, low=-2, high=3).to(device)
    footprint = random(1, 7, 7, 2, 2, seed=2).to(device)
    assert gradcheck(lambda t: sample_texture(t, uvs, filter, wrap, footprint), texture, nondet_tol=1e-9)


def test_footprint_is_a_constant(device):
    texture, uvs = random(1, 8, 8, 1).to(device), random(1, 3, 3, 2, seed=1).to(device)
    footprint = random(1, 3, 3, 2, 2, seed=2).to(device).requires_grad_()
    assert not sample_texture(texture, uvs, "trilinear", "clamp", footprint).requires_grad


@pytest.mark.parametrize("shape", [(2, 0, 5), (0, 3, 3)])
def test_empty_pictures_and_a_texture_without_texels(device, dtype, shape):
    uvs, footprint = (torch.zeros(*shape, *tail, device=device, dtype=dtype) for tail in ((2,), (2, 2)))
    for size in ((4, 6), (0, 4), (1, 1)):
        texture = torch.ones(1, *size, 3, device=device, dtype=dtype, requires_grad=True)
        found = sample_texture(texture, uvs, "trilinear", "clamp", footprint)
        assert found.shape == (*shape, 3)
        found.sum().backward()
        assert not texture.grad.any()
    texture, uvs, footprint = (
        torch.zeros(s, device=device, dtype=dtype) for s in ((1, 0, 4, 3), (1, 1, 1, 2), (1, 1, 1, 2, 2))
    )
    with pytest.raises(ValueError, match="at least one texel, got 0 x 4"):
        sample_texture(texture, uvs, "trilinear", "clamp", footprint)


def sheet(device, dtype):
    return sheet_image(SMALL).to(device, dtype), mesh(SMALL).to(device)


def test_footprint_of_a_flat_sheet_is_its_scale(device, dtype):
    corners = torch.tensor([[1.0, 2.0, 7.0], [1.0, 18.0, 7.0], [11.0, 18.0, 7.0], [11.0, 2.0, 7.0]])[None]
    topology = Topology(
        torch.tensor([[0, 1, 2], [0, 2, 3]]), 4, uvs=torch.tensor([[0.0, 0.0], [0.0, 0.8], [0.5, 0.8], [0.5, 0.0]])
    ).to(device)
    corners = corners.to(device, dtype)
    fragments = ops.rasterize(corners, topology, 20, 12)
    found = uv_footprint(corners, fragments, topology)
    expected = torch.tensor([[0.05, 0.0], [0.0, 0.05]], device=device, dtype=dtype)
    torch.testing.assert_close(found[fragments.mask], expected.expand(int(fragments.mask.sum()), 2, 2))
    assert not found[~fragments.mask].any()


@pytest.mark.parametrize("perspective", [True, False])
def test_footprint_is_how_the_drawn_coordinate_moves(device, perspective):
    """Drawing the mesh a little to the left is looking a little to the right."""
    verts, topology = sheet(device, torch.float64)
    fragments = ops.rasterize(verts, topology, 6, 7, perspective=perspective)
    found = uv_footprint(verts, fragments, topology, perspective)
    for axis in (0, 1):
        ends, same = [], fragments.mask
        for sign in (-1, 1):
            moved = verts.clone()
            moved[..., axis] -= sign * 1e-6
            there = ops.rasterize(moved, topology, 6, 7, perspective=perspective)
            same = same & (there.face_index == fragments.face_index)
            ends.append(ops.interpolate(topology.uvs.double(), there, topology))
        moves = (ends[1] - ends[0]) / 2e-6
        assert same.sum() > 10
        torch.testing.assert_close(found[..., axis][same], moves[same], rtol=1e-6, atol=1e-8)


def test_footprint_of_pixels_that_show_no_real_face(device, dtype):
    """No face, faces that do not exist, a face that is a point, a corner that is NaN: 0."""
    verts, topology = sheet(device, dtype)
    verts = verts[:1].clone()
    face = topology.faces[2].long()
    verts[0, face[0]] = torch.nan
    verts[0, topology.faces[0].long()] = verts.new_tensor([2.0, 3.0, 10.0])
    index = torch.tensor([[[-1, topology.num_faces, 2**31 - 1, 0, 2]]], dtype=torch.int32, device=device)
    empty = verts.new_zeros(1, 1, 5, 3)
    assert not uv_footprint(verts, Fragments(index, empty, empty[..., 0]), topology).any()


def test_textured_picture_is_the_lookup_at_interpolated_coordinates(device, dtype):
    verts, topology = sheet(device, dtype)
    fragments = ops.rasterize(verts, topology, 6, 7)
    footprint = uv_footprint(verts, fragments, topology)
    texture = random(2, 40, 30, 3).to(device, dtype)
    uvs = ops.interpolate(topology.uvs.to(dtype), fragments, topology)
    expected = sample_texture(texture, uvs, "trilinear", "clamp", footprint) * fragments.mask[..., None]
    found = render_texture(texture, fragments, topology, "trilinear", "clamp", footprint)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, render_texture(texture, fragments, topology), atol=0.05)


@pytest.mark.parametrize(
    ("error", "message", "footprint"),
    [
        (ValueError, 'uv_footprint must be given with filter "trilinear"', None),
        (ValueError, r"uv_footprint must have shape \(2, 3, 3, 2, 2\), got \(2, 3, 3, 4\)", torch.zeros(2, 3, 3, 4)),
        (TypeError, "uv_footprint is torch.float64, but texture is torch.float32", torch.zeros(2, 3, 3, 2, 2).double()),
        (TypeError, "uv_footprint must be float32 or float64", torch.zeros(2, 3, 3, 2, 2).int()),
        (TypeError, "uv_footprint must be a torch.Tensor, got float", 1.0),
    ],
)
def test_wrong_footprints(error, message, footprint):
    with pytest.raises(error, match=message):
        sample_texture(torch.zeros(1, 4, 4, 3), torch.zeros(2, 3, 3, 2), "trilinear", "clamp", footprint)
    index, weights = torch.zeros(2, 3, 3, dtype=torch.int32), torch.zeros(2, 3, 3, 3)
    fragments = Fragments(index, weights, weights[..., 0])
    with pytest.raises(error, match=message):
        render_texture(torch.zeros(1, 4, 4, 3), fragments, mesh(SMALL), "trilinear", "clamp", footprint)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (ValueError, r"verts_image must have shape \(2, 17, 3\)", {"verts_image": torch.zeros(2, 16, 3)}),
        (TypeError, "verts_image must be float32 or float64", {"verts_image": torch.zeros(2, 17, 3).half()}),
        (TypeError, "verts_image must be a torch.Tensor", {"verts_image": None}),
        (ValueError, r"fragments.face_index must have shape \(B, H, W\)", {"face_index": torch.zeros(3).int()}),
        (ValueError, "topology must have texture coordinates", {"topology": Topology(torch.tensor([[0, 1, 2]]), 17)}),
    ],
)
def test_wrong_arguments_of_uv_footprint(error, message, change):
    usual = {"verts_image": torch.zeros(2, 17, 3), "face_index": torch.zeros(2, 3, 3).int(), "topology": mesh(SMALL)}
    given = {**usual, **change}
    weights = torch.zeros(2, 3, 3, 3)
    with pytest.raises(error, match=message):
        uv_footprint(given["verts_image"], Fragments(given["face_index"], weights, weights[..., 0]), given["topology"])
