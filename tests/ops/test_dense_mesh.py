"""dense_mesh: planes, spheres and single cells whose mesh is known, cuts, and its edges."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_oracles import seen_from_camera, sphere
from relief_oracles import CELLS
from torch import Tensor

from pyface3d.ops import DenseMesh, Fragments, Topology, dense_mesh, rasterize

FOCAL = 1000.0
CORNERS = {"tl": (0, 0), "tr": (0, 1), "bl": (1, 0), "br": (1, 1)}


def shown(depth: Tensor) -> Fragments:
    """A picture that shows a face at every pixel."""
    return Fragments(torch.zeros_like(depth, dtype=torch.int32), depth.new_empty(0), depth)


def flat(height: int = 9, width: int = 13, dtype: torch.dtype = torch.float64, device: str = "cpu") -> Tensor:
    return torch.full((1, height, width), 600.0, dtype=dtype, device=device)


def reprojected(verts: Tensor, height: int, width: int) -> Tensor:
    """u, v of points, the pinhole formula."""
    return FOCAL * verts[:, :2] / verts[:, 2:] + torch.tensor([width / 2, height / 2], dtype=verts.dtype)


def normals_and_views(verts: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Area vectors of triangles, and the way from their middles to the camera, times 3."""
    a, b, c = (verts[faces[:, k].long()] for k in range(3))
    return torch.linalg.cross(b - a, c - a), -(a + b + c)


@pytest.mark.parametrize("along", ["axis", "ray"])
def test_a_plane(device, dtype, along):
    """Positions by hand, a vertex in the middle of every pixel, two triangles a cell, all facing the camera."""
    height, width = 9, 13
    depth = flat(height, width, dtype, device)
    verts, faces, pixels = (t.cpu() for t in dense_mesh(shown(depth), focal=FOCAL, along=along).item(0))
    x, y = pixels.to(dtype).unbind(-1)
    expected = torch.stack([(x + 0.5 - 6.5) * 0.6, (y + 0.5 - 4.5) * 0.6, torch.full_like(x, 600)], -1)
    torch.testing.assert_close(verts, expected)
    torch.testing.assert_close(reprojected(verts, height, width), pixels + torch.tensor(0.5, dtype=dtype))
    assert len(faces) == 2 * (height - 1) * (width - 1)
    area, view = normals_and_views(verts, faces)
    torch.testing.assert_close(area[:, 2], torch.full_like(area[:, 2], -0.36))
    assert ((area * view).sum(-1) > 0).all()
    assert faces.dtype == torch.int32
    assert pixels.dtype == torch.int32


def test_the_order_is_column_by_column(device):
    depth = flat(3, 2, device=device)
    mask = torch.ones_like(depth, dtype=torch.bool)
    mask[0, 1, 0] = False
    _, faces, pixels = dense_mesh(shown(depth), mask=mask, focal=FOCAL).item(0)
    assert pixels.tolist() == [[0, 0], [0, 2], [1, 0], [1, 1], [1, 2]]
    # Upper cell without its bottom left corner, lower cell without its top left one.
    assert faces.tolist() == [[2, 0, 3], [3, 1, 4]]


@pytest.mark.parametrize("present", list(CELLS), ids=lambda p: "".join(map(str, p)))
def test_the_sixteen_cells(device, dtype, present):
    """Which corners have a vertex decides the triangles, as the table of the oracle has them by hand."""
    depth = flat(2, 2, dtype, device)
    mask = torch.tensor(present, device=device).reshape(1, 2, 2).bool()
    mesh = dense_mesh(shown(depth), mask=mask, focal=FOCAL)
    verts, faces, pixels = mesh.item(0)
    assert torch.equal(mesh.is_vertex, mask)
    assert len(verts) == sum(present)
    names = {tuple(CORNERS[name][::-1]): name for name in CORNERS}
    found = [tuple(names[tuple(pixels[i].tolist())] for i in face) for face in faces]
    assert found == CELLS[present]
    area, _ = normals_and_views(verts, faces)
    assert (area[:, 2] < 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_impulse_moves_one_vertex_in_depth_only(device, dtype):
    """Spec extreme3d, test 5: the bump map is 512 wide, the crop 500, six pixels between."""
    bump_map = torch.zeros(512, 512, dtype=dtype, device=device)
    x, y, level = 210, 77, 163
    bump_map[y + 6, x + 6] = (level - 127) / 12 * 1.25
    bump = bump_map[None, 6:506, 6:506]
    depth = 600 + torch.rand(1, 500, 500, generator=torch.Generator().manual_seed(0), dtype=dtype).to(device)
    before = dense_mesh(shown(depth), focal=FOCAL).verts
    after = dense_mesh(shown(depth), bump=bump, focal=FOCAL).verts
    changed = (after != before).any(-1).nonzero()
    assert changed.tolist() == [[0, y, x]]
    assert torch.equal(after[..., :2], before[..., :2])
    torch.testing.assert_close(before[0, y, x, 2] - after[0, y, x, 2], before.new_tensor(3.75), rtol=0, atol=6e-5)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_along_the_ray_keeps_the_pixel_and_the_length(sign):
    generator = torch.Generator().manual_seed(1)
    depth = 600 + 5 * torch.rand(1, 40, 50, generator=generator, dtype=torch.float64)
    bump = sign * 6 * torch.rand(1, 40, 50, generator=generator, dtype=torch.float64)
    plain = dense_mesh(shown(depth), focal=FOCAL, along="ray", max_depth_gap_mm=math.inf).item(0)[0]
    verts, _, pixels = dense_mesh(shown(depth), None, bump, focal=FOCAL, along="ray").item(0)
    torch.testing.assert_close(reprojected(verts, 40, 50), pixels.double() + 0.5, rtol=0, atol=1e-9)
    torch.testing.assert_close(plain.norm(dim=-1) - verts.norm(dim=-1), bump[0].T.reshape(-1), rtol=0, atol=1e-9)
    on_axis, _, _ = dense_mesh(shown(depth), None, bump, focal=FOCAL, along="axis").item(0)
    off = (reprojected(on_axis, 40, 50) - pixels.double() - 0.5).norm(dim=-1).max()
    assert 0.05 < off < 2  # spec extreme3d, test 10: within two pixels


def seen_sphere(size: int, radius: float = 80.0, focal: float = FOCAL, dtype: torch.dtype = torch.float64):
    points, triangles = sphere(120, 160)
    camera = torch.from_numpy(points * radius + np.array([0, 0, 600.0]))
    verts = torch.from_numpy(seen_from_camera(camera.numpy(), focal, size, size)).to(dtype)[None]
    return verts, rasterize(verts, Topology(torch.from_numpy(triangles), len(points)), size, size)


def test_a_sphere_is_a_disc_of_triangles():
    """Vertices on the sphere (to its facets), every inner edge between two triangles that run against each other, one
    sheet without holes; the cuts take nothing but the horizon."""
    size, radius = 300, 80.0
    _, fragments = seen_sphere(size, radius)
    whole = dense_mesh(fragments, focal=FOCAL, max_depth_gap_mm=math.inf, max_view_angle=math.pi)
    verts, faces, pixels = whole.item(0)
    assert len(verts) == int(fragments.mask.sum())
    center = torch.tensor([0, 0, 600.0], dtype=torch.float64)
    sagitta = radius * (1 - math.cos(math.pi / 120))
    assert ((verts - center).norm(dim=-1) - radius).abs().max() < 2 * sagitta
    torch.testing.assert_close(reprojected(verts, size, size), pixels.double() + 0.5, rtol=0, atol=1e-9)
    directed = {tuple(e) for e in np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()}
    assert len(directed) == 3 * len(faces)  # none twice: triangles side by side run the same way round
    border = {e for e in directed if e[::-1] not in directed}
    used = len({v for e in directed for v in e})
    assert used - (len(directed) + len(border)) // 2 + len(faces) == 1  # Euler: a disc
    cut = dense_mesh(fragments, focal=FOCAL)
    lost = (whole.cells[0] & ~cut.cells[0]).nonzero()
    assert len(lost) > 0
    # 85 degrees off the view, the distance from the middle is 0.996 of the outline's; 0.98 leaves room for the facets.
    outline = FOCAL * radius / math.sqrt(600**2 - radius**2)
    assert ((lost + 1 - size / 2).double().norm(dim=-1) > 0.98 * outline).all()
    area, view = normals_and_views(verts, cut.item(0)[1])
    assert ((area * view).sum(-1) > math.cos(math.radians(85)) * area.norm(dim=-1) * view.norm(dim=-1) * 0.999).all()


def test_a_jump_in_depth_is_not_bridged(device, dtype):
    """Half the picture 7 mm behind the other: one column of cells falls out, and comes back with a larger limit."""
    depth = flat(6, 8, dtype, device)
    depth[:, :, 4:] += 7
    cut, whole = (
        dense_mesh(shown(depth), focal=FOCAL, max_view_angle=math.pi / 2, max_depth_gap_mm=gap).cells
        for gap in (6, 7.5)
    )
    assert (whole == 3).all()
    expected = torch.full_like(cut, 3)
    expected[:, :, 3] = 0
    assert torch.equal(cut, expected)


def test_the_gap_is_measured_with_the_bump(device):
    depth, bump = flat(2, 2, device=device), torch.zeros(1, 2, 2, dtype=torch.float64, device=device)
    bump[0, 0, 1] = 6.5  # the corner that both triangles share
    assert dense_mesh(shown(depth), bump=bump, focal=FOCAL).cells.item() == 0
    bump[0, 0, 1], bump[0, 1, 1] = 0, 6.5  # the corner of one of them
    assert dense_mesh(shown(depth), bump=bump, focal=FOCAL).cells.item() == 1


@pytest.mark.parametrize(("degrees", "stands"), [(80, True), (84.5, True), (85.5, False), (88, False)])
def test_grazing_triangles_are_cut(dtype, degrees, stands):
    """A plane whose normal is so far from the line of sight, cell by cell: z = a + b x with the middle cell's ray."""
    slope = math.tan(math.radians(degrees))
    u = (torch.arange(3, dtype=dtype) + 0.5 - 1.5) / 1e5  # a long lens: lines of sight as good as parallel
    depth = (600 / (1 - u * slope)).expand(1, 3, 3).contiguous()
    cells = dense_mesh(shown(depth), focal=1e5, max_depth_gap_mm=math.inf).cells
    assert (cells == (3 if stands else 0)).all()
    limit = math.radians(degrees)
    assert (dense_mesh(shown(depth), focal=1e5, max_view_angle=limit + 0.01).cells == 3).all()
    assert (dense_mesh(shown(depth), focal=1e5, max_view_angle=limit - 0.01).cells == 0).all()


def test_a_fold_is_cut_and_can_be_kept():
    """A bump along the axis carries an outer pixel's vertex past its neighbour: the sheet turns its back."""
    depth = torch.full((1, 2, 2), 10.0, dtype=torch.float64)
    bump = torch.tensor([[[5.0, 0.0], [5.0, 0.0]]], dtype=torch.float64)  # left vertices move outwards in the picture
    arguments = {"focal": 2.0, "principal_point": (-3.0, 1.0), "max_depth_gap_mm": 100.0}
    verts = dense_mesh(shown(depth), bump=bump, **arguments).verts[0]
    assert verts[0, 0, 0] / verts[0, 0, 2] > verts[0, 1, 0] / verts[0, 1, 2]  # left of it no longer
    assert dense_mesh(shown(depth), bump=bump, **arguments).cells.item() == 0
    assert dense_mesh(shown(depth), bump=bump, max_view_angle=math.pi, **arguments).cells.item() == 3


def test_triangles_of_no_area_are_cut():
    """A focal length so long that all vertices fall on one point."""
    mesh = dense_mesh(shown(flat(3, 3)), focal=1e300, max_view_angle=math.pi)
    assert mesh.is_vertex.all()
    assert not mesh.cells.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 8), st.floats(0, 3))
def test_laws(seed, roughness, angle):
    """Vertices are the pixels with a face in the mask; what stands keeps the limits, what does not breaks one."""
    generator = torch.Generator().manual_seed(seed)
    depth = 600 + roughness * torch.randn(2, 7, 8, generator=generator, dtype=torch.float64)
    bump = roughness * torch.randn(2, 7, 8, generator=generator, dtype=torch.float64)
    mask = torch.rand(2, 7, 8, generator=generator) < 0.9
    fragments = Fragments((torch.rand(2, 7, 8, generator=generator) < 0.9).int() - 1, depth.new_empty(0), depth)
    limits = {"focal": FOCAL, "max_view_angle": angle}
    mesh = dense_mesh(fragments, None, bump, mask, max_depth_gap_mm=6.0, **limits)
    everything = dense_mesh(fragments, None, bump, mask, focal=FOCAL, max_depth_gap_mm=math.inf, max_view_angle=math.pi)
    assert torch.equal(mesh.is_vertex, mask & fragments.mask)
    assert not (mesh.cells & ~everything.cells).any()
    for b in range(2):
        verts, faces, pixels = mesh.item(b)
        assert len(verts) == int((mask & fragments.mask)[b].sum())
        assert torch.equal(verts, mesh.verts[b, pixels[:, 1].long(), pixels[:, 0].long()])
        area, view = normals_and_views(verts, faces)
        assert ((area * view).sum(-1) >= math.cos(angle) * area.norm(dim=-1) * view.norm(dim=-1) - 1e-9).all()
        z = verts[:, 2][faces.long()]
        assert ((z.amax(-1) - z.amin(-1)) <= 6.0).all()
        removed = DenseMesh(mesh.verts, mesh.is_vertex, everything.cells & ~mesh.cells).item(b)[1]
        area, view = normals_and_views(verts, removed)
        z = verts[:, 2][removed.long()]
        grazing = (area * view).sum(-1) <= math.cos(angle) * area.norm(dim=-1) * view.norm(dim=-1) + 1e-9
        assert (grazing | (z.amax(-1) - z.amin(-1) > 6.0)).all()


def test_cameras_of_their_own(device, dtype):
    """A batch with its own focal lengths and middles is the pictures one by one."""
    depth = torch.cat([flat(5, 6, dtype, device), flat(5, 6, dtype, device) + 50])
    focal = torch.tensor([900.0, 1100.0], dtype=dtype, device=device)
    middles = torch.tensor([[3.0, 2.0], [2.5, 2.75]], dtype=dtype, device=device)
    together = dense_mesh(shown(depth), focal=focal, principal_point=middles)
    for b in range(2):
        alone = dense_mesh(shown(depth[b : b + 1]), focal=float(focal[b]), principal_point=tuple(middles[b].tolist()))
        for found, expected in zip(together, alone):
            assert torch.equal(found[b], expected[0])


def test_depth_left_out_is_the_one_that_was_drawn():
    """And its gradient goes on through the rasteriser: moving a face away moves its vertices away."""
    verts = torch.tensor([[[-2.0, -2, 500], [-2, 40, 500], [40, -2, 500]]], dtype=torch.float64, requires_grad=True)
    fragments = rasterize(verts, Topology(torch.tensor([[0, 1, 2]]), 3), 8, 8)
    mesh = dense_mesh(fragments, focal=FOCAL)
    assert mesh.is_vertex.all()
    mesh.verts[..., 2].sum().backward()
    assert verts.grad is not None
    torch.testing.assert_close(verts.grad[..., 2].sum(), torch.tensor(64.0, dtype=torch.float64))


def test_gradient_reaches_the_compacted_mesh():
    depth, bump = (t.requires_grad_() for t in (flat(3, 3), torch.zeros(1, 3, 3, dtype=torch.float64)))
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    mask[0, 1, 1] = False
    verts, _, _ = dense_mesh(shown(depth), depth, bump, mask, focal=FOCAL).item(0)
    of_depth, of_bump = torch.autograd.grad(verts[:, 2].sum(), (depth, bump))
    assert torch.equal(of_depth, mask.double())
    assert torch.equal(of_bump, -mask.double())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -5.0])
def test_a_pixel_without_a_depth_has_no_vertex(device, dtype, value):
    depth = flat(4, 5, dtype, device)
    depth[0, 1, 2] = value
    depth.requires_grad_()
    mesh = dense_mesh(shown(depth), focal=FOCAL)
    assert not mesh.is_vertex[0, 1, 2]
    assert int(mesh.is_vertex.sum()) == 19
    assert mesh.verts.isfinite().all()
    (gradient,) = torch.autograd.grad(mesh.verts.sum(), depth)
    assert gradient[0, 1, 2] == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 600.0, 1e4])
@pytest.mark.parametrize("along", ["axis", "ray"])
def test_nor_has_one_whose_bump_is_bad_or_reaches_the_camera(device, dtype, along, value):
    depth = flat(4, 4, dtype, device)  # the pixel is off the middle: 600 mm along its ray is less than its distance
    bump = torch.zeros_like(depth)
    bump[0, 1, 2] = value if along == "axis" or value != 600 else 601
    mesh = dense_mesh(shown(depth), bump=bump, focal=FOCAL, along=along)
    assert not mesh.is_vertex[0, 1, 2]
    assert int(mesh.is_vertex.sum()) == 15
    assert mesh.verts.isfinite().all()


@pytest.mark.parametrize("size", [(0, 4, 5), (2, 0, 5), (2, 4, 0), (1, 1, 5), (1, 5, 1), (1, 1, 1)])
def test_pictures_without_cells(device, dtype, size):
    depth = torch.full(size, 600.0, dtype=dtype, device=device, requires_grad=True)
    mesh = dense_mesh(shown(depth), focal=FOCAL)
    assert mesh.verts.shape == (*size, 3)
    assert mesh.cells.shape == (size[0], max(size[1] - 1, 0), max(size[2] - 1, 0))
    for b in range(size[0]):
        verts, faces, pixels = mesh.item(b)
        assert verts.shape == (size[1] * size[2], 3)
        assert faces.shape == (0, 3)
        assert pixels.shape == (size[1] * size[2], 2)
    assert torch.autograd.grad(mesh.verts.sum(), depth)[0].shape == size


def test_a_picture_of_nothing():
    depth = flat(4, 4)
    nothing = Fragments(torch.full((1, 4, 4), -1, dtype=torch.int32), depth.new_empty(0), depth)
    verts, faces, pixels = dense_mesh(nothing, focal=FOCAL).item(0)
    assert (len(verts), len(faces), len(pixels)) == (0, 0, 0)


def test_wrong_arguments():
    depth = flat(4, 5)
    mask = torch.ones_like(depth, dtype=torch.bool)
    fragments = shown(depth)
    one = torch.ones(1, dtype=torch.float64)
    for wrong, error, message in (
        ({"depth": depth[0]}, ValueError, r"depth must have shape \(1, 4, 5\), got \(4, 5\)"),
        ({"depth": depth.half()}, TypeError, "depth must be float32 or float64"),
        ({"depth": depth.to("meta")}, ValueError, "depth is on meta"),
        ({"bump": depth[:, 1:]}, ValueError, r"bump must have shape \(1, 4, 5\)"),
        ({"bump": depth.float()}, TypeError, "bump is torch.float32, but depth is torch.float64"),
        ({"mask": mask.int()}, TypeError, "mask must be bool, got torch.int32"),
        ({"mask": mask[..., 1:]}, ValueError, r"mask must have shape \(1, 4, 5\)"),
        ({"focal": 0.0}, ValueError, "focal must be finite and greater than 0, got 0.0"),
        ({"focal": math.inf}, ValueError, "focal must be finite"),
        ({"focal": one.float()}, TypeError, "focal is torch.float32"),
        ({"focal": torch.ones(2, dtype=torch.float64)}, ValueError, r"focal must have shape \(1\)"),
        ({"principal_point": (math.nan, 0.0)}, ValueError, "principal_point must be finite"),
        ({"principal_point": one}, ValueError, r"principal_point must have shape \(1, 2\)"),
        ({"along": "normal"}, ValueError, "along must be"),
        ({"max_depth_gap_mm": -1.0}, ValueError, "max_depth_gap_mm must be at least 0"),
        ({"max_depth_gap_mm": math.nan}, ValueError, "max_depth_gap_mm"),
        ({"max_view_angle": 85.0}, ValueError, r"max_view_angle must lie in \[0, pi\]"),
    ):
        with pytest.raises(error, match=message):
            dense_mesh(fragments, **{"focal": FOCAL, **wrong})


def test_every_corner_pattern_has_its_row_in_the_table():
    assert set(CELLS) == set(itertools.product((0, 1), repeat=4))
