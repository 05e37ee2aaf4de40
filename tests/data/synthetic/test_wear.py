"""What synthetic people wear: repeatable, on their heads, absent where it is absent."""

import numpy as np
import pytest
import torch

from pyface3d.data.synthetic.wear import Part, place_wear, wear_geometry
from pyface3d.data.synthetic.wear.detail import detail
from pyface3d.face_models import load_face_model


@pytest.fixture(scope="module")
def model():
    return load_face_model("head")


def dress(model, seeds, spread=1.0):
    """Heads of ``seeds`` (identity drawn with ``spread`` standard deviations) and their wear."""
    identity = np.stack([np.random.default_rng([seed, 1]).normal(0, spread, model.identity_dim) for seed in seeds])
    neutral = model.vertices(torch.tensor(identity, dtype=torch.float32), torch.zeros(1, model.expression_dim))
    rngs = [np.random.default_rng([7, seed, 3]) for seed in seeds]
    return neutral, place_wear(model, rngs, neutral, neutral)


def test_a_sample_is_the_same_in_any_batch(model):
    _, many = dress(model, range(6))
    _, one = dress(model, [4])
    for name in ("verts", "color", "coordinates", "look", "worn", "style"):
        torch.testing.assert_close(getattr(many, name)[4:5], getattr(one, name), msg=name)


def test_shapes_and_numbers(model):
    _, wear = dress(model, range(5))
    mesh = wear_geometry(model).mesh
    assert wear.verts.shape == wear.color.shape == wear.coordinates.shape == (5, mesh.num_verts, 3)
    assert mesh.faces.shape == mesh.solid_faces.shape and int(mesh.faces.max()) == mesh.num_verts - 1
    assert all(bool(torch.isfinite(getattr(wear, name)).all()) for name in ("verts", "color", "coordinates", "look"))
    assert bool((mesh.vertex_part[mesh.faces] == mesh.part[:, None]).all())


def test_absent_garments_are_one_point_inside_the_head(model):
    _, wear = dress(model, range(24))
    mesh = wear_geometry(model).mesh
    seen_absent = 0
    for sample, worn in enumerate(wear.worn):
        for part in mesh.part.unique():
            points = wear.verts[sample, mesh.vertex_part == part]
            extent = (points.amax(0) - points.amin(0)).max()
            assert (extent > 5) == bool(worn[part]), Part(int(part)).name
            seen_absent += int(not worn[part])
    assert seen_absent > 50


def test_detail_stays_in_range(model):
    _, wear = dress(model, range(8))
    mesh = wear_geometry(model).mesh
    sample = torch.arange(8).repeat_interleave(mesh.num_verts)
    part = mesh.vertex_part.repeat(8)
    albedo, opacity, gloss = detail(wear, part, wear.coordinates.flatten(0, 1), sample, wear.color.flatten(0, 1))
    for value in (albedo, opacity, gloss[:, 1]):
        assert float(value.min()) >= 0 and float(value.max()) <= 1
    assert float(gloss[:, 0].min()) >= 0 and float(gloss[:, 0].max()) <= 20
    hair = part == Part.HAIR
    assert float((opacity[hair] > 0.5).float().mean()) > 0.5 and float((opacity[hair] < 0.5).float().mean()) > 0.02
