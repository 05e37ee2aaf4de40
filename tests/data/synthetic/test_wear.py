"""What synthetic people wear: repeatable, on their heads, absent where it is absent."""

import numpy as np
import pytest
import torch

from pyface3d.data.synthetic.wear import Part, place_wear, wear_geometry
from pyface3d.data.synthetic.wear.detail import detail
from pyface3d.data.synthetic.wear.draw import draw_choices
from pyface3d.data.synthetic.wear.hair import HAIR_STYLES
from pyface3d.data.synthetic.wear.parts import SOFT
from pyface3d.face_models import load_face_model
from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.ops import Topology, rasterize, vertex_normals


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


def signed_distances(points, head, normals, allowed):
    """Of points (P, 3) from a head (V, 3): along the normal of the nearest allowed vertex, positive outside."""
    candidates = torch.nonzero(allowed).flatten()
    nearest = candidates[torch.cdist(points, head[candidates]).argmin(dim=1)]
    return ((points - head[nearest]) * normals[nearest]).sum(dim=1)


@pytest.fixture(scope="module")
def dressed(model):
    """Fifty people of more than usual variety."""
    return dress(model, range(50), spread=1.3)


def test_hair_and_hats_stay_outside_the_skull(model, dressed):
    neutral, wear = dressed
    mesh = wear_geometry(model).mesh
    normals = torch.nn.functional.normalize(vertex_normals(neutral, model.topology), dim=-1)
    skin = model.regions["skin"] & ~model.regions["ears"]
    for hidden in ("eye_sockets", "mouth_bag"):
        skin = skin & ~model.regions[hidden]
    checked = 0
    for part in (Part.HAIR, Part.STRANDS, Part.HAT, Part.BRIM, Part.HOOD, Part.HEADBAND):
        for sample in torch.nonzero(wear.worn[:, part]).flatten().tolist():
            points = wear.verts[sample, mesh.vertex_part == part]
            # Below, nearest vertices lie on the open rim under the neck; ears stick out of hair and hats by design.
            points = points[points[:, 1] > -60]
            points = points[torch.cdist(points, neutral[sample, model.regions["ears"]]).amin(dim=1) > 14]
            points = points[torch.cdist(points, neutral[sample, skin]).amin(dim=1) < 25]  # far ones are outside
            if not len(points):
                continue
            depth = signed_distances(points, neutral[sample], normals[sample], skin)
            # The distance to the tangent plane at a vertex is not that to the curved surface between vertices.
            assert float(depth.min()) > -3.5, (Part(part).name, sample)
            checked += len(points)
    assert checked > 25_000


def test_glasses_sit_on_the_nose_and_before_the_eyes(model, dressed):
    neutral, wear = dressed
    mesh, anchors = wear_geometry(model).mesh, wear_geometry(model).anchors
    samples = torch.nonzero(wear.worn[:, Part.RIMS]).flatten().tolist()
    assert len(samples) >= 8
    lenses = mesh.vertex_part == Part.LENSES
    for sample in samples:
        frame = wear.verts[sample, mesh.vertex_part == Part.RIMS]
        nose = neutral[sample][model.regions["nose"] & model.regions["skin"]]
        ridge = torch.cat([nose, neutral[sample, anchors.bridge]])
        assert float(torch.cdist(frame, ridge).min()) < 8.0  # mm, at its closest
        right, left = wear.verts[sample, lenses].chunk(2)
        for lens, eye in ((right, anchors.right_eye), (left, anchors.left_eye)):
            ball = neutral[sample, eye]
            low, high, middle = lens.amin(0), lens.amax(0), ball.mean(0)
            assert float(low[0]) < float(middle[0]) < float(high[0])
            assert float(low[1]) < float(middle[1]) < float(high[1]) + 16.0  # glasses slip by up to so much
            assert float(low[2]) > float(middle[2])


def test_beards_follow_the_jaw_and_hair_does_not(model):
    seeds = range(60)
    neutral, still = dress(model, seeds)
    expression = torch.zeros(1, model.expression_dim)
    expression[0, model.expression_names.index("jawOpen")] = 1.0
    opened = neutral + model.vertices(torch.zeros(1, model.identity_dim), expression) - model.template
    moved = place_wear(model, [np.random.default_rng([7, seed, 3]) for seed in seeds], neutral, opened)
    mesh = wear_geometry(model).mesh
    shift = (moved.verts - still.verts).norm(dim=-1)
    bearded = still.worn[:, Part.BEARD]
    assert 2 <= int(bearded.sum()) <= 30
    assert float(shift[bearded][:, mesh.vertex_part == Part.BEARD].amax(dim=1).min()) > 5.0
    for part in (Part.HAIR, Part.HAT, Part.RIMS, Part.LENSES):
        assert float(shift[:, mesh.vertex_part == part].max()) == 0.0


def test_absent_garments_draw_no_pixel_and_solid_faces_no_soft_part(model):
    neutral, wear = dress(model, range(12))
    mesh = wear_geometry(model).mesh
    offset = model.topology.num_verts
    verts = torch.cat([neutral, wear.verts], dim=1)
    rotation = rotation_from_euler(*(torch.tensor([angle]) for angle in (0.4, 0.1, 0.0)))
    seen = verts @ rotation.mT + torch.tensor([0.0, 0.0, 700.0])
    camera = Camera(torch.full((12,), 250.0), torch.full((12, 2), 64.0), 128, 128)
    image = camera.project(seen)
    heads = model.topology.faces.long()
    for faces, hidden in ((mesh.faces, ()), (mesh.solid_faces, SOFT)):
        topology = Topology(torch.cat([heads, faces + offset]), offset + mesh.num_verts)
        index = rasterize(image, topology, 128, 128, cull="none").face_index.long() - len(heads)
        sample = torch.arange(12)[:, None, None].expand_as(index)[index >= 0]
        part = mesh.part[index[index >= 0]]
        assert bool(wear.worn[sample, part].all())
        assert not bool(torch.isin(part, torch.tensor([int(kind) for kind in hidden], dtype=torch.int64)).any())
        assert bool((part == Part.CLOTHES).any()) and (bool(hidden) or bool((part == Part.HAIR).any()))


def test_the_chart_is_symmetric(model):
    """What is laid on a symmetric head has no side of its own."""
    surface = wear_geometry(model).chart.surface(model.template[None])[0]
    mirrored = surface.roll(-1, 1).flip(1) * surface.new_tensor([-1.0, 1.0, 1.0])
    assert float((surface - mirrored).norm(dim=-1).max()) < 1.0
    assert float((surface - mirrored).norm(dim=-1).mean()) < 0.05


def test_shares_of_what_is_worn(model):
    draws = draw_choices([np.random.default_rng([1, i]) for i in range(600)], torch.device("cpu"))
    glasses = float((draws.glasses.shape > 0).float().mean())
    headgear = (draws.hat.kind > 0) | (draws.drape.hood > 0) | (draws.drape.band > 0) | (draws.drape.phones > 0)
    assert 0.2 < glasses < 0.3
    assert 0.13 < float(headgear.float().mean()) < 0.24
    assert 0.07 < float((draws.beard.kind > 0).float().mean()) < 0.2
    assert float((draws.hair.style == 0).float().mean()) < 0.14
    assert len(draws.hair.style.unique()) == len(HAIR_STYLES)


def test_most_heads_have_the_hair_that_grows_on_their_skin(model):
    rngs = [np.random.default_rng([2, i]) for i in range(300)]
    hairs = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    draws = draw_choices(rngs, torch.device("cpu"), hairs)
    same = (draws.hair.color - hairs).abs().amax(1) < 1e-6
    assert 0.84 < float(same.float().mean()) < 0.96
