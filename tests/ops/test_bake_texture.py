"""bake_texture and rasterize_uvs beyond the table: there and back, what hides, no seams, errors."""

import numpy as np
import pytest
import torch
from op_case import LARGE, SMALL, mesh

from pyface3d import ops
from pyface3d.ops import Topology, bake_texture, rasterize_uvs, render_texture, sample_texture

SIZE = 96


def plate(depth=100.0, extent=0.8, faces_camera=True, device="cpu", dtype=torch.float64, tilt=0.0):
    """A square plate of two triangles with a chart over [0.1, 0.9]²: (1, 4, 3) in a picture of SIZE², its topology."""
    xy = torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1.0]])
    z = depth * (1 + tilt * xy[:, :1])
    image = torch.cat([SIZE / 2 + extent * SIZE / 2 * xy * depth / z, z], 1)
    faces = torch.tensor([[0, 3, 2], [0, 2, 1]])  # anticlockwise to the eye, y down
    if not faces_camera:
        faces = faces.flip(1)
    uvs = 0.5 + 0.4 * xy
    return image[None].to(device, dtype), Topology(faces.to(device), 4, uvs=uvs)


def smooth_texture(size, device, dtype):
    v, u = torch.meshgrid(*(torch.linspace(0, 1, size, device=device, dtype=dtype),) * 2, indexing="ij")
    return torch.stack([u, v, (torch.sin(5 * u) * torch.cos(4 * v) + 1) / 2], -1)[None]


@pytest.mark.parametrize(("tilt", "extent"), [(0.0, 0.8), (0.4, 0.55)])
def test_there_and_back(device, dtype, tilt, extent):
    """A rendered texture comes back where it was seen whole; with tilt only a perspective lookup finds it."""
    verts, topology = plate(device=device, dtype=dtype, tilt=tilt, extent=extent)
    texture = smooth_texture(64, device, dtype)
    fragments = ops.rasterize(verts, topology, SIZE, SIZE)
    image = render_texture(texture, fragments, topology)
    baked, weight = bake_texture(image, verts, topology, (64, 64), fragments)
    whole = weight > 0.999
    assert 0.55 < whole.double().mean() < 0.64  # the chart covers 0.64; texels on the outline mix with the background
    torch.testing.assert_close(baked[whole], texture[whole], rtol=0, atol=0.02)
    assert not baked[weight == 0].any()


def test_what_is_hidden_turned_away_outside_or_behind_has_no_weight(device, dtype):
    verts, topology = plate(device=device, dtype=dtype)
    image = torch.ones(1, SIZE, SIZE, 3, device=device, dtype=dtype)
    cover = ops.rasterize(plate(depth=90.0, device=device, dtype=dtype)[0], topology, SIZE, SIZE)
    for seen in (cover, torch.zeros(1, 4, device=device, dtype=dtype)):
        texture, weight = bake_texture(image, verts, topology, (16, 16), seen)
        assert not weight.any() and not texture.any()
    assert bake_texture(image, verts, topology, (16, 16), cover, tolerance_mm=11.0)[1].any()
    away = plate(faces_camera=False, device=device)[1]
    outside = verts + torch.tensor([2.0 * SIZE, 0, 0], device=device, dtype=dtype)
    behind = verts * torch.tensor([1, 1, -1], device=device, dtype=dtype)
    lost = verts.clone()
    lost[0, 0, 0] = torch.nan
    for v, t in (
        (verts, away),
        (outside, topology),
        (behind, topology),
        (lost, Topology(topology.faces, 4, topology.uvs)),
    ):
        texture, weight = bake_texture(image, v, t, (16, 16), None)
        assert not texture.isnan().any() and not weight.isnan().any()
        assert not weight.any()
    assert bake_texture(image, verts, topology, (16, 16), None)[1].any()


def test_half_a_plate_behind_another(device, dtype):
    """The edge of the shadow is soft over one pixel and right to one pixel."""
    verts, topology = plate(device=device, dtype=dtype)
    cover = verts.clone()
    cover[..., 2] -= 30
    cover[0, 1:3, 0] = SIZE / 2  # its right edge in the middle of the picture
    both = Topology(torch.cat([topology.faces, topology.faces + 4]), 8)
    fragments = ops.rasterize(torch.cat([verts, cover], 1), both, SIZE, SIZE)
    image = torch.zeros(1, SIZE, SIZE, 1, device=device, dtype=dtype)
    _, weight = bake_texture(image, verts, topology, (80, 80), fragments)
    row = weight[0, 40]
    assert not row[8:38].any()
    assert (row[42:70] > 0.999).all()


def test_vertex_weights_are_mixed_over_the_faces(device, dtype):
    verts, topology = plate(device=device, dtype=dtype)
    seen = torch.tensor([[0.0, 1.0, 1.0, 0.0]], device=device, dtype=dtype)  # by x
    image = torch.ones(1, SIZE, SIZE, 1, device=device, dtype=dtype)
    texture, weight = bake_texture(image, verts, topology, (20, 20), seen)
    u = (torch.arange(20, device=device, dtype=dtype) + 0.5) / 20
    expected = ((u - 0.1) / 0.8).clamp(0, 1)[2:18]
    torch.testing.assert_close(weight[0, 10, 2:18], expected)
    torch.testing.assert_close(texture[0, 10, 3:18, 0], torch.ones(15, device=device, dtype=dtype))
    mask = bake_texture(image, verts, topology, (20, 20), seen > 0.5)[1]
    torch.testing.assert_close(mask, weight)


def test_a_baked_colour_is_read_back_without_seams(device, dtype):
    """Every texel that a bilinear lookup on the chart touches is filled, so one colour stays one colour."""
    topology = mesh(SMALL).to(device)
    chart = rasterize_uvs(topology, 23, 19, dtype)
    filled = (chart.face_index >= 0).to(dtype)[..., None]
    generator = np.random.default_rng(0)
    weights = torch.from_numpy(generator.dirichlet([0.4] * 3, (1, 40, 50))).to(device, dtype)
    faces = torch.from_numpy(generator.integers(0, topology.num_faces, (1, 40, 50)).astype(np.int32)).to(device)
    found = render_texture(filled, ops.Fragments(faces, weights, weights[..., 0]), topology)
    torch.testing.assert_close(found, torch.ones_like(found))
    assert not filled.all()


def test_chart_puts_every_texel_at_its_own_coordinate(device, dtype):
    topology = mesh(LARGE).to(device)
    chart = rasterize_uvs(topology, 60, 50, dtype)
    corners = topology.uvs.to(dtype)[topology.uv_faces[chart.face_index.clamp(min=0).long()].long()]
    found = (corners * chart.barycentrics[..., None]).sum(-2)
    v, u = torch.meshgrid(torch.arange(60), torch.arange(50), indexing="ij")
    middle = (torch.stack([u, v], -1) + 0.5).to(device, dtype)
    offset = (found * torch.tensor([50, 60], device=device) - middle).norm(dim=-1)
    used = chart.face_index >= 0
    torch.testing.assert_close(offset[used], chart.depth[used], rtol=1e-3, atol=2e-4)
    assert chart.depth.max() < 2**0.5
    assert (chart.depth[used] == 0).any() and (chart.depth[used] > 0).any()


def test_chart_is_made_once_per_size_and_dtype():
    topology = mesh(SMALL)
    assert rasterize_uvs(topology, 8, 9) is rasterize_uvs(topology, 8, 9)
    assert rasterize_uvs(topology, 8, 9, torch.float64).depth.dtype == torch.float64
    assert rasterize_uvs(topology, 9, 8).face_index.shape == (1, 9, 8)


def test_where_charts_overlap_the_first_face_has_the_texel():
    uvs = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    faces = torch.tensor([[0, 1, 2]])
    topology = Topology(torch.cat([faces, faces.flip(1), faces]), 3, uvs=uvs)
    assert set(rasterize_uvs(topology, 12, 12).face_index.unique().tolist()) == {-1, 0}


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_no_texels(size, dtype):
    verts, topology = plate(dtype=dtype)
    texture, weight = bake_texture(torch.ones(1, SIZE, SIZE, 3, dtype=dtype), verts, topology, size, None)
    assert texture.shape == (1, *size, 3) and weight.shape == (1, *size)


def test_no_pixels(dtype):
    verts, topology = plate(dtype=dtype)
    fragments = ops.rasterize(verts, topology, 0, 7)
    for seen in (fragments, None):
        texture, weight = bake_texture(torch.ones(1, 0, 7, 3, dtype=dtype), verts, topology, (4, 4), seen)
        assert texture.shape == (1, 4, 4, 3)
        assert not weight.any()


def test_gradient_reaches_only_the_pixels_that_were_read(device):
    verts, topology = plate(extent=0.4, device=device)
    image = torch.rand(1, SIZE, SIZE, 2, dtype=torch.float64, device=device).requires_grad_()
    texture, _ = bake_texture(image, verts, topology, (30, 30), None)
    (gradient,) = torch.autograd.grad(texture.sum(), image)
    used = gradient.abs().sum(-1)[0] > 0
    rows = used.any(1).nonzero().flatten()
    assert rows.min() >= SIZE * 0.3 - 2 and rows.max() <= SIZE * 0.7 + 2
    torch.testing.assert_close(
        gradient.sum(), torch.tensor(float((texture != 0).sum()), dtype=torch.float64).to(device)
    )


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, r"image must have shape \(B, H, W, C\)", {"image": torch.zeros(SIZE, SIZE, 3)}),
        (ValueError, r"verts_image must have shape \(1, 4, 3\)", {"verts_image": torch.zeros(1, 5, 3)}),
        (ValueError, r"visibility must have shape \(1, 4\)", {"visibility": torch.zeros(1, 5)}),
        (ValueError, "tolerance_mm must be finite and at least 0, got -1", {"tolerance_mm": -1.0}),
        (ValueError, "tolerance_mm must be finite and at least 0, got nan", {"tolerance_mm": float("nan")}),
        (ValueError, r"height must lie in \[0, 32768\] texels, got 40000", {"texture_size": (40000, 3)}),
        (ValueError, r"texture_size must be \(Ht, Wt\)", {"texture_size": (3, 3, 3)}),
        (TypeError, "verts_image is torch.float64", {"verts_image": torch.zeros(1, 4, 3).double()}),
    ],
)
def test_wrong_arguments(error, message, arguments):
    verts, topology = plate(dtype=torch.float32)
    usual = {
        "image": torch.zeros(1, SIZE, SIZE, 3),
        "verts_image": verts,
        "topology": topology,
        "texture_size": (4, 4),
        "visibility": None,
    }
    with pytest.raises(error, match=message):
        bake_texture(**{**usual, **arguments})


def test_fragments_of_another_picture_are_refused():
    verts, topology = plate(dtype=torch.float32)
    fragments = ops.rasterize(verts, topology, 10, 10)
    with pytest.raises(ValueError, match=r"visibility.depth must have shape \(1, 96, 96\)"):
        bake_texture(torch.zeros(1, SIZE, SIZE, 3), verts, topology, (4, 4), fragments)


def test_no_coordinates():
    verts, _ = plate(dtype=torch.float32)
    with pytest.raises(ValueError, match="texture coordinates"):
        bake_texture(torch.zeros(1, SIZE, SIZE, 3), verts, Topology(torch.tensor([[0, 3, 2]]), 4), (4, 4), None)


def test_a_pixel_wide_picture_is_read(dtype):
    verts, topology = plate(dtype=dtype)
    shrunk = verts * torch.tensor([1 / SIZE, 1 / SIZE, 1], dtype=dtype)
    texture, weight = bake_texture(torch.full((1, 1, 1, 1), 0.3, dtype=dtype), shrunk, topology, (6, 6), None)
    assert weight.any()
    torch.testing.assert_close(texture[weight > 0], torch.full_like(texture[weight > 0], 0.3))
    assert sample_texture(texture, torch.full((1, 1, 1, 2), 0.5, dtype=dtype)).item() == pytest.approx(0.3)
