"""The stitched final mesh: closed wherever the face model is, counted edge by edge with trimesh."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from extreme3d_faces import stand, waves

from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel, LinearFaceModel, load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.systems.extreme3d import Foundation, Stages, build_foundation, run_stages
from pyface3d.systems.extreme3d.stitch import pixel_patch


def stood(model: FaceModel, yaw_deg: float) -> Foundation:
    angles = (torch.tensor([math.radians(value)], dtype=torch.float64) for value in (yaw_deg, 5, -4))
    zeros = torch.zeros(model.identity_dim), torch.zeros(model.expression_dim)
    return build_foundation(model, *zeros, rotation_from_euler(*angles)[0], torch.tensor([0.0, 0, 600]).double())


@pytest.fixture(scope="module", params=[0, 20, 40])
def stitched(request: pytest.FixtureRequest) -> Stages:
    """The head with wrinkles, and a hole in the mask on a cheek."""
    foundation = stood(load_face_model("head", 1), request.param)
    relief = waves(foundation)
    relief.mask[300:330, 200:230] = 0
    return run_stages(foundation, relief, stitch=True)


def counted(faces: np.ndarray) -> tuple[trimesh.Trimesh, dict[tuple[int, int], int]]:
    """A mesh without geometry, and how many triangles stand at each of its edges."""
    mesh = trimesh.Trimesh(np.random.default_rng(0).random((int(faces.max()) + 1, 3)), faces, process=False)
    edges, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    return mesh, {(int(a), int(b)): int(count) for (a, b), count in zip(edges, counts)}


def test_every_edge_has_two_triangles_but_for_the_models_own_border(stitched: Stages) -> None:
    final, foundation = stitched.final, stitched.foundation
    mesh, counts = counted(final.faces.numpy())
    _, before = counted(foundation.topology.faces.numpy())
    assert set(counts.values()) == {1, 2} and mesh.is_winding_consistent
    names = final.origin.numpy()
    assert (final.layers.numpy()[np.unique([edge for edge, count in counts.items() if count == 1])] == 0).all()
    border = {tuple(sorted((int(names[a]), int(names[b])))) for (a, b), count in counts.items() if count == 1}
    assert border == {edge for edge, count in before.items() if count == 1}
    assert (
        mesh.euler_number
        == trimesh.Trimesh(foundation.verts.numpy(), foundation.topology.faces.numpy(), process=False).euler_number
    )  # no handle, no bubble


def test_nothing_twice_nothing_flat_nothing_loose(stitched: Stages) -> None:
    final = stitched.final
    faces = final.faces.numpy()
    assert len(np.unique(np.sort(faces, axis=1), axis=0)) == len(faces)
    assert trimesh.Trimesh(final.verts.numpy(), faces, process=False).area_faces.min() > 1e-4
    assert len(np.unique(faces)) == len(final.verts)
    assert len(torch.unique(torch.stack([final.layers.long(), final.origin]), dim=1).T) == len(final.verts)


def test_pixels_take_most_of_what_is_seen(stitched: Stages) -> None:
    plain = run_stages(stitched.foundation, stitched.relief)
    for layer in (1, 2):
        there = int((plain.final.layers == layer).sum())
        kept = int((stitched.final.layers == layer).sum())
        assert kept > 0.6 * there or there < 1000, layer  # hardly anything is mirrored on a face that looks ahead
    assert (stitched.final.layers == 1).sum() > 20_000


def test_vertices_lie_where_they_did(stitched: Stages) -> None:
    """Pixels and known vertices have the places, sources and confidences of the mesh with overlaps, to the bit."""
    plain = run_stages(stitched.foundation, stitched.relief, compact=False)
    count, number = len(plain.completed.verts), len(plain.registration)
    rows = torch.tensor([0, count, count + number])[stitched.final.layers.long()] + stitched.final.origin
    assert torch.equal(stitched.final.verts, plain.final.verts[rows])
    whole, ours = plain.mesh("final"), stitched.mesh("final")
    assert whole.source is not None and ours.source is not None
    assert np.array_equal(ours.source, whole.source[rows]) and np.array_equal(ours.confidence, whole.confidence[rows])


def test_it_lies_on_the_mesh_with_overlaps(stitched: Stages) -> None:
    final = stitched.final
    sparse = trimesh.Trimesh(
        stitched.completed.verts.numpy(), stitched.foundation.topology.faces.numpy(), process=False
    )
    new = final.faces[(final.layers[final.faces] > 0).any(1)]
    middle = final.verts[new].mean(1)[:: len(new) // 60].numpy()
    _, distance, _ = trimesh.proximity.closest_point_naive(sparse, middle)
    assert distance.max() < 1.6 and np.median(distance) < 0.15
    edges = final.verts[new] - final.verts[new.roll(1, 1)]
    assert float(edges.norm(dim=-1).max()) < 12


def test_on_another_model_and_the_same_every_time(model: LinearFaceModel) -> None:
    foundation = stand(model, 30)
    relief = waves(foundation)
    one, other = (run_stages(foundation, relief, stitch=True).final for _ in range(2))
    assert torch.equal(one.faces, other.faces) and torch.equal(one.verts, other.verts)
    _, counts = counted(one.faces.numpy())
    _, before = counted(foundation.topology.faces.numpy())
    assert set(counts.values()) <= {1, 2}
    assert sum(count == 1 for count in counts.values()) == sum(count == 1 for count in before.values())
    assert set(one.layers.tolist()) == {0, 1, 2}


def test_nothing_seen_is_the_sparse_mesh(model: LinearFaceModel) -> None:
    foundation = stand(model, 0)
    relief = waves(foundation)
    blind = run_stages(foundation, replace(relief, mask=torch.zeros_like(relief.mask)), stitch=True)
    sparse = foundation.topology.faces.long()
    assert torch.equal(blind.final.verts[blind.final.faces], blind.completed.verts[sparse])


def test_a_folded_hole_gives_way(model: LinearFaceModel) -> None:
    """Seen from the side, a hole around the whole face lies over itself: what is replaced of it does not."""
    foundation = stand(model, 75)
    everything = torch.ones(foundation.topology.num_faces, dtype=torch.bool)
    patch = pixel_patch(
        foundation, torch.arange(foundation.topology.num_verts), everything, torch.ones(500, 500, dtype=torch.bool)
    )
    assert 0 < int(patch.replaced.sum()) < foundation.topology.num_faces
    kept = foundation.topology.faces.long()[~patch.replaced]
    _, counts = counted(torch.cat([kept, patch.faces]).numpy())
    _, before = counted(foundation.topology.faces.numpy())
    assert set(counts.values()) == {1, 2}
    assert sum(count == 1 for count in counts.values()) == sum(count == 1 for count in before.values())


def test_not_with_the_published_layers(model: LinearFaceModel) -> None:
    foundation = stand(model, 0)
    with pytest.raises(InputError, match="leave out stitch or compat"):
        run_stages(foundation, waves(foundation), compat=True, stitch=True)
