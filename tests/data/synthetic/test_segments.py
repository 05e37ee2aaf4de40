"""Label maps: what every pixel shows, against the engine's other knowledge and against scenes made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import generators

from pyface3d.data.synthetic import SyntheticFaces, engine, people, views
from pyface3d.data.synthetic.engine import PART_NAMES
from pyface3d.data.synthetic.occluders import Occlusion
from pyface3d.data.synthetic.segments import segments
from pyface3d.data.synthetic.wear import Part
from pyface3d.face_models.landmarks import PARTS_MARGIN, PARTS_RAISE
from pyface3d.part_labels import FacePart

SIZE, COUNT = 64, 8


@pytest.fixture(scope="module")
def faces(head_assets):
    return SyntheticFaces(
        head_assets, size=SIZE, seed=11, empty=0.0, company=False, occluders=False, shots=1, framing=views.PARTS
    )


@pytest.fixture(scope="module")
def batch(faces):
    return faces.batch(0, COUNT, maps=("segments", "parts"))


@pytest.fixture(scope="module")
def shown(faces):
    return faces._render([0, 1])


def test_agrees_with_the_surfaces_that_were_drawn(batch):
    """The regions of the head's mesh and the wear's parts are known apart from the chart that labels come from."""
    found, drawn = batch.maps["segments"], batch.maps["parts"]

    def of(*names: str) -> torch.Tensor:
        return torch.isin(drawn, torch.tensor([PART_NAMES.index(name) for name in names], dtype=torch.uint8))

    assert torch.equal(drawn == 0, found == FacePart.BACKGROUND)
    assert (found[of("wear: hair", "wear: tail", "wear: strands")] == FacePart.HAIR).all()
    assert (found[of("wear: hat", "wear: brim", "wear: hood", "wear: headphones")] == FacePart.OCCLUDER).all()
    assert (found[of("wear: rims", "wear: lenses")] == FacePart.GLASSES).all()
    assert (found[of("wear: beard")] == FacePart.SKIN).all()
    assert (found[of("wear: skin")] == FacePart.NECK).all()
    mouth = of("mouth_bag", "upper_teeth", "lower_teeth", "tongue")
    assert mouth.any() and torch.isin(found[mouth], torch.tensor([FacePart.MOUTH, FacePart.GLASSES])).all()
    eyes = of("left_eye", "right_eye")
    assert eyes.sum() > 20 and (found[eyes] == FacePart.EYE).float().mean() > 0.95
    nose = of("nose")  # its rim counts as skin
    assert torch.isin(found[nose], torch.tensor([FacePart.NOSE, FacePart.GLASSES])).float().mean() > 0.8
    assert (drawn[found == FacePart.NOSE] == PART_NAMES.index("nose")).float().mean() > 0.88  # a zigzag of triangles
    assert not (found[of("lashes")] == FacePart.EYE).any()
    skin = found[of("skin")]
    possible = ("SKIN", "NOSE", "BROW", "LIP", "NECK", "HAIR", "GLASSES", "EAR")
    assert torch.isin(skin, torch.tensor([FacePart[name] for name in possible])).all()


def test_every_part_of_a_face_is_there(batch):
    shares = torch.bincount(batch.maps["segments"].flatten().long(), minlength=len(FacePart)) / SIZE**2 / COUNT
    assert (shares[[*range(1, 8), FacePart.NECK, FacePart.EAR]] > 1e-3).all()
    assert 0.08 < shares[FacePart.SKIN] < 0.35


@pytest.fixture(scope="module")
def bare(faces, shown):
    """Rendered people, and their label maps as a function of what is changed of the pictures."""

    def labelled(**changes) -> torch.Tensor:
        points = torch.full((2, 68, 2), -1e3)
        return segments(replace(shown.pictures, **changes), faces.scene, shown.skins.segments, points)

    return labelled


def test_through_a_clear_lens_an_eye_shows_and_nothing_else(bare, shown):
    plain = bare(glass=torch.zeros_like(shown.pictures.glass))
    through = bare(glass=torch.ones_like(shown.pictures.glass))
    assert torch.equal(through == FacePart.EYE, plain == FacePart.EYE) and (plain == FacePart.EYE).any()
    assert (through[plain != FacePart.EYE] == FacePart.GLASSES).all()


def test_behind_a_dark_lens_no_eye_shows(bare, faces, shown):
    """A lens that hides is the nearest surface itself."""
    plain = bare()
    lens = int((faces.scene.part == Part.LENSES).nonzero()[0])
    fragments = shown.pictures.fragments
    index = torch.where(plain == FacePart.EYE, lens, fragments.face_index)
    dark = bare(fragments=fragments._replace(face_index=index))
    assert (dark[plain == FacePart.EYE] == FacePart.GLASSES).all() and not (dark == FacePart.EYE).any()
    assert torch.equal(dark[plain != FacePart.EYE], plain[plain != FacePart.EYE])


def test_cloth_covers_the_face_inside_its_outline_and_is_clothes_elsewhere(faces, shown):
    scarf = int((faces.scene.part == Part.SCARF).nonzero()[0])
    size = shown.pictures.fragments.face_index.shape[-1]
    everywhere = torch.full_like(shown.pictures.fragments.face_index, scarf)
    pictures = replace(shown.pictures, fragments=shown.pictures.fragments._replace(face_index=everywhere))
    points = torch.zeros(2, 68, 2)
    jaw = torch.linspace(np.pi, 0, 17)
    points[:, :17] = torch.stack([jaw.cos(), jaw.sin()], -1) * size / 4 + size / 2
    points[:, 17:27] = torch.stack([torch.linspace(size / 4, 3 * size / 4, 10), torch.full((10,), size / 2)], -1)
    found = segments(pictures, faces.scene, shown.skins.segments, points)
    at = torch.arange(size) + 0.5 - size / 2
    radius, below = torch.hypot(at, at[:, None]), (at > 0)[:, None].expand(size, size)
    assert (found[:, (radius < size / 4 - 2) & below] == FacePart.OCCLUDER).all()
    assert (found[:, (radius > size / 4 + 1) | ~below] == FacePart.NECK).all()


@pytest.mark.parametrize(("hair", "part"), [(0.0, FacePart.OCCLUDER), (1.0, FacePart.HAIR)])
def test_what_is_laid_over_the_mouth_hides_it(head_assets, monkeypatch, hair, part):
    def over_the_mouth(assets, rngs, points68, skin, size, pool, **_):
        middle = points68[:, 48:].mean(1)
        at = torch.arange(size) + 0.5
        near = ((at - middle[:, :1]).abs() < 8)[:, None, :] & ((at - middle[:, 1:]).abs() < 6)[:, :, None]
        cover = near.float()
        return Occlusion(cover[..., None].expand(-1, -1, -1, 3), cover, 0 * cover, hair * cover)

    def made(**kind):
        return SyntheticFaces(head_assets, size=SIZE, seed=11, empty=0.0, company=False, shots=1, **kind)

    free = made(occluders=False).batch(0, 2, maps=("segments",)).maps["segments"]
    monkeypatch.setattr(engine, "draw_occluders", over_the_mouth)
    batch = made().batch(0, 2, maps=("segments", "occluder"))
    hidden = batch.maps["occluder"]
    assert hidden.sum() > 100
    assert (batch.maps["segments"][hidden] == part).all()
    assert torch.equal(batch.maps["segments"][~hidden], free[~hidden])


def test_later_shots_carry_their_label_map_with_them(head_assets):
    faces = SyntheticFaces(head_assets, size=SIZE, seed=5, empty=0.0, company=False, occluders=False, shots=2)
    first, second = faces.batch(0, 4, maps=("segments",)), faces.batch(64, 4, maps=("segments",))
    axis = torch.arange(SIZE) + 0.5
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2).double()
    for one, other, before, after in zip(
        first.dense.double(), second.dense.double(), first.maps["segments"], second.maps["segments"]
    ):
        # The similarity between the shots, from points: complex numbers a z + b.
        z, w = torch.complex(*other.T), torch.complex(*one.T)
        a = ((w - w.mean()) * (z - z.mean()).conj()).sum() / (z - z.mean()).abs().square().sum()
        back = a * torch.complex(*pixels.T) + w.mean() - a * z.mean()
        column, row = back.real.floor().long(), back.imag.floor().long()
        inside = (column >= 0) & (row >= 0) & (column < SIZE) & (row < SIZE)
        expected = before[row.clamp(0, SIZE - 1), column.clamp(0, SIZE - 1)]
        agree = (after.flatten() == expected)[inside].float().mean()
        assert agree > 0.93, "all but the pixels beside borders"
        assert inside.float().mean() > 0.5
        # Nothing is known beyond the first shot's edge, and nothing drawn there.
        assert (after.flatten()[(back.real < -1) | (back.imag < -1)] == FacePart.BACKGROUND).all()


def test_labels_do_not_depend_on_the_batch(faces, batch):
    alone = faces.batch(3, 2, maps=("segments",)).maps["segments"]
    assert (alone == batch.maps["segments"][3:5]).float().mean() > 0.999


def test_the_parts_framing_is_as_large_and_as_high_as_agreed(head_assets):
    rngs = generators(0, 0, 16, people.STAGE)
    folk = people.draw_people(head_assets, rngs)
    exact = replace(views.PARTS, jitter=0.0)

    def points(framing):
        seen = views.draw_views(generators(0, 0, 16, views.STAGE), folk, 100, framing)
        points = views.label_points(folk.model)
        image = seen.image(points.of(folk.verts))
        outline = points.outline(image[..., :2], seen.rotation)
        return image[..., :2].gather(1, outline[..., None].expand(-1, -1, 2)) / views.RENDER_SCALE

    found = points(exact)
    low, high = found.amin(1), found.amax(1)
    torch.testing.assert_close(100 / (high - low).amax(1), torch.full((16,), PARTS_MARGIN), atol=2e-3, rtol=0)
    middle = (low + high) / 2 / 100
    expected = torch.tensor([0.5, 0.5 + PARTS_RAISE]).expand(16, 2)
    torch.testing.assert_close(middle, expected, atol=2e-3, rtol=0)

    def lean(found):
        eyes = found[:, 42:48].mean(1) - found[:, 36:42].mean(1)
        return torch.atan2(eyes[:, 1], eyes[:, 0]).abs().mean()

    assert lean(points(views.PARTS)) < 0.7 * lean(points(views.FACE))
