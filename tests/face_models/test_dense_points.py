"""Dense points: 320 vertices, symmetric to the bit, spread over the face and closer where it matters."""

import dataclasses
import hashlib

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.face_models import load_face_model
from pyface3d.face_models.dense_points import DENSE_SCHEME, NUM_DENSE, dense_mirror, dense_points


@pytest.fixture(scope="module")
def head():
    return load_face_model("head")


def positions(model):
    return dense_points(model).points(model.template[None], model.topology)[0]


def test_they_are_distinct_vertices_of_the_skin(head):
    embedding = dense_points(head)
    assert embedding.faces.shape == (NUM_DENSE,) and torch.equal(
        embedding.barycentrics.sort(1).values, torch.tensor([0.0, 0.0, 1.0]).expand(NUM_DENSE, 3)
    )
    corners = head.topology.faces[embedding.faces].long()
    vertices = corners[embedding.barycentrics == 1.0]
    assert len(vertices.unique()) == NUM_DENSE
    wanted = head.regions["face"] | head.regions["ears"] | head.regions["contour"]
    assert (head.regions["skin"] & wanted)[vertices].all()


def test_the_scheme_does_not_change(head):
    """Networks are trained on these points in this order: a change makes their weights worthless."""
    corners = head.topology.faces[dense_points(head).faces].long()
    vertices = corners[dense_points(head).barycentrics == 1.0]
    assert hashlib.sha256(vertices.numpy().astype("<i8").tobytes()).hexdigest()[:16] == "c8250a17092e5aac"


def test_every_point_has_its_mirror_image_among_them(head):
    mirror, points = dense_mirror(head), positions(head)
    assert torch.equal(mirror[mirror], torch.arange(NUM_DENSE))
    assert torch.equal(points[mirror] * torch.tensor([-1.0, 1.0, 1.0]), points)
    assert 0 < int((mirror == torch.arange(NUM_DENSE)).sum()) < 60, "points on the midline are their own images"


def test_they_stand_closer_at_eyes_and_mouth_than_on_the_forehead(head):
    points = positions(head)
    gap = torch.cdist(points, points).fill_diagonal_(torch.inf).amin(1)
    corners = head.topology.faces[dense_points(head).faces].long()
    vertices = corners[dense_points(head).barycentrics == 1.0]
    typical = {name: gap[head.regions[name][vertices]].median() for name in ("lids", "lips", "nose", "ears")}
    forehead = gap[points[:, 1] > head.template[head.regions["brows"], 1].max() + 12.0].median()
    assert max(typical["lids"], typical["lips"]) < 0.7 * forehead
    assert typical["nose"] < forehead and typical["ears"] < 1.3 * forehead


def test_no_part_of_the_face_is_far_from_a_point(head):
    face = head.template[head.regions["face"] & head.regions["skin"]]
    assert torch.cdist(face, positions(head)).amin(1).max() < 14.0


def test_a_finer_mesh_keeps_the_points(head):
    fine = load_face_model("head", level=1)
    moved = dense_points(fine).points(fine.template[None], fine.topology)[0]
    assert (moved - positions(head)).norm(dim=1).max() < 2.0  # Loop's scheme smooths sharp vertices by about this
    assert torch.equal(dense_mirror(fine), dense_mirror(head))


def test_the_head_has_them_as_a_scheme(head):
    assert head.landmarks(DENSE_SCHEME).faces is dense_points(head).faces
    anew = dense_points(dataclasses.replace(head, embeddings={}))
    assert torch.equal(anew.faces, dense_points(head).faces)


def test_a_model_without_regions_is_refused(head):
    bare = dataclasses.replace(head, embeddings={}, regions={"skin": head.regions["skin"]})
    with pytest.raises(InputError, match="no regions face"):
        dense_points(bare)
