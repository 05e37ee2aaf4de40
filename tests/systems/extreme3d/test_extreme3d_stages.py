"""Stages of Extreme 3D Faces on a made-up face of Basel's schema: spec tests 5, 8 to 18, each named by its number."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from extreme3d_faces import FLIP, stand, waves, whole_mask

from pyface3d.face_models import LinearFaceModel
from pyface3d.geometry import rotation_from_axis_angle
from pyface3d.geometry.bump_maps import relief_from_levels
from pyface3d.io.meshes import encode_ply
from pyface3d.ops import Topology, complete_symmetry
from pyface3d.systems.extreme3d import (
    Foundation,
    Relief,
    Stages,
    build_dense,
    look,
    run_stages,
)
from pyface3d.systems.extreme3d.merge import peel
from pyface3d.systems.extreme3d.symmetry import (
    cut_far_half,
    drop_spoilt,
    find_plane,
    open_known,
    sample_relief,
    yaw_cut_mm,
)


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
        run_stages(foundation, relief)
        for relief in (waves(foundation), replace(waves(foundation), mm=torch.zeros_like(waves(foundation).mm)))
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
