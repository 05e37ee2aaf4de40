"""The engine: the same samples however they are asked for, labels that fit the pictures, what may be switched off."""

import pytest
import torch

from pyface3d.data.synthetic.assets import load_assets
from pyface3d.data.synthetic.engine import PART_NAMES, SyntheticFaces
from pyface3d.errors import InputError

COUNT = 12


@pytest.fixture(scope="module")
def assets():
    return load_assets(None)


@pytest.fixture(scope="module")
def faces(assets):
    return SyntheticFaces(assets, size=64, seed=3)


@pytest.fixture(scope="module")
def batch(faces):
    return faces.batch(0, COUNT)


def test_samples_do_not_depend_on_the_batch_they_are_in(assets, batch):
    other = SyntheticFaces(assets, size=64, seed=3)
    parts = [other.batch(start, count) for start, count in ((7, 5), (0, 3), (3, 4))]
    for name in ("is_face", "points68", "dense", "visible68", "visible_dense", "rotation", "identity", "expression"):
        again = torch.cat([getattr(parts[i], name) for i in (1, 2, 0)])
        torch.testing.assert_close(again, getattr(batch, name), atol=1e-4, rtol=1e-4)
    image = torch.cat([parts[i].image for i in (1, 2, 0)]).int()
    # Matrix products of other sizes differ in their last bits, and JPEG may round to the other side.
    apart = (image - batch.image.int()).abs()
    assert (apart == 0).float().mean() > 0.995
    assert apart.max() <= 8


def test_another_seed_is_another_sequence(assets, batch):
    assert not torch.equal(SyntheticFaces(assets, size=64, seed=4).batch(0, COUNT).image, batch.image)


def test_fields_have_the_stated_shapes(batch):
    assert batch.image.shape == (COUNT, 3, 64, 64)
    assert batch.image.dtype == torch.uint8
    shapes = {"points68": (68, 2), "points68_3d": (68, 3), "dense": (320, 2), "visible68": (68,), "rotation": (3, 3)}
    for name, shape in shapes.items():
        assert getattr(batch, name).shape == (COUNT, *shape)
    assert batch.identity.shape == (COUNT, 70)
    assert batch.expression.shape == (COUNT, 52)
    face = batch.is_face
    turned = batch.rotation[face] @ batch.rotation[face].mT
    torch.testing.assert_close(turned, torch.eye(3).expand_as(turned), atol=1e-5, rtol=0)


def test_visible_points_lie_in_the_frame_and_a_good_share_of_points_is_visible(batch):
    face = batch.is_face
    for points, visible in ((batch.points68, batch.visible68), (batch.dense, batch.visible_dense)):
        assert ((points[visible] >= 0) & (points[visible] <= 64)).all()
    assert 0.25 < batch.visible_dense[face].float().mean() < 0.95


def test_later_shots_show_the_same_person_in_another_picture(assets):
    faces = SyntheticFaces(assets, size=64, seed=3, empty=0.0, shots=2)
    first, second = faces.batch(0, 3), faces.batch(64, 3)
    torch.testing.assert_close(first.identity, second.identity)
    torch.testing.assert_close(first.expression, second.expression)
    assert not torch.equal(first.image, second.image)
    # The crop's similarity moves points and rotation alike.
    for a, b, before, after in zip(first.dense, second.dense, first.rotation, second.rotation):
        a, b = a - a.mean(0), b - b.mean(0)
        turn = torch.atan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
        spin = after @ before.mT
        torch.testing.assert_close(torch.atan2(spin[1, 0], spin[0, 0]), turn, atol=1e-4, rtol=0)
        torch.testing.assert_close(spin[2], torch.tensor([0.0, 0.0, 1.0]), atol=1e-5, rtol=0)


def test_without_occluders_as_many_points_or_more_are_visible(assets, batch):
    free = SyntheticFaces(assets, size=64, seed=3, occluders=False).batch(0, COUNT)
    assert (free.visible_dense | ~batch.visible_dense).all()
    assert free.visible_dense.sum() > batch.visible_dense.sum()


def test_share_of_pictures_without_a_face(assets):
    assert not SyntheticFaces(assets, size=64, empty=1.0).batch(0, 4).is_face.any()
    assert SyntheticFaces(assets, size=64, empty=0.0).batch(0, 4).is_face.all()


def test_maps_agree_with_the_labels(assets):
    faces = SyntheticFaces(assets, size=64, seed=3, shots=1, empty=0.0)
    names = ("depth", "normals", "relief", "albedo", "light", "parts", "occluder")
    batch = faces.batch(0, 6, maps=names)
    assert set(batch.maps) == set(names)
    without = faces.batch(0, 6)
    torch.testing.assert_close(without.points68, batch.points68, atol=1e-4, rtol=1e-4)
    assert torch.equal(without.visible_dense, batch.visible_dense)
    assert (without.image == batch.image).float().mean() > 0.995, "maps change nothing of the sample"
    head = (batch.maps["parts"] > 0) & (batch.maps["parts"] < len(PART_NAMES) - 16)
    pixel = batch.points68.long().clamp(0, 63)
    sample = torch.arange(6)[:, None].expand(-1, 68)
    on_head = head[sample, pixel[..., 1], pixel[..., 0]]
    hidden = batch.maps["occluder"][sample, pixel[..., 1], pixel[..., 0]]
    seen = batch.visible68
    # Points on the outline may round to the pixel beside it.
    assert on_head[seen].float().mean() > 0.85
    assert hidden[seen].float().mean() < 0.1
    inner = torch.zeros(68, dtype=torch.bool)
    inner[27:36] = True
    depth = batch.maps["depth"][sample, pixel[..., 1], pixel[..., 0]]
    near = (depth - batch.points68_3d[..., 2]).abs()[seen & inner]
    assert near.median() < 3.0, "mm: the nose's points lie on the surface that is drawn"


def test_maps_of_unknown_names_and_of_later_shots_are_refused(assets):
    with pytest.raises(InputError, match="maps must be of"):
        SyntheticFaces(assets, size=64, shots=1, empty=0.0).batch(0, 1, maps=("hair",))
    with pytest.raises(InputError, match="shots=1"):
        SyntheticFaces(assets, size=64, shots=2, empty=0.0).batch(64, 1, maps=("depth",))
