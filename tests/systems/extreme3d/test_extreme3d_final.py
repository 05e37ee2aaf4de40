"""Final mesh, files and provenance of Extreme 3D Faces on a made-up face: spec tests 16 to 18 and what joins layers."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from extreme3d_faces import FLIP, stand, waves, whole_mask

from pyface3d.errors import InputError
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.io.meshes import read_ply
from pyface3d.ops import Topology, rasterize
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
from pyface3d.systems.extreme3d.merge import compacted
from pyface3d.systems.extreme3d.registration import place_mirrored_pixels, place_pixels, usual_edge_mm
from pyface3d.systems.extreme3d.stages import PUBLISHED_FILES, STAGES
from pyface3d.systems.extreme3d.symmetry import (
    Plane,
)


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
    some = middle[layer > 0][:: len(middle) // 100].numpy()
    _, distance, _ = trimesh.proximity.closest_point_naive(sparse, some)
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
