"""Laws that hold for every picture of rasterize: tilings, symmetries, order of the faces, hostile numbers, sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_oracles import random_scene, slow_rasterize
from scipy.spatial import Delaunay, QhullError

from pyface3d.ops import Topology, rasterize

SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([torch.float32, torch.float64])
GRID = 8  # corners at multiples of 1/8 pixel: every 64th point stands on a pixel's middle, and all sums are exact


def drawn_alone(points: np.ndarray, faces: np.ndarray, size: int, dtype: torch.dtype) -> np.ndarray:
    """How many of the faces (anticlockwise to the eye) cover each pixel when each is drawn by itself."""
    verts = torch.tensor(np.concatenate([points, np.full((len(points), 1), 2.0)], 1), dtype=dtype)
    soup = verts[torch.as_tensor(faces, dtype=torch.long)]
    return rasterize(soup, Topology(torch.tensor([[0, 1, 2]]), 3), size, size).mask.sum(0).numpy()


def twice_area(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Of faces in units of 1 / GRID squared, exactly; positive where they run anticlockwise to the eye (y down)."""
    a, b, c = np.moveaxis(np.round(points * GRID).astype(np.int64)[faces], 1, 0)
    return (b - a)[:, 1] * (c - a)[:, 0] - (b - a)[:, 0] * (c - a)[:, 1]


def facing(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces that have an area, turned to the eye."""
    area = twice_area(points, faces)
    return np.where(area[:, None] < 0, faces[:, ::-1], faces)[area != 0]


def strictly_inside(points: np.ndarray, ring: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels whose middle lies inside the convex ring of corners, and those where it lies outside, in integers."""
    corners = np.round(points[ring] * GRID).astype(np.int64)
    middle = np.arange(size) * GRID + GRID // 2
    x, y = np.meshgrid(middle, middle)
    sides = []
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        sides.append((y - a[1]) * (b - a)[0] - (x - a[0]) * (b - a)[1])
    sides = np.stack(sides)
    return (sides > 0).all(0) | (sides < 0).all(0), ((sides > 0).any(0)) & ((sides < 0).any(0))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES)
def test_a_planar_triangulation_covers_every_pixel_once(seed, dtype):
    rng = np.random.default_rng(seed)
    size = 20
    points = np.unique(rng.integers(0, size * GRID, (rng.integers(4, 40), 2)), axis=0)
    on_middle = rng.random(len(points)) < 0.4
    points[on_middle] = points[on_middle] // GRID * GRID + GRID // 2
    points = np.unique(points, axis=0) / GRID
    try:
        mesh = Delaunay(points, qhull_options="Qbb Qc Qz")
    except QhullError:
        return  # all in a line
    faces = facing(points, mesh.simplices)
    hull = np.concatenate([mesh.convex_hull[:, 0], mesh.convex_hull[:, 1]])
    centre = points[np.unique(hull)].mean(0)
    ring = np.unique(hull)[np.argsort(np.arctan2(*(points[np.unique(hull)] - centre).T))]
    if np.abs(twice_area(points, faces)).sum() != np.abs(polygon_area(points[ring])):
        return  # Qhull left out a flat corner: the faces are not all of the hull
    counts = drawn_alone(points, faces, size, dtype)
    inside, outside = strictly_inside(points, ring, size)
    assert (counts[inside] == 1).all()
    assert (counts[outside] == 0).all()
    assert counts.max() <= 1


def polygon_area(corners: np.ndarray) -> int:
    """Twice the area in units of 1 / GRID squared, with its sign."""
    c = np.round(corners * GRID).astype(np.int64)
    n = np.roll(c, -1, 0)
    return int((c[:, 0] * n[:, 1] - c[:, 1] * n[:, 0]).sum())


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, rim=st.integers(3, 24))
def test_the_tip_of_a_closed_fan_belongs_to_one_face(seed, dtype, rim):
    """The tip stands on a pixel's middle; the rim goes once around it, at random angles, on a coarse grid."""
    rng = np.random.default_rng(seed)
    angle = np.sort((np.arange(rim) + rng.uniform(-0.2, 0.2, rim)) * 2 * np.pi / rim)
    tip = np.array([10.5, 12.5])
    around = np.round((tip + rng.uniform(3, 9, (rim, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)) * GRID) / GRID
    points = np.vstack([tip, around])
    faces = np.stack([np.zeros(rim, int), 1 + np.roll(np.arange(rim), -1), 1 + np.arange(rim)], 1)
    if (twice_area(points, faces) <= 0).any():
        return  # a rounded corner folded over
    counts = drawn_alone(points, faces, 24, dtype)
    assert counts[12, 10] == 1
    assert counts.max() <= 1


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, width=st.sampled_from([1e-7, 1e-4, 1e-2, 0.3, 1.0]))
def test_a_strip_of_slivers_leaves_no_gap(seed, dtype, width):
    """Many needles side by side from left to right, as thin as rounding and thinner, tile a band once."""
    rng = np.random.default_rng(seed)
    bottom = 3.5 + np.cumsum(rng.uniform(0, width, 12))
    top = 3.5 + np.cumsum(rng.uniform(0, width, 12))
    points = np.concatenate([np.stack([bottom, np.full(12, 15.25)], 1), np.stack([top, np.full(12, 2.75)], 1)])
    points = np.concatenate([points, [[1.0, 15.25], [1.0, 2.75], [19.0, 15.25], [19.0, 2.75]]])
    lower, upper = np.r_[24, 0:12, 26], np.r_[25, 12:24, 27]  # closed on both sides by wide faces
    a, b, c, d = lower[:-1], lower[1:], upper[1:], upper[:-1]
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    counts = drawn_alone(points, faces, 20, dtype)
    expected = np.zeros((20, 20), int)
    expected[3:15, 1:19] = 1  # middles between 2.75 and 15.25, and between 1 and 19
    np.testing.assert_array_equal(counts, expected)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, far=st.sampled_from([1, 1e3, 1e6, 1e30]), perspective=st.booleans())
def test_weights_lie_between_0_and_1(seed, dtype, far, perspective):
    """However far the corners: the weights of a drawn pixel are none below 0, none above 1, and sum to 1."""
    verts, topology = random_scene(seed, dtype)
    verts[..., :2] = (verts[..., :2] - 5) * far + 5
    found = rasterize(verts, topology, 19, 13, cull="none", perspective=perspective)
    weights = found.barycentrics[found.mask]
    eps = torch.finfo(dtype).eps
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(weights), dtype=dtype), atol=4 * eps, rtol=0)
    depths = verts[..., 2]
    assert (found.depth[found.mask] >= depths.min() * (1 - 4 * eps)).all()
    assert (found.depth[found.mask] <= depths.max() * (1 + 4 * eps)).all()


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, dx=st.integers(-700, 700), dy=st.integers(-700, 700))
def test_moving_by_whole_pixels_keeps_every_bit(seed, dtype, dx, dy):
    """Exactly, where neither the corners nor their distances to a middle round: multiples of 1/8 below 2^15."""
    verts, topology = random_scene(seed, dtype, batch=1)
    verts[..., :2] = (verts[..., :2] * GRID).round() / GRID
    here = rasterize(verts, topology, 16, 18)
    away = verts + torch.tensor([800.0 + dx, 800.0 + dy, 0], dtype=dtype)
    there = rasterize(away, topology, 1516, 1518)
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b[:, 800 + dy : 816 + dy, 800 + dx : 818 + dx])


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES)
def test_a_quarter_turn_turns_the_picture(seed, dtype):
    """Up to the fill rule: only a pixel whose middle stands on an edge may go to another face."""
    verts, topology = random_scene(seed, dtype, batch=1)
    size = 16
    verts[..., :2] = (verts[..., :2] * GRID).round() / GRID
    turned = torch.stack([size - verts[..., 1], verts[..., 0], verts[..., 2]], -1)  # clockwise, and exact
    here = rasterize(verts, topology, size, size)
    there = rasterize(turned, topology, size, size)
    back = [torch.rot90(part, 1, (1, 2)) for part in there]
    _, margin = slow_rasterize(verts, topology, size, size)
    off_edge = torch.from_numpy(margin > 1e-9)
    assert off_edge.float().mean() > 0.5
    assert torch.equal(here.mask[off_edge], (back[0] >= 0)[off_edge])
    same = off_edge & (here.face_index == back[0])
    assert same.sum() >= off_edge.sum() - 2  # two faces at one depth, to rounding
    torch.testing.assert_close(here.barycentrics[same], back[1][same])
    torch.testing.assert_close(here.depth[same], back[2][same])


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, dtype=DTYPES)
def test_order_of_the_faces_changes_their_numbers_only(seed, dtype):
    verts, topology = random_scene(seed, dtype)
    _, first = np.unique(topology.faces.sort(1).values.numpy(), axis=0, return_index=True)
    topology = Topology(topology.faces[torch.from_numpy(first)], topology.num_verts)  # no face twice
    order = torch.randperm(topology.num_faces, generator=torch.Generator().manual_seed(seed % 2**31))
    here = rasterize(verts, topology, 30, 23, cull="none")
    there = rasterize(verts, Topology(topology.faces[order], topology.num_verts), 30, 23, cull="none")
    assert torch.equal(here.depth, there.depth)
    named = torch.where(there.mask, order[there.face_index.clamp(min=0).long()].int(), -1)
    tied = here.face_index != named  # then another face lies at this depth, to the bit
    assert not (tied & ~here.mask).any()
    assert torch.equal(here.barycentrics[~tied], there.barycentrics[~tied])
    assert tied.sum() <= 2  # where faces pierce one another at a middle


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, dtype=DTYPES)
def test_of_equal_faces_the_first_is_drawn(seed, dtype):
    """Every face again, later, its corners turned round: the picture is the old one, to the bit."""
    verts, topology = random_scene(seed, dtype)
    again = torch.cat([topology.faces, topology.faces, topology.faces])
    once = rasterize(verts, topology, 21, 17)
    for a, b in zip(once, rasterize(verts, Topology(again, topology.num_verts), 21, 17), strict=True):
        assert torch.equal(a, b)


HOSTILE = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 1e-40, 1e30, -1e30, 3e38]


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS, dtype=DTYPES, cull=st.sampled_from(["back", "none"]), perspective=st.booleans(), data=st.data())
def test_hostile_numbers_harm_their_own_faces_only(seed, dtype, cull, perspective, data):
    verts, topology = random_scene(seed, dtype, batch=1)
    values = data.draw(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 2), st.sampled_from(HOSTILE)), max_size=6))
    broken = verts.clone()
    for vertex, axis, value in values:
        broken[0, vertex, axis] = value
    found = rasterize(broken, topology, 17, 14, cull=cull, perspective=perspective)
    assert torch.isfinite(found.depth).all()
    assert torch.isfinite(found.barycentrics).all()
    assert ((found.face_index >= -1) & (found.face_index < topology.num_faces)).all()
    bad = ~torch.isfinite(broken[0]).all(-1)
    assert not bad[topology.faces.long()].any(-1)[found.face_index[found.mask].long()].any()
    changed = torch.tensor([any(v == i for v, _, _ in values) for i in range(16)])
    sound = ~changed[topology.faces.long()].any(-1)
    alone = rasterize(verts, Topology(topology.faces[sound], 16), 17, 14, cull=cull, perspective=perspective)
    nearer = alone.mask & (~found.mask | (found.depth > alone.depth))
    assert not nearer.any()  # what is sound is drawn, or hidden by something in front of it


@pytest.mark.parametrize("cull", ["back", "none"])
def test_nothing_is_drawn_of_a_mesh_behind_the_camera(dtype, cull):
    verts, topology = random_scene(0, dtype)
    verts[..., 2] *= -1
    assert not rasterize(verts, topology, 9, 13, cull=cull).mask.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_one_face_over_a_picture_of_2048(dtype, threads):
    """4 million pixels of one plane: all drawn, 1 / depth linear in the picture."""
    corners = torch.tensor([[[-10.0, -10, 2], [-10, 6000, 4], [6000, -10, 8]]], dtype=dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = rasterize(corners, Topology(torch.tensor([[0, 1, 2]]), 3), 2048, 2048)
    finally:
        torch.set_num_threads(before)
    assert (found.face_index == 0).all()
    middle = torch.arange(2048, dtype=torch.float64) + 0.5
    inverse = 1 / 2 + (1 / 4 - 1 / 2) * (middle[:, None] + 10) / 6010 + (1 / 8 - 1 / 2) * (middle + 10) / 6010
    torch.testing.assert_close(found.depth[0].double(), 1 / inverse, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("far", [1e6, 1e30])
def test_a_square_with_far_corners_is_tiled_by_its_halves(dtype, far):
    """Its diagonal runs through middles. Beyond what a type resolves one half may take all, but never both or none."""
    verts = torch.tensor([[[-far, -far, 3], [-far, far, 3], [far, far, 3], [far, -far, 3]]], dtype=dtype)
    halves = [rasterize(verts, Topology(torch.tensor([f]), 4), 33, 50).mask[0] for f in ([0, 1, 2], [0, 2, 3])]
    assert torch.equal(halves[0], ~halves[1])
    if far * torch.finfo(dtype).eps < 0.1:
        y, x = torch.meshgrid(torch.arange(33), torch.arange(50), indexing="ij")
        assert torch.equal(halves[0][x != y], (y > x)[x != y])


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1), (15, 17), (16, 16), (17, 31), (5, 64)])
def test_pictures_of_any_size(device, dtype, size):
    verts, topology = random_scene(2, dtype, device, batch=1)
    verts = verts * torch.tensor([size[1] / 13, size[0] / 9, 1], dtype=dtype, device=device)
    found = rasterize(verts, topology, *size)
    expected, margin = slow_rasterize(verts, topology, *size)
    certain = torch.from_numpy(margin > 1e-4)
    assert torch.equal(found.face_index.cpu()[certain], expected.face_index[certain])
