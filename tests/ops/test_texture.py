"""sample_texture and render_texture beyond the table: closed forms, an independent sampler, edges, errors."""

import pytest
import torch
from op_case import SMALL, mesh
from torch.nn import functional as F

from pyface3d import ops
from pyface3d.ops import Fragments, Topology, render_texture, sample_texture


def random(*shape, seed=0, low=0.0, high=1.0, dtype=torch.float64):
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def grid_sample(texture, uvs):
    picture = texture.permute(0, 3, 1, 2)
    return F.grid_sample(picture, uvs * 2 - 1, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)


def texel_middles(height, width, dtype=torch.float64):
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((torch.stack([u, v], -1) + 0.5) / torch.tensor([width, height])).to(dtype)[None]


@pytest.mark.parametrize("channels", [1, 3, 4, 9])
def test_values_and_gradients_are_those_of_grid_sample(device, dtype, channels):
    texture = random(2, 7, 5, channels).to(device, dtype).requires_grad_()
    uvs = random(2, 8, 9, 2, seed=1, low=-0.2, high=1.2).to(device, dtype).requires_grad_()
    weights = random(2, 8, 9, channels, seed=2, low=-1).to(device, dtype)
    found, expected = sample_texture(texture, uvs), grid_sample(texture, uvs)
    torch.testing.assert_close(found, expected)
    for a, b in zip(*(torch.autograd.grad((out * weights).sum(), (texture, uvs)) for out in (found, expected))):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 if dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("filter", ["nearest", "bilinear"])
@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
def test_middles_of_texels_give_the_texels(device, dtype, filter, wrap):
    texture = random(1, 8, 4, 3).to(device, dtype)  # sides are powers of two: the middles are exact
    found = sample_texture(texture, texel_middles(8, 4, dtype).to(device), filter, wrap)
    assert torch.equal(found, texture)


@pytest.mark.parametrize("filter", ["nearest", "bilinear"])
@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1)])
def test_constant_texture_is_constant_everywhere(device, dtype, filter, wrap, shape):
    texture = torch.full((1, *shape, 2), 0.7, device=device, dtype=dtype)
    uvs = random(1, 20, 20, 2, low=-3, high=4).to(device, dtype)
    torch.testing.assert_close(
        sample_texture(texture, uvs, filter, wrap), torch.full((1, 20, 20, 2), 0.7, device=device, dtype=dtype)
    )


def test_ramp_is_reproduced_and_held_beyond_the_border(device):
    width = 10
    texture = ((torch.arange(width) + 0.5) / width).double().expand(1, 3, width)[..., None].to(device)
    u = torch.linspace(-0.5, 1.5, 41, dtype=torch.float64, device=device)
    uvs = torch.stack([u, torch.full_like(u, 0.3)], -1)[None, None]
    found = sample_texture(texture, uvs)[0, 0, :, 0]
    torch.testing.assert_close(found, u.clamp(0.5 / width, 1 - 0.5 / width))


@pytest.mark.parametrize("filter", ["nearest", "bilinear"])
def test_repeat_has_period_one(device, filter):
    texture, uvs = random(1, 8, 16, 3).to(device), random(1, 9, 9, 2, seed=1).to(device)
    expected = sample_texture(texture, uvs, filter, "repeat")
    for shift in ((1, 0), (0, -2), (-3, 5)):
        moved = uvs + torch.tensor(shift, device=device)
        torch.testing.assert_close(sample_texture(texture, moved, filter, "repeat"), expected)


def test_repeat_joins_the_two_sides(device, dtype):
    texture = torch.tensor([1.0, 0.0, 0.0, 3.0], device=device, dtype=dtype).reshape(1, 1, 4, 1)
    edge = torch.tensor([[[[0.0, 0.5], [1.0, 0.5], [-1e-9, 0.5]]]], device=device, dtype=dtype)
    found = sample_texture(texture, edge, "bilinear", "repeat").flatten()
    torch.testing.assert_close(found, torch.full((3,), 2.0, device=device, dtype=dtype))


@pytest.mark.parametrize("wrap", ["clamp", "repeat"])
@pytest.mark.parametrize("filter", ["nearest", "bilinear"])
def test_coordinates_that_are_not_finite_read_nothing_and_huge_ones_do(device, dtype, filter, wrap):
    bad = [float("nan"), float("inf"), float("-inf"), 1e30, -1e30, 0.5]
    uvs = torch.tensor([[u, v] for u in bad for v in bad], device=device, dtype=dtype)[None, None].requires_grad_()
    texture = torch.ones(1, 4, 5, 2, device=device, dtype=dtype, requires_grad=True)
    found = sample_texture(texture, uvs, filter, wrap)
    reads = uvs.detach().isfinite().all(-1)
    assert torch.equal(found.detach(), reads[..., None].expand_as(found).to(dtype))
    of_texture, of_uvs = torch.autograd.grad(found.sum(), (texture, uvs))
    torch.testing.assert_close(of_texture.sum(), reads.sum().to(dtype) * 2)
    assert of_uvs.isfinite().all()
    assert not of_uvs[~reads].any()


def test_texel_of_another_place_does_not_leak_in_with_weight_zero(device, dtype):
    texture = torch.ones(1, 3, 4, 1, device=device, dtype=dtype)
    texture[0, 1, 2] = torch.nan
    found = sample_texture(texture, texel_middles(3, 4, dtype).to(device), "nearest")
    assert int(found.isnan().sum()) == 1


def test_one_texture_for_all_images_has_the_sum_of_their_gradients(device):
    texture, uvs = random(1, 5, 6, 3).to(device), random(3, 4, 4, 2, seed=1).to(device)
    shared, own = texture.clone().requires_grad_(), texture.repeat(3, 1, 1, 1).requires_grad_()
    for leaf in (shared, own):
        sample_texture(leaf, uvs).pow(2).sum().backward()
    torch.testing.assert_close(shared.grad, own.grad.sum(0, keepdim=True))


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 5, 0), (0, 3, 3)])
def test_empty_pictures(device, dtype, shape):
    texture = torch.ones(1, 4, 4, 3, device=device, dtype=dtype, requires_grad=True)
    found = sample_texture(texture, torch.zeros(*shape, 2, device=device, dtype=dtype))
    assert found.shape == (*shape, 3)
    found.sum().backward()
    assert not texture.grad.any()


def test_no_channels(dtype):
    found = sample_texture(torch.ones(1, 4, 4, 0, dtype=dtype), torch.zeros(2, 3, 3, 2, dtype=dtype))
    assert found.shape == (2, 3, 3, 0)


def test_textured_picture_is_the_texture_at_interpolated_coordinates(device, dtype):
    topology = mesh(SMALL).to(device)
    y, x = torch.meshgrid(torch.linspace(1, 8, 4), torch.linspace(1, 9, 4), indexing="ij")
    verts = torch.stack([x, y, 5 + 0.1 * x], -1).reshape(1, -1, 3)
    verts = torch.cat([verts, torch.ones(1, 1, 3)], 1).to(device, dtype)
    fragments = ops.rasterize(verts, topology, 9, 10)
    texture = random(1, 6, 8, 3).to(device, dtype)
    uvs = ops.interpolate(topology.uvs.to(dtype), fragments, topology)
    expected = sample_texture(texture, uvs) * fragments.mask[..., None]
    torch.testing.assert_close(render_texture(texture, fragments, topology), expected)
    assert fragments.mask.any() and not fragments.mask.all()


def test_faces_that_the_topology_does_not_have_are_background(device, dtype):
    topology = mesh(SMALL).to(device)
    index = torch.tensor([[[0, topology.num_faces, 2**31 - 1, -1, -(2**31)]]], dtype=torch.int32, device=device)
    weights = torch.full((1, 1, 5, 3), 1 / 3, device=device, dtype=dtype)
    texture = torch.ones(1, 2, 2, 1, device=device, dtype=dtype)
    found = render_texture(texture, Fragments(index, weights, weights[..., 0]), topology)
    assert found.flatten().tolist() == pytest.approx([1, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "filter must be 'nearest' or 'bilinear' or 'trilinear', got 'cubic'", {"filter": "cubic"}),
        (ValueError, "wrap must be 'clamp' or 'repeat', got 'mirror'", {"wrap": "mirror"}),
        (ValueError, r"texture must have shape \(B, Ht, Wt, C\)", {"texture": torch.zeros(4, 4, 3)}),
        (ValueError, r"uvs must have shape \(B, H, W, 2\)", {"uvs": torch.zeros(2, 3, 3, 3)}),
        (ValueError, "1 or 2 textures, as many as uvs, got 3", {"texture": torch.zeros(3, 4, 4, 3)}),
        (ValueError, "at least one texel, got 0 x 4", {"texture": torch.zeros(1, 0, 4, 3)}),
        (TypeError, "uvs is torch.float64, but texture is torch.float32", {"uvs": torch.zeros(2, 3, 3, 2).double()}),
        (TypeError, "texture must be float32 or float64", {"texture": torch.zeros(1, 4, 4, 3, dtype=torch.uint8)}),
    ],
)
def test_wrong_arguments(error, message, arguments):
    usual = {"texture": torch.zeros(1, 4, 4, 3), "uvs": torch.zeros(2, 3, 3, 2)}
    with pytest.raises(error, match=message):
        sample_texture(**{**usual, **arguments})


def test_topology_without_coordinates_cannot_be_textured():
    topology = Topology(torch.tensor([[0, 1, 2]]), 3)
    fragments = Fragments(torch.zeros(1, 2, 2, dtype=torch.int32), torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="topology must have texture coordinates"):
        render_texture(torch.zeros(1, 4, 4, 3), fragments, topology)
