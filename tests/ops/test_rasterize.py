"""rasterize: coverage, barycentrics and depth against slow twins and closed forms; its gradient; its edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_oracles import random_scene, seen_from_camera, slow_rasterize, sphere

from pyface3d.ops import Topology, rasterize

SIZE = (9, 13)
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}


def assert_same_fragments(found, expected, margin, tolerance):
    """Equal wherever the expected answer does not hang on rounding."""
    certain = torch.from_numpy(margin > tolerance)
    assert certain.float().mean() > 0.9
    index = found.face_index.cpu()
    torch.testing.assert_close(index[certain], expected.face_index[certain])
    for name in ("barycentrics", "depth"):
        torch.testing.assert_close(
            getattr(found, name).cpu().double()[certain],
            getattr(expected, name)[certain],
            atol=tolerance,
            rtol=tolerance,
        )


@pytest.mark.parametrize("cull", ["back", "none"])
@pytest.mark.parametrize(("perspective", "behind"), [(True, 0.0), (True, 0.3), (False, 0.0), (False, 0.2)])
def test_agrees_with_the_definition(device, dtype, cull, perspective, behind):
    for seed in range(3):
        verts, topology = random_scene(seed, dtype, device, behind=behind)
        found = rasterize(verts, topology, *SIZE, cull=cull, perspective=perspective)
        expected, margin = slow_rasterize(verts, topology, *SIZE, cull, perspective)
        assert expected.mask.any()
        # Corners near the plane of the camera project far away, where float32 pixels are coarse.
        assert_same_fragments(found, expected, margin, TOLERANCE[dtype] * (20 if behind else 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["bfm70k", "head26k"])
def test_agrees_with_the_brute_force_reference(shared_data, name, dtype):
    """70,000 triangles of about a pixel; depth complexity > 1 on the second mesh."""
    from benchmarks.workloads import load_mesh, scene

    folder = shared_data.parent / "perf"
    if not (folder / f"reference_{name}_224.npz").is_file():
        pytest.skip("the reference pictures of ../shared/perf are not on this machine")
    reference = np.load(folder / f"reference_{name}_224.npz")
    verts, topology = scene(load_mesh(folder / f"{name}.npz"), batch=1, size=224, dtype=dtype)
    found = rasterize(verts, topology, 224, 224, cull="none")
    index = found.face_index[0].numpy()
    assert (index != reference["tid"]).sum() <= 3  # a middle within rounding of an edge
    same = (index == reference["tid"]) & (index >= 0)
    np.testing.assert_allclose(found.depth[0].numpy()[same], reference["z"][same], atol=3e-5)
    np.testing.assert_allclose(found.barycentrics[0].numpy()[same], reference["bary"][same], atol=1e-3)


def test_point_of_the_barycentrics_lies_on_the_ray_of_the_pixel(device):
    """Against Moeller and Trumbore's intersection of ray and triangle, in 3D."""
    rng = np.random.default_rng(3)
    focal, (height, width) = 11.0, SIZE
    for _ in range(20):
        corners = rng.uniform([-4, -4, 4], [4, 4, 12], (3, 3))
        verts = torch.tensor(seen_from_camera(corners, focal, height, width), device=device)[None]
        found = rasterize(verts, Topology(torch.tensor([[0, 1, 2]], device=device), 3), height, width, cull="none")
        y, x = np.mgrid[:height, :width] + 0.5
        rays = np.stack([(x - width / 2) / focal, (y - height / 2) / focal, np.ones_like(x)], -1)
        first, second = corners[1] - corners[0], corners[2] - corners[0]
        p = np.cross(rays, second)
        det = p @ first
        b1 = -(p @ corners[0]) / det
        q = np.cross(-corners[0], first)
        b2, distance = rays @ q / det, second @ q / det
        inside = (b1 >= 0) & (b2 >= 0) & (b1 + b2 <= 1) & (distance > 0)
        np.testing.assert_array_equal(found.mask[0].cpu().numpy(), inside)
        np.testing.assert_allclose(found.depth[0].cpu().numpy()[inside], distance[inside], rtol=1e-9)
        hits = found.barycentrics[0].cpu().numpy()[inside] @ corners
        np.testing.assert_allclose(hits, (rays * distance[..., None])[inside], atol=1e-9)


def covering_counts(verts, faces, height, width):
    """How many faces cover each pixel when each is drawn alone: front faces, back faces."""
    soup = verts[torch.as_tensor(faces, dtype=torch.long)]
    alone = Topology(torch.tensor([[0, 1, 2]]), 3)
    both = rasterize(soup, alone, height, width, cull="none").mask.sum(0)
    front = rasterize(soup, alone, height, width, cull="back").mask.sum(0)
    return front, both - front


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    snap=st.sampled_from([0.5, 0.25, 1e-3, 1e-6]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_every_pixel_of_a_tiling_belongs_to_one_face(seed, snap, dtype):
    """A rectangle cut into triangles whose corners often stand on pixel middles and whose edges run through them."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 5, 2)
    cell = 3.5
    grid = np.stack(np.meshgrid(np.arange(columns + 1), np.arange(rows + 1)), -1) * cell
    inner = np.zeros(grid.shape[:2], bool)
    inner[1:-1, 1:-1] = True
    grid[inner] += rng.uniform(-0.17, 0.17, (int(inner.sum()), 2)) * cell  # every cell stays convex
    grid = np.round(grid / snap) * snap + 1.5  # the rectangle's own corners stand on pixel middles
    at = np.arange(grid.shape[0] * grid.shape[1]).reshape(grid.shape[:2])
    faces = []
    for i, j in np.ndindex(rows, columns):
        a, b, c, d = at[i, j], at[i + 1, j], at[i + 1, j + 1], at[i, j + 1]  # anticlockwise to the eye
        faces += [(a, b, c), (a, c, d)] if rng.random() < 0.5 else [(a, b, d), (b, c, d)]
    flat = grid.reshape(-1, 2)
    verts = torch.tensor(np.concatenate([flat, rng.uniform(1, 3, (len(flat), 1))], 1), dtype=dtype)
    turned = [face[k:] + face[:k] for face, k in zip(faces, rng.integers(0, 3, len(faces)), strict=True)]
    front, back = covering_counts(verts, turned, 17, 17)
    middles = np.arange(17) + 0.5
    columns_in = (middles >= 1.5) & (middles < 1.5 + columns * cell)  # left edge in, right edge out
    rows_in = (middles >= 1.5) & (middles < 1.5 + rows * cell)
    np.testing.assert_array_equal(front.numpy(), np.outer(rows_in, columns_in))
    assert not back.any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_closed_mesh_has_as_many_fronts_as_backs_at_every_pixel(seed, dtype):
    """Exactly: a ray that enters a closed surface leaves it. One leak or one pixel drawn twice would show."""
    rng = np.random.default_rng(seed)
    points, faces = sphere()
    points = points * rng.uniform(0.2, 3, 3)  # flat or long: slivers
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    placed = points @ rotation.T + np.array([*rng.uniform(-1, 1, 2), rng.uniform(4, 8)])
    verts = torch.tensor(seen_from_camera(placed, 30 * rng.uniform(0.3, 2), 24, 24), dtype=dtype)
    front, back = covering_counts(verts, faces, 24, 24)
    assert front.max() >= 1
    torch.testing.assert_close(front, back)
    whole = rasterize(verts[None], Topology(torch.tensor(faces), len(points)), 24, 24)
    torch.testing.assert_close(whole.mask[0], front > 0)


def test_needles_and_folds_do_not_leak():
    """A fan of faces thinner than rounding around a corner: still as many fronts as backs, closed by a back face."""
    rng = np.random.default_rng(0)
    for dtype in (torch.float32, torch.float64):
        for _ in range(20):
            tip = rng.uniform(2, 10, 2)
            angle = np.sort(rng.uniform(0, 1e-5, 12))
            rim = tip + 200 * np.stack([np.cos(angle), np.sin(angle)], 1)
            points = np.vstack([tip, rim, [[-50.0, 40.0]]])
            faces = [(0, k + 1, k) for k in range(1, 12)] + [(0, 13, 12), (0, 1, 13), (1, 12, 13)]
            faces += [(1, k, k + 1) for k in range(2, 12)]
            verts = torch.tensor(np.concatenate([points, np.full((14, 1), 2.0)], 1), dtype=dtype)
            front, back = covering_counts(verts, faces, 12, 12)
            torch.testing.assert_close(front, back)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), perspective=st.booleans(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_barycentrics_are_positive_and_sum_to_one(seed, perspective, dtype):
    verts, topology = random_scene(seed, dtype, behind=0.2)
    found = rasterize(verts, topology, *SIZE, cull="none", perspective=perspective)
    inside = found.barycentrics[found.mask]
    eps = torch.finfo(dtype).eps
    assert (inside >= 0).all()
    torch.testing.assert_close(inside.sum(-1), torch.ones(len(inside), dtype=dtype), atol=4 * eps, rtol=0)
    assert (found.depth[found.mask] > 0).all()
    assert (found.barycentrics[~found.mask] == 0).all()
    assert (found.depth[~found.mask] == 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dx=st.integers(-5, 5), dy=st.integers(-4, 4))
def test_moving_by_whole_pixels_moves_the_picture(seed, dx, dy):
    verts, topology = random_scene(seed, torch.float32)
    verts[..., :2] = (verts[..., :2] * 64).round() / 64  # so that the move itself does not round
    here = rasterize(verts, topology, 40, 50)
    verts = verts + torch.tensor([10.0, 12.0, 0.0])
    base = rasterize(verts, topology, 40, 50)
    moved = rasterize(verts + torch.tensor([float(dx), float(dy), 0.0]), topology, 40, 50)
    for a, b in zip(base, moved, strict=True):
        assert torch.equal(a[:, 8:28, 6:36], b[:, 8 + dy : 28 + dy, 6 + dx : 36 + dx])
    assert torch.equal(here.depth[:, :12, :16], base.depth[:, 12:24, 10:26])


def test_order_of_the_faces_changes_their_numbers_only(device, dtype):
    verts, topology = random_scene(1, dtype, device)
    order = torch.randperm(topology.num_faces, generator=torch.Generator().manual_seed(0)).to(device)
    found = rasterize(verts, topology, *SIZE)
    shuffled = rasterize(verts, Topology(topology.faces[order], topology.num_verts), *SIZE)
    assert torch.equal(found.depth, shuffled.depth)
    assert torch.equal(found.barycentrics, shuffled.barycentrics)
    renamed = torch.where(shuffled.mask, order[shuffled.face_index.clamp(min=0).long()].int(), -1)
    assert torch.equal(found.face_index, renamed)


def test_equal_depth_goes_to_the_lower_face(device, dtype):
    verts = torch.tensor([[[0, 0, 2], [0, 9, 2], [9, 9, 2], [9, 0, 2]]], dtype=dtype, device=device)
    faces = torch.tensor([[0, 2, 3], [0, 1, 2], [1, 2, 0], [2, 0, 1]], device=device)  # 1, 2, 3 are the same triangle
    found = rasterize(verts, Topology(faces, 4), 9, 9).face_index[0]
    assert found.unique().tolist() == [0, 1]


def test_orientation_and_culling(device, dtype):
    """Front: anticlockwise to the eye, y down."""
    verts = torch.tensor([[[1, 1, 2], [1, 8, 2], [8, 8, 2]]], dtype=dtype, device=device)  # top left, down, right
    front, back = (Topology(torch.tensor([f], device=device), 3) for f in ([0, 1, 2], [0, 2, 1]))
    assert rasterize(verts, front, 9, 9).mask.any()
    assert not rasterize(verts, back, 9, 9).mask.any()
    assert torch.equal(rasterize(verts, back, 9, 9, cull="none").mask, rasterize(verts, front, 9, 9).mask)


def test_top_left_rule_by_hand(dtype):
    """A square between pixel middles 1.5 and 4.5: its left and top edges are in, its right and bottom edges out."""
    verts = torch.tensor([[[1.5, 1.5, 1], [1.5, 4.5, 1], [4.5, 4.5, 1], [4.5, 1.5, 1]]], dtype=dtype)
    mask = rasterize(verts, Topology(torch.tensor([[0, 1, 2], [0, 2, 3]]), 4), 6, 6).mask[0]
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(mask, expected)


def test_ground_that_reaches_behind_the_camera(device):
    """A plane one below the camera from 3 behind to 3 in front: all of it in view is drawn, none above the horizon."""
    height, width, focal = 20, 24, 12.0
    corners = np.array([[-9.0, 1, -3], [30, 1, -3], [3, 1, 3], [-30, 1, 3]])
    verts = torch.tensor(seen_from_camera(corners, focal, height, width), device=device)[None]
    topology = Topology(torch.tensor([[0, 1, 2], [0, 2, 3]], device=device), 4)
    found = rasterize(verts, topology, height, width, cull="none")
    rows = (torch.arange(height, device=device, dtype=torch.float64) + 0.5 - height / 2) / focal
    depth = torch.where(rows > 1 / 3, 1 / rows, 0.0)  # y = 1 at depth 1 / row; beyond 3 the plane ends
    torch.testing.assert_close(found.depth[0], depth[:, None].expand(height, width))
    points = found.barycentrics[0] @ torch.tensor(corners, device=device)[topology.faces[0].long()]
    ours = found.face_index[0] == 0
    assert ours.any()
    torch.testing.assert_close(points[ours][:, 2], found.depth[0][ours])


def test_bad_vertices_take_their_faces_only(device, dtype):
    verts, topology = random_scene(5, dtype, device, batch=1)
    bad = [float("nan"), float("inf"), -float("inf")]
    keep = ~(topology.faces == 3).any(1)
    without = rasterize(verts, Topology(topology.faces[keep], topology.num_verts), *SIZE, cull="none")
    for axis in range(3):
        for value in [*bad, 0.0] if axis == 2 else bad:
            broken = verts.clone()
            broken[0, 3, axis] = value
            found = rasterize(broken, topology, *SIZE, cull="none")
            assert torch.equal(found.mask, without.mask)
            assert torch.equal(found.depth, without.depth)
            assert torch.isfinite(found.barycentrics).all()


def test_faces_of_no_area_cover_nothing(dtype):
    verts = torch.tensor([[[0.5, 0.5, 1], [4.5, 4.5, 1], [8.5, 8.5, 1], [2.5, 2.5, 3]]], dtype=dtype)
    faces = torch.tensor([[0, 1, 2], [0, 0, 1], [3, 3, 3], [0, 2, 0], [0, 3, 1]])
    assert not rasterize(verts, Topology(faces, 4), 10, 10, cull="none").mask.any()


@pytest.mark.parametrize("far", [1e6, 1e25])
@pytest.mark.parametrize("size", [(7, 33), (300, 400)])
def test_far_corners(device, dtype, far, size):
    """Corners far away, beyond what products in float32 hold: the picture is one face, its depth still a plane."""
    verts = torch.tensor([[[-far, -far, 5], [0, far, 5], [far, -far, 5]]], dtype=dtype, device=device)
    found = rasterize(verts, Topology(torch.tensor([[0, 1, 2]], device=device), 3), *size)
    assert found.mask.all()
    torch.testing.assert_close(found.depth, torch.full_like(found.depth, 5.0))


def test_large_pictures_are_drawn_in_strips(dtype):
    """1200 rows of faces small and large, some across many strips: the same as each part drawn as a small picture."""
    points, faces = sphere(30, 40)
    placed = points * np.array([1.0, 1.3, 1.0]) + np.array([0.0, 0.1, 4.0])
    ground = np.array([[-9.0, 1.1, -3], [9, 1.1, -3], [9, 1.1, 9], [-9, 1.1, 9]])
    image = seen_from_camera(np.vstack([placed, ground]), 1200.0, 1200, 400)
    image[:, :2] = np.round(image[:, :2] * 16) / 16  # so that moving by whole pixels does not round
    k = len(points)
    topology = Topology(torch.tensor(np.vstack([faces, [[k, k + 1, k + 2], [k, k + 2, k + 3]]])), k + 4)
    verts = torch.tensor(image, dtype=dtype)[None]
    whole = rasterize(verts, topology, 1200, 400, cull="none")
    assert whole.mask.float().mean() > 0.3
    for top in range(0, 1200, 100):
        part = rasterize(verts - torch.tensor([0, top, 0], dtype=dtype), topology, 100, 400, cull="none")
        for a, b in zip(whole, part, strict=True):
            assert torch.equal(a[:, top : top + 100], b)


@pytest.mark.parametrize(
    ("batch", "faces", "height", "width"), [(0, 3, 4, 4), (2, 0, 4, 4), (1, 3, 0, 5), (1, 3, 5, 0)]
)
def test_empty(device, dtype, batch, faces, height, width):
    verts, topology = random_scene(0, dtype, device, batch=1)
    verts = verts.expand(batch, -1, -1).clone().requires_grad_()
    found = rasterize(verts, Topology(topology.faces[:faces], topology.num_verts), height, width)
    assert found.face_index.shape == (batch, height, width)
    assert found.barycentrics.shape == (batch, height, width, 3)
    assert not found.mask.any() or faces
    (found.depth.sum() + found.barycentrics.sum()).backward()
    assert verts.grad.shape == verts.shape


def test_inputs_need_not_be_contiguous(device, dtype):
    verts, topology = random_scene(2, dtype, device)
    spread = verts.transpose(0, 1).contiguous().transpose(0, 1)
    assert not spread.is_contiguous()
    for a, b in zip(rasterize(spread, topology, *SIZE), rasterize(verts, topology, *SIZE), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cull", ["back", "none"])
@pytest.mark.parametrize("size", [(61, 47), (224, 224), (5, 300), (500, 530)])  # the last: gradients in bands
def test_threads_and_instruction_sets_change_no_bit(monkeypatch, dtype, cull, size):
    """Forward and backward; small and large faces, faces across the frame and behind the camera."""
    from importlib import import_module

    from pyface3d.ops import _kernels

    height, width = size
    points, faces = sphere(40, 60)
    placed = points * np.array([1.0, 1.2, 1.0]) + np.array([0.1, 0.0, 4.0])
    ground = np.array([[-9.0, 1, -3], [9, 1, -3], [9, 1, 9], [-9, 1, 9]])
    image = seen_from_camera(np.vstack([placed, ground]), 1.2 * height, height, width)
    verts = torch.tensor(np.stack([image, image[:, ::1] + [0.3, 0.2, 0]]), dtype=dtype)
    k = len(points)
    topology = Topology(torch.tensor(np.vstack([faces, [[k, k + 1, k + 2], [k, k + 2, k + 3]]])), k + 4)
    weights = torch.rand(2, height, width, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)

    def run(batch):
        leaf = verts[:batch].clone().requires_grad_()
        found = rasterize(leaf, topology, height, width, cull=cull)
        loss = (found.barycentrics * weights[:batch, ..., :3]).sum() + (found.depth * weights[:batch, ..., 3]).sum()
        loss.backward()
        return [*found, leaf.grad]

    threads = torch.get_num_threads()
    try:
        for batch in (1, 2):
            results = []
            for isa in import_module("pyface3d._cpu_baseline").supported():
                module = import_module(f"pyface3d._cpu_{isa}")
                monkeypatch.setattr(_kernels, "cpu_kernels", lambda module=module: module)
                for count in (1, 2, 4):
                    torch.set_num_threads(count)
                    results.append(run(batch))
            for other in results[1:]:
                assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("perspective", [True, False])
def test_gradient(device, perspective):
    verts, topology = random_scene(4, torch.float64, device, behind=0.2 if perspective else 0.0)
    verts.requires_grad_()

    def outputs(v):
        found = rasterize(v, topology, *SIZE, cull="none", perspective=perspective)
        return found.barycentrics, found.depth

    nondet = 1e-9 if device == "cuda" else 0.0
    assert outputs(verts)[1].count_nonzero() > 50
    assert torch.autograd.gradcheck(outputs, verts, nondet_tol=nondet)
    assert torch.autograd.gradcheck(lambda v: outputs(v)[1], verts, nondet_tol=nondet)  # one gradient left out
    assert torch.autograd.gradcheck(lambda v: outputs(v)[0], verts, nondet_tol=nondet)


def test_gradient_in_float32_follows_float64():
    points, faces = sphere(24, 36)
    verts = torch.tensor(seen_from_camera(points + [0, 0, 4.0], 150.0, 96, 96))[None]
    topology = Topology(torch.tensor(faces), len(points))
    grads = []
    for dtype in (torch.float32, torch.float64):
        leaf = verts.float().to(dtype).requires_grad_()
        found = rasterize(leaf, topology, 96, 96)
        (found.depth.square().sum() + (found.barycentrics * torch.tensor([1, 2, 3])).sum()).backward()
        grads.append(leaf.grad.double())
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-4 * float(grads[1].abs().max()))


def test_registration(device):
    verts, topology = random_scene(4, torch.float64, device, batch=1)
    torch.library.opcheck(
        torch.ops.pyface3d.rasterize.default, (verts.requires_grad_(), topology.faces, 4, 5, True, True)
    )


def test_wrong_arguments():
    verts, topology = random_scene(0)
    with pytest.raises(ValueError, match="verts_image must have shape"):
        rasterize(verts[0], topology, 4, 4)
    with pytest.raises(TypeError, match="float32 or float64"):
        rasterize(verts.half(), topology, 4, 4)
    with pytest.raises(ValueError, match="height must lie in"):
        rasterize(verts, topology, -1, 4)
    with pytest.raises(ValueError, match="cull must be"):
        rasterize(verts, topology, 4, 4, cull="front")
