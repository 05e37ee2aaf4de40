"""Stages of Extreme 3D Faces on a made-up face of Basel's schema: spec tests 5, 8 to 18, each named by its number."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
import trimesh
from synthetic_basel import basel_arrays, write_trimmed

from pyface3d.errors import InputError
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.geometry import rotation_from_axis_angle, rotation_from_euler
from pyface3d.geometry.bump_maps import relief_from_levels
from pyface3d.io.meshes import encode_ply, read_ply
from pyface3d.ops import Topology, complete_symmetry, interpolate, rasterize
from pyface3d.systems.extreme3d import (
    Foundation,
    Relief,
    Stages,
    build_dense,
    build_foundation,
    complete_face,
    hide_occluders,
    look,
    register_pixels,
    run_stages,
)
from pyface3d.systems.extreme3d.merge import compacted, peel
from pyface3d.systems.extreme3d.registration import place_mirrored_pixels, place_pixels, usual_edge_mm
from pyface3d.systems.extreme3d.relief import without_relief
from pyface3d.systems.extreme3d.stages import PUBLISHED_FILES, STAGES
from pyface3d.systems.extreme3d.symmetry import (
    Plane,
    cut_far_half,
    drop_spoilt,
    find_plane,
    open_known,
    sample_relief,
    yaw_cut_mm,
)

FLIP = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LinearFaceModel:
    path = write_trimmed(tmp_path_factory.mktemp("basel") / "BaselFaceModel_mod.h5", basel_arrays())
    found = load_face_model(path)
    assert isinstance(found, LinearFaceModel)
    return found


def stand(model: LinearFaceModel, yaw_deg: float, seed: int | None = None) -> Foundation:
    """The mean face, or somebody, turned by so much 600 mm before the camera."""
    identity = torch.zeros(99)
    if seed is not None:
        identity = torch.randn(99, generator=torch.Generator().manual_seed(seed))
    angles = (torch.tensor([math.radians(value)], dtype=torch.float64) for value in (yaw_deg, 0, 0))
    shift = torch.tensor([3.0, 5.0, 600.0], dtype=torch.float64)
    return build_foundation(model, identity, torch.zeros(29), rotation_from_euler(*angles)[0], shift)


def whole_mask() -> torch.Tensor:
    return torch.full((500, 500), 255, dtype=torch.uint8)


def waves(foundation: Foundation, half: bool = False) -> Relief:
    """Wrinkles of 1.2 mm as a function of where on the face they are, the same on both halves."""
    spots = interpolate(foundation.verts[None], foundation.fragments, foundation.closed)[0]
    mm = 1.2 * torch.sin(spots[..., 1] / 5) * torch.cos(spots[..., 0] / 9)
    drawn = foundation.fragments.face_index[0] >= 0
    if half:  # nothing on the side that is turned away
        drawn &= spots[..., 0] < 0
        mm = mm * (spots[..., 0].abs() / 12).clamp(0, 1)  # and nothing on the middle, where both meet
    return Relief(torch.where(drawn, mm, torch.zeros_like(mm)), whole_mask())


@pytest.fixture(scope="module")
def turned(model: LinearFaceModel) -> Foundation:
    return stand(model, 30)


@pytest.fixture(scope="module")
def stages(turned: Foundation) -> Stages:
    return run_stages(turned, waves(turned, half=True), compact=False)


def test_spec_5_an_impulse_moves_one_vertex_along_z(model: LinearFaceModel) -> None:
    foundation = stand(model, 0)
    x, y = 240, 300
    mm = torch.zeros(500, 500, dtype=torch.float64)
    mm[y, x] = 2.0
    for compat in (False, True):
        flat, bumped = (
            build_dense(foundation, Relief(relief, whole_mask()), compat=compat).mesh.verts[0]
            for relief in (torch.zeros_like(mm), mm)
        )
        moved = (flat != bumped).any(-1)
        assert moved.nonzero().tolist() == [[y, x]]
        torch.testing.assert_close(
            bumped[y, x] - flat[y, x], torch.tensor([0.0, 0.0, -2.0]).double(), rtol=0, atol=1e-6
        )


def test_spec_8_depth_is_that_of_the_ray(turned: Foundation) -> None:
    """Against the plane of each pixel's triangle; the mouth is closed; faces that look away are not drawn."""
    drawn = turned.fragments.face_index[0] >= 0
    y, x = drawn.nonzero(as_tuple=True)
    corners = turned.verts_camera[turned.closed.faces[turned.fragments.face_index[0][y, x].long()].long()]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ray = torch.stack([(x + 0.5 - 250) / 1000, (y + 0.5 - 250) / 1000, torch.ones(len(x))], 1).double()
    depth = (normal * corners[:, 0]).sum(1) / (normal * ray).sum(1)
    apart = (turned.fragments.depth[0][y, x] - depth).abs()
    assert (apart <= 0.01).double().mean() >= 0.999
    assert ((normal * ray).sum(1) < 0).all()
    mouth = turned.topology.num_faces
    assert (turned.fragments.face_index[0] >= mouth).any()


def test_spec_9_foundation(model: LinearFaceModel) -> None:
    foundation = stand(model, 20, seed=1)
    first, second = (
        run_stages(foundation, relief) for relief in (waves(foundation), without_relief(waves(foundation)))
    )
    for pose in ("frontal", "aligned"):
        meshes = [result.mesh("foundation", pose) for result in (first, second)]
        assert encode_ply(meshes[0]) == encode_ply(meshes[1])
    frontal, aligned = (first.mesh("foundation", pose) for pose in ("frontal", "aligned"))
    assert len(frontal.verts) == len(model.template) and len(frontal.faces) == model.topology.num_faces
    moved = frontal.verts @ foundation.rotation.T.numpy() + foundation.translation.numpy()
    np.testing.assert_allclose(aligned.verts, moved, rtol=0, atol=1e-3)


def test_spec_10_with_bump(turned: Foundation) -> None:
    relief = waves(turned)
    mask = whole_mask()
    mask[:, :200], mask[:, 200:210] = 126, 127
    relief = replace(relief, mask=mask)
    result = run_stages(turned, relief)
    mesh = result.mesh("withBump", "aligned")
    drawn = turned.fragments.face_index[0] >= 0
    assert len(mesh.verts) == int((drawn & (mask >= 127)).sum())
    verts, _, pixels = result.dense.mesh.item(0)
    spots = turned.camera.project(verts[None])[0, :, :2]
    assert (spots - pixels - 0.5).norm(dim=1).max() <= 2
    order = pixels[:, 0].long() * 500 + pixels[:, 1].long()
    assert (order.diff() > 0).all()  # column by column
    level = torch.full((500, 500), 127, dtype=torch.uint8)
    flat = build_dense(turned, Relief(relief_from_levels(level).double(), whole_mask())).mesh
    depth = flat.verts[0][..., 2][drawn]
    torch.testing.assert_close(depth, turned.fragments.depth[0][drawn], rtol=0, atol=0.01)


def test_compat_keeps_rubber_sheets_and_lacks_a_triangle(turned: Foundation) -> None:
    relief = waves(turned)
    ours, theirs = (build_dense(turned, relief, compat=compat).mesh for compat in (False, True))
    assert int((theirs.cells & 0b1000).count_nonzero()) == 0 < int((ours.cells & 0b1000).count_nonzero())
    gaps = []
    for mesh in (ours, theirs):
        verts, faces, _ = mesh.item(0)
        depth = verts[faces.long()][..., 2]
        gaps.append(float((depth.amax(1) - depth.amin(1)).max()))
    assert gaps[0] <= 6 < gaps[1]
    half = (ours.verts - theirs.verts)[0][ours.is_vertex[0]]
    depth = turned.fragments.depth[0][ours.is_vertex[0]]
    torch.testing.assert_close(half[:, 0], 0.5 * depth / 1000)  # half a pixel: 0.3 mm
    torch.testing.assert_close(half[:, 1], 0.5 * depth / 1000)


def test_sampled_vertices_take_the_relief(model: LinearFaceModel) -> None:
    """On a frontal face a relief of constant height moves every sampled vertex by it, and no other."""
    foundation = stand(model, 0)
    relief = Relief(torch.full((500, 500), 2.0, dtype=torch.float64), whole_mask())
    relief.mask[300:] = 127  # face, but not sure enough for the vertices
    dense = build_dense(foundation, relief)
    face = sample_relief(foundation, dense, look(foundation, relief))
    moved = face.verts - foundation.verts_camera
    assert torch.equal(moved[:, :2], torch.zeros_like(moved[:, :2])) and not moved[~face.sampled].any()
    inner = face.sampled & (foundation.verts[:, 0].abs() < 40)
    assert int(inner.sum()) > 500
    apart = (moved[inner, 2] + 2).abs()  # the depth is taken between pixels, bilinearly: less exact on the nose
    assert apart.quantile(0.99) < 0.1 and apart.max() < 0.3
    assert foundation.verts_image[face.sampled][:, 1].max() < 300


def test_spec_11_known_vertices_stay_to_the_bit(stages: Stages, model: LinearFaceModel) -> None:
    face = stages.completed
    known = face.sampled & (face.weights >= 0.75)
    assert 500 < int(known.sum()) < len(known)
    assert torch.equal(face.verts[known], face.seen_verts[known])
    assert torch.equal(known, face.source == 1)
    verts = face.seen_verts[None]
    everywhere = torch.ones_like(face.weights)[None]
    result, source = complete_symmetry(
        verts, everywhere, stages.foundation.mirror, face.reference[None], stages.foundation.topology
    )
    assert torch.equal(result, verts) and bool((source == 1).all())


def test_spec_12_residual_of_the_system(stages: Stages) -> None:
    """Rows of the specification, built one triangle at a time, hold for what the completion returns."""
    face, foundation = stages.completed, stages.foundation
    faces = foundation.topology.faces.long().numpy()
    count = len(face.verts)
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    known = (face.source == 1).numpy()
    mirror, verts, reference = foundation.mirror.numpy(), face.seen_verts.numpy(), face.reference.numpy()
    image = verts[mirror.clip(0)] * FLIP.numpy()
    mirrored = (mirror >= 0) & known[mirror.clip(0)]
    i, j = both[~known[both[:, 0]]].T
    use = mirrored[i] & mirrored[j]
    steps = np.where(use[:, None], image[i] - image[j], reference[i] - reference[j])
    right, degree = np.zeros((count, 3)), np.bincount(i, minlength=count)
    np.add.at(right, i, steps)
    right += 1e-6 * degree[:, None] * reference
    left = scipy.sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count)).tocsr()
    full = face.verts.numpy()
    residual = (1 + 1e-6) * degree[:, None] * full - left @ full - right
    hole = degree > 0
    assert np.linalg.norm(residual[hole]) / np.linalg.norm(right[hole]) <= 1e-8


def test_spec_12_nothing_known_and_an_isolated_hole(model: LinearFaceModel, turned: Foundation) -> None:
    away = replace(waves(turned), mask=torch.zeros(500, 500, dtype=torch.uint8))
    result = run_stages(turned, away)
    assert torch.equal(result.completed.verts, turned.verts) and not result.completed.source.any()
    assert len(result.registration) == 0 and len(result.mesh("withBump").verts) == 0
    final = result.final
    assert torch.equal(final.verts[final.faces], turned.verts[turned.topology.faces.long()])
    foundation = stand(model, 0)
    island = waves(foundation)
    island.mask[200:240, 230:270] = 0
    completed = run_stages(foundation, island).completed
    assert bool(completed.verts.isfinite().all()) and bool((completed.source == 0).any())


def _rings_from(start: torch.Tensor, faces: torch.Tensor, rings: int) -> torch.Tensor:
    reached = start.clone()
    for _ in range(rings):
        reached[faces[reached[faces].any(1)].flatten()] = True
    return reached


def test_spec_13_the_far_half_is_the_near_half_mirrored(stages: Stages) -> None:
    face, foundation = stages.completed, stages.foundation
    faces, partner = foundation.topology.faces.long(), foundation.mirror
    filled = face.source == 2
    assert int(filled.sum()) > 1000
    seam = filled & _rings_from(face.source == 1, faces, 1) | (face.source == 0)
    deep = filled & ~_rings_from(seam, faces, 5)
    assert int(deep.sum()) > 300
    apart = (face.verts[deep] - FLIP * face.verts[partner[deep]]).norm(dim=1)
    assert float(apart.square().mean().sqrt()) <= 0.15
    # and there is relief on it that the foundation has not
    assert (face.verts[deep] - face.reference[deep]).norm(dim=1).quantile(0.9) > 0.5
    near = (face.source == 1) & (face.reference[:, 0] < 0)
    assert torch.equal(face.verts[near], face.seen_verts[near])


@pytest.mark.parametrize("axis", [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.6, 0.8]])
def test_spec_14_alignment(model: LinearFaceModel, axis: list[float]) -> None:
    """A symmetric face moved off its plane by 4° and 2 mm, a tenth of its points spoilt."""
    verts = model.template.double()
    turn = rotation_from_axis_angle(torch.tensor(axis).double() * math.radians(4))
    moved = verts @ turn.T + torch.tensor([2.0, 0.5, -0.5]).double()
    spoilt = torch.rand(len(verts), generator=torch.Generator().manual_seed(0)) < 0.1
    moved = torch.where(spoilt[:, None], moved + 3.0, moved)
    sampled = torch.ones(len(verts), dtype=torch.bool)
    mirror = model.mirror

    def asymmetry(points: torch.Tensor) -> float:
        clean = ~spoilt & ~spoilt[mirror]
        return float((points - FLIP * points[mirror])[clean].square().sum(1).mean().sqrt())

    plane = find_plane(moved, mirror, sampled)
    assert asymmetry(plane.apply(moved)) <= 0.2 * asymmetry(moved)
    torch.testing.assert_close(plane.undo(plane.apply(moved)), moved)
    still = find_plane(moved, mirror, sampled, compat=True)
    assert torch.equal(still.apply(moved), moved)


def test_alignment_needs_points_and_must_help(model: LinearFaceModel) -> None:
    verts = model.template.double()
    few = verts[:, 0].abs() < 0.5
    assert int(few.sum()) <= 100
    for plane in (
        find_plane(verts + 1, model.mirror, few),
        find_plane(verts, torch.full_like(model.mirror, -1), torch.ones_like(few)),
    ):
        assert torch.equal(plane.apply(verts), verts)
    exact = find_plane(verts, model.mirror, torch.ones_like(few))
    torch.testing.assert_close(exact.apply(verts), verts, rtol=0, atol=1e-4)  # float32 vertices


def test_spec_15_yaw_cut() -> None:
    wanted = {0: 100.0, 10: 64.3, 15: 25.9, 18: 0.0, 40: 0.0, 72: 0.0, 90: 0.0}
    for degrees, millimetres in wanted.items():
        for sign in (-1, 1):
            assert yaw_cut_mm(sign * math.radians(degrees)) == pytest.approx(millimetres, abs=0.05)
    assert yaw_cut_mm(math.radians(72), compat=True) == pytest.approx(100.0)
    assert yaw_cut_mm(math.radians(10), compat=True) == yaw_cut_mm(math.radians(10))
    reference = torch.tensor([[-70.0, 0, 0], [0, 0, 0], [70, 0, 0]]).double()
    weights = torch.ones(3).double()
    assert cut_far_half(weights, reference, math.radians(10)).tolist() == [1, 1, 0.5]
    assert cut_far_half(weights, reference, math.radians(-10)).tolist() == [0.5, 1, 1]
    assert cut_far_half(weights, reference, 0.0).tolist() == [1, 1, 1]


def test_opening_removes_islands_and_keeps_areas() -> None:
    size = 12
    index = torch.arange(size * size).view(size, size)
    a, b, c, d = index[:-1, :-1].flatten(), index[:-1, 1:].flatten(), index[1:, :-1].flatten(), index[1:, 1:].flatten()
    topology = Topology(torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)]), size * size)
    weights = torch.zeros(size, size)
    weights[1:9, 1:9] = 0.9
    weights[10, 10] = 1.0
    weights[4, 4] = 0.8
    opened = open_known(weights.flatten(), topology).view(size, size)
    assert opened[10, 10] == 0 and opened[4, 4] == 1 and opened[2:8, 2:8].min() == 1
    assert ((opened >= 0.75) <= (weights >= 0.75)).all()  # an opening adds nothing
    inner = peel(weights.flatten() >= 0.75, topology.faces.long(), 3).view(size, size)
    assert inner[4:6, 4:6].all() and not inner[3, :].any()


def test_spoilt_triangles_lose_their_vertices() -> None:
    reference = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 0, 0], [2, 1, 0]]).double()
    topology = Topology(torch.tensor([[0, 1, 2], [1, 3, 2], [1, 4, 3], [4, 5, 3]]), 6)
    weights = torch.ones(6).double()
    assert torch.equal(drop_spoilt(reference, reference, topology, weights), weights)
    raised = reference.clone()
    raised[5, 2] = 3.0  # one corner torn out of its triangle, which turns too
    assert drop_spoilt(raised, reference, topology, weights).tolist() == [1, 1, 1, 0, 0, 0]


def test_spec_16_counts(stages: Stages, turned: Foundation) -> None:
    full, number = stages.final, len(stages.registration)
    count = turned.topology.num_verts
    assert number > 30_000 and len(full.verts) == count + 2 * number
    assert len(stages.mesh("sparseFull").verts) == count
    assert len(stages.mesh("sparseFull").faces) == turned.topology.num_faces
    assert int(full.faces.max()) < len(full.verts)
    assert set(full.layers[full.faces.flatten()].unique().tolist()) == {0, 1, 2}
    faces = full.faces
    assert not ((faces == faces.roll(1, 1)).any(1)).any()
    corners = full.verts[faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    assert (area > 0).all()
    small = compacted(full)
    assert len(small.verts) == len(faces.unique()) and torch.equal(small.verts[small.faces], full.verts[faces])
    one_by_one = run_stages(turned, waves(turned, half=True)).final
    assert torch.equal(one_by_one.verts, small.verts) and torch.equal(one_by_one.faces, small.faces)


def test_layers_meet(stages: Stages) -> None:
    """Every part looks out, lies near the sparse surface, and the mirrored pixels are on the far side."""
    final, foundation = stages.final, stages.foundation
    corners = final.verts[final.faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 2] > 0).double().mean() > 0.995  # the shell is a height field
    layer = final.layers[final.faces[:, 0]]
    middle = corners.mean(1)
    # the yaw cut at 30° takes the far half, right of the picture, whole
    assert (middle[layer == 1, 0] < 5).all() and (middle[layer == 2, 0] > -5).all()
    sparse = trimesh.Trimesh(stages.completed.verts.numpy(), foundation.topology.faces.numpy(), process=False)
    some = middle[layer > 0][:: len(middle) // 300].numpy()
    _, distance, _ = trimesh.proximity.closest_point(sparse, some)
    assert distance.max() < 1.5 and np.median(distance) < 0.1


@pytest.mark.parametrize("yaw_deg", [0, 30])
def test_no_holes_where_layers_meet(model: LinearFaceModel, yaw_deg: float) -> None:
    """Seen from the front, the final mesh covers whatever the sparse one covers."""
    foundation = stand(model, yaw_deg)
    relief = waves(foundation)
    relief.mask[240:300, 200:260] = 0  # a hole in the mask in the middle of the face
    result = run_stages(foundation, relief)
    covered = []
    for stage in ("sparseFull", "final"):
        mesh = result.mesh(stage)
        verts = torch.from_numpy(mesh.verts).double() * torch.tensor([1.0, -1, -1]) + torch.tensor([0.0, 0, 700])
        image = foundation.camera.project(verts[None])
        topology = Topology(torch.from_numpy(mesh.faces), len(mesh.verts))
        covered.append(rasterize(image, topology, 500, 500).face_index[0] >= 0)
    lost = covered[0] & ~covered[1]
    assert int(covered[0].sum()) > 30_000 and int(lost.sum()) <= 5  # the outline itself moves a little


def test_anchors_of_a_fine_mesh_are_near(turned: Foundation) -> None:
    relief = waves(turned)
    dense = build_dense(turned, relief, compat=True)
    face = complete_face(turned, dense, look(turned, relief, compat=True), compat=True)
    counts = []
    for compat, limit in ((True, 4.0), (False, 2.5 * usual_edge_mm(turned, face))):
        registration = register_pixels(turned, dense, face, compat=compat)
        corners = face.verts_camera[registration.anchors]
        held = (registration.shares > 1e-9).all(1)
        assert (corners.amax(1) - corners.amin(1))[held].max() <= limit
        counts.append(len(registration))
    assert 2.5 * usual_edge_mm(turned, face) > 4 and 0 < counts[0] < counts[1]
    far = replace(face, weights=torch.zeros_like(face.weights))
    assert usual_edge_mm(turned, far) == 0 and len(register_pixels(turned, dense, far)) == 0


def test_registered_pixels_follow_their_anchors(turned: Foundation) -> None:
    """Without completion moving anything the pixels lie where they were; the mirrored ones are their images."""
    relief = waves(turned)
    dense = build_dense(turned, relief)
    face = complete_face(turned, dense, look(turned, relief))
    registration = register_pixels(turned, dense, face)
    x, y = registration.pixels.T
    assert (registration.index[y, x] == torch.arange(len(x))).all()
    torch.testing.assert_close(registration.shares.sum(1), torch.ones(len(x)).double())
    still = replace(face, verts=face.seen_verts)
    placed = place_pixels(turned, still, registration)
    seen = dense.mesh.verts[0][y, x]
    frontal = face.plane.apply((seen - turned.translation) @ turned.rotation)
    # exact along the axis; aside a triangle of anchors is flat, the ray through the pixel is not quite parallel
    assert (placed - frontal).norm(dim=1).median() < 0.05 and (placed - frontal).norm(dim=1).max() < 0.6
    symmetric = replace(face, verts=0.5 * (face.seen_verts + FLIP * face.seen_verts[turned.mirror]))
    mirrored = place_mirrored_pixels(turned, symmetric, registration)
    torch.testing.assert_close(mirrored, FLIP * place_pixels(turned, symmetric, registration))


def test_compat_clamps_offsets_into_x(turned: Foundation) -> None:
    relief = waves(turned)
    dense = build_dense(turned, relief, compat=True)
    face = complete_face(turned, dense, look(turned, relief, compat=True), compat=True)
    registration = register_pixels(turned, dense, face, compat=True)
    ours, theirs = (place_mirrored_pixels(turned, face, registration, compat=compat) for compat in (False, True))
    assert torch.equal(ours[:, 1:], theirs[:, 1:])
    axis = turned.rotation[2]
    offset = registration.offset[:, None] * axis * FLIP
    large = (offset.abs() > 0.2).any(1)
    assert torch.equal(ours[~large, 0], theirs[~large, 0]) and bool(large.any())
    anchor = ours[:, 0] - offset[:, 0]
    assert ((theirs[large, 0] - anchor[large]).abs() - 0.5).abs().max() < 1e-9


def test_spec_17_the_nose_is_in_front(model: LinearFaceModel, stages: Stages) -> None:
    marks = model.landmarks()
    for stage in ("foundation", "sparseFull"):
        verts = torch.from_numpy(stages.mesh(stage).verts)
        points = marks.points(verts[None], model.topology)[0]
        assert abs(float(points[30, 0])) < 8 and int(points[:, 2].argmax()) == 30
        eyes = points[42:48].mean(0) - points[36:42].mean(0)
        assert abs(math.degrees(math.atan2(float(eyes[1]), float(eyes[0])))) < 5


def test_spec_18_files(stages: Stages) -> None:
    names = [name for name, _ in stages.encode("a.b", plain=True)]
    assert names == [f"a.b_{stage}_{pose}.ply" for stage in STAGES for pose in ("frontal", "aligned")]
    legacy = [name for name, _ in stages.encode("a", ["sparseFull"], ["frontal"], legacy_names=True)]
    assert legacy == ["a_sparse_full_frontal.ply"]
    wanted = stages.mesh("sparseFull")
    text = next(stages.encode("a", ["sparseFull"], ["frontal"], ascii=True, plain=True))[1]
    header = [line for line in text[: text.index(b"end_header")].decode().splitlines() if "comment" not in line]
    assert header == [
        "ply", "format ascii 1.0", f"element vertex {len(wanted.verts)}", "property float x", "property float y",
        "property float z", f"element face {len(wanted.faces)}", "property list uchar int vertex_indices",
    ]  # fmt: skip
    for data in (text, next(stages.encode("a", ["sparseFull"], ["frontal"]))[1]):
        theirs = trimesh.load(io.BytesIO(data), file_type="ply", process=False)
        np.testing.assert_allclose(theirs.vertices, wanted.verts, rtol=1e-4, atol=1e-4)
        assert np.array_equal(theirs.faces, wanted.faces)


def test_spec_18_reads_back_with_our_own_reader(stages: Stages, tmp_path: Path) -> None:
    for name, data in stages.encode("a", ["sparseFull"], ascii=True):
        (tmp_path / name).write_bytes(data)
        ours = read_ply(tmp_path / name)
        pose = "aligned" if "aligned" in name else "frontal"
        assert np.array_equal(ours.verts, stages.mesh("sparseFull", pose).verts)
        assert np.array_equal(ours.source, stages.completed.source.numpy())


def test_aligned_meshes_lie_over_the_picture(stages: Stages) -> None:
    """Whatever the plane did, the aligned stages are where the camera saw them."""
    known = (stages.completed.source == 1).numpy()
    aligned = torch.from_numpy(stages.mesh("sparseFull", "aligned").verts).double()
    torch.testing.assert_close(aligned[known], stages.completed.verts_camera[known], rtol=0, atol=1e-3)
    turned_back = Plane(stages.completed.plane.rotation, stages.completed.plane.translation)
    assert float(turned_back.translation.norm()) > 0  # the one-sided relief does move it


def test_provenance(turned: Foundation) -> None:
    relief = waves(turned)
    recovered = torch.zeros(500, 500, dtype=torch.bool)
    recovered[300:340, 150:250] = True
    result = run_stages(turned, replace(relief, recovered=recovered))
    plain = run_stages(turned, relief)
    changed = result.completed.source != plain.completed.source
    assert bool(changed.any()) and bool((result.completed.source[changed] == 3).all())
    for stage in STAGES:
        mesh = result.mesh(stage)
        assert mesh.source is not None and mesh.confidence is not None
        assert mesh.confidence.min() >= 0 and mesh.confidence.max() <= 1
        assert (mesh.confidence[mesh.source == 0] == 0).all()
    assert set(np.unique(result.mesh("final").source)) == {0, 1, 2, 3}
    assert set(np.unique(result.mesh("withBump").source)) == {1, 3}
    assert not result.mesh("foundation").source.any()


def test_colours_are_those_of_the_crop(turned: Foundation) -> None:
    """A crop that is blue left and red right, with a ramp down: every layer shows it where the crop does."""
    ramp = np.arange(500)[:, None] // 2 + np.zeros((500, 500), np.int64)
    left = np.arange(500) < 250
    image = np.stack([np.where(left, 0, 200) + 0 * ramp, ramp, np.where(left, 200, 0) + 0 * ramp], -1).astype(np.uint8)
    relief = waves(turned)
    result = run_stages(turned, relief, image)
    mesh = result.mesh("withBump")
    _, _, pixels = result.dense.mesh.item(0)
    assert mesh.colors is not None and np.array_equal(mesh.colors, image[pixels[:, 1], pixels[:, 0]])
    sparse, seen = result.mesh("sparseFull"), result.visibility.seen.numpy()
    assert sparse.colors is not None
    spots = turned.verts_image.numpy()
    clear = seen & (np.abs(spots[:, 0] - 250) > 1)
    np.testing.assert_allclose(sparse.colors[clear, 1], (spots[clear, 1] - 0.5) / 2, atol=1.3)
    assert np.array_equal(sparse.colors[clear, 0] == 200, spots[clear, 0] > 250)
    partner = turned.mirror.numpy()
    borrowed = ~seen & seen[partner]
    assert borrowed.sum() > 100 and np.array_equal(sparse.colors[borrowed], sparse.colors[partner[borrowed]])
    final = result.mesh("final")
    assert final.colors is not None and len(final.colors) == len(final.verts)
    mirrored = (result.final.layers == 2).numpy()
    own = result.registration.pixels[result.final.origin[mirrored]].numpy()
    assert np.array_equal(final.colors[mirrored], image[own[:, 1], own[:, 0]])
    assert run_stages(turned, relief).mesh("final").colors is None
    with pytest.raises(InputError, match=r"image must be uint8 \(500, 500, 3\)"):
        run_stages(turned, relief, image[:9])


def test_what_covers_the_face_is_not_seen(model: LinearFaceModel) -> None:
    """Under a hidden cheek the other cheek's wrinkles appear, and nothing there says that it was observed."""
    foundation = stand(model, 0)
    relief = waves(foundation)
    occluder = torch.zeros(500, 500, dtype=torch.bool)
    occluder[280:330, 300:350] = True
    hidden = hide_occluders(relief, occluder)
    gone = (relief.mask > 0) & (hidden.mask == 0)
    assert (
        gone[273, 320] and gone[320, 356] and not gone[320, 357] and not gone[272, 320] and not gone[280 - 6, 300 - 6]
    )
    result = run_stages(foundation, hidden)
    spots = foundation.verts_image
    under = (spots[:, 0] > 305) & (spots[:, 0] < 345) & (spots[:, 1] > 285) & (spots[:, 1] < 325)
    assert int(under.sum()) > 20 and bool((result.completed.source[under] == 2).all())
    apart = result.completed.verts[under] - FLIP * result.completed.verts[foundation.mirror[under]]
    assert apart.norm(dim=1).max() < 0.3
    clear = run_stages(foundation, relief).completed.verts[under]
    assert (
        (result.completed.verts[under] - clear).norm(dim=1).mean()
        < 0.2
        < (foundation.verts[under] - clear).norm(dim=1).mean()
    )
    with pytest.raises(InputError, match=r"occluder must be bool \(500, 500\)"):
        hide_occluders(relief, occluder[:9])


def test_runs_are_byte_identical(turned: Foundation) -> None:
    relief = waves(turned)
    first, second = (dict(run_stages(turned, relief).encode("a")) for _ in range(2))
    assert first == second and len(first) == 8


def test_runs_on_the_head(model: LinearFaceModel) -> None:
    """Another model, with ears, eyes and a neck, at the level whose triangles are small enough for the pixels."""
    head = load_face_model("head", 1)
    angles = (torch.tensor([math.radians(value)], dtype=torch.float64) for value in (25, 0, 0))
    shift = torch.tensor([0.0, 0.0, 600.0], dtype=torch.float64)
    identity, expression = torch.zeros(head.identity_dim), torch.zeros(head.expression_dim)
    foundation = build_foundation(head, identity, expression, rotation_from_euler(*angles)[0], shift)
    result = run_stages(foundation, waves(foundation))
    assert len(result.registration) > 10_000 and bool(result.final.verts.isfinite().all())
    assert {1, 2} <= set(np.unique(result.mesh("final").source))


def test_wrong_arguments_are_named(model: LinearFaceModel, turned: Foundation, stages: Stages) -> None:
    with pytest.raises(InputError, match="mask must be uint8"):
        Relief(torch.zeros(500, 500), torch.zeros(500, 500))
    with pytest.raises(InputError, match=r"relief must be floating point \(H, W\)"):
        Relief(torch.zeros(1, 500, 500), whole_mask())
    with pytest.raises(InputError, match="recovered must have shape"):
        Relief(torch.zeros(500, 500), whole_mask(), torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(InputError, match="the crop's 500 x 500 pixels"):
        build_dense(turned, Relief(torch.zeros(9, 9), torch.zeros(9, 9, dtype=torch.uint8)))
    with pytest.raises(InputError, match=r"rotation must have shape \(3, 3\)"):
        replace(turned, rotation=torch.zeros(4, 4))
    with pytest.raises(InputError, match="stage must be of foundation, withBump"):
        stages.mesh("bump")
    with pytest.raises(InputError, match="pose must be of"):
        stages.mesh("final", "sideways")
    assert PUBLISHED_FILES[-1] == ("final", "frontal")
