"""Hard cases: each is what it is called, in picture and labels alike, and nobody else changes."""

import numpy as np
import pytest
import torch
from conftest import generators

from pyface3d.data.synthetic import SyntheticFaces, hard_cases, masks, views
from pyface3d.data.synthetic.anchors import face_frame
from pyface3d.data.synthetic.assets import model_of
from pyface3d.data.synthetic.canvas import make_canvas
from pyface3d.data.synthetic.dapples import Dapples, dappled, draw_dapples
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.hard_cases import Case, draw_cases
from pyface3d.data.synthetic.lights import Lights, draw_lights
from pyface3d.data.synthetic.negatives import _face_layout
from pyface3d.data.synthetic.skins import draw_skins
from pyface3d.data.synthetic.wear import Part, detail, place_wear, wear_geometry
from pyface3d.errors import InputError
from pyface3d.face_models import load_face_model
from pyface3d.part_labels import FacePart

SIZE, COUNT = 48, 12


def made(assets, hard, **kind):
    options = {"size": SIZE, "seed": 5, "empty": 0.0, "company": False, "shots": 1, "framing": views.PARTS} | kind
    return SyntheticFaces(assets, hard=hard, **options)


@pytest.fixture(scope="module")
def plain(head_assets):
    return made(head_assets, 0.0, occluders=False).batch(0, COUNT, maps=("segments", "relief", "albedo"))


@pytest.fixture(scope="module")
def half(head_assets):
    return made(head_assets, 0.5, occluders=False).batch(0, COUNT, maps=("segments", "relief", "albedo"))


@pytest.fixture(scope="module")
def cases():
    return draw_cases(generators(5, 0, COUNT, hard_cases.STAGE), 0.5)


def test_shares_are_those_asked_for():
    drawn = draw_cases(generators(1, 0, 2000, hard_cases.STAGE), 0.3)
    counts = np.bincount(drawn, minlength=len(Case)) / 2000
    assert abs(counts[Case.NONE] - 0.7) < 0.04  # four standard deviations
    for case, weight in hard_cases._WEIGHTS.items():
        assert abs(counts[case] - 0.3 * weight) < 0.03, case.name
    assert set(draw_cases(generators(1, 0, 50, hard_cases.STAGE), 0.0)) == {Case.NONE}
    assert Case.NONE not in draw_cases(generators(1, 0, 50, hard_cases.STAGE), 1.0)


def test_who_is_no_case_is_the_same_person_in_the_same_picture(plain, half, cases):
    same = torch.tensor([case == Case.NONE for case in cases])
    assert 2 < same.sum() < COUNT - 2
    for name in ("segments", "relief", "albedo"):
        torch.testing.assert_close(half.maps[name][same], plain.maps[name][same], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(half.image[same].float(), plain.image[same].float(), atol=8, rtol=0)
    changed = (half.image[~same].float() - plain.image[~same].float()).abs().mean((1, 2, 3))
    assert (changed > 0.02).all() and changed.median() > 1  # half-profiles show little of their eyes


def test_a_share_outside_of_its_range_is_refused(head_assets):
    with pytest.raises(InputError, match=r"hard must be a share in \[0, 1\], got 1.5"):
        SyntheticFaces(head_assets, hard=1.5)


def skins_of(assets, case, count=6):
    return draw_skins(assets, generators(3, 0, count, 4), cases=None if case is None else [case] * count)


def test_old_eyes_change_skin_and_relief_below_the_eyes_alone(head_assets):
    young, old = skins_of(head_assets, None), skins_of(head_assets, Case.OLD_EYES)
    model = model_of(head_assets)
    for values, size in (("albedo", 256), ("relief", 512)):
        canvas = make_canvas(model, size)
        apart = (getattr(old, values) - getattr(young, values)).abs()
        apart = apart.amax(-1) if values == "albedo" else apart
        assert apart[:, canvas.eye > 40].max() < 2e-3
        below = (canvas.eye > 4) & (canvas.eye < 12) & (canvas.above_eye < -4) & (canvas.skin > 0)
        assert (apart[:, below].amax(1) > 0.01).float().mean() >= 0.5
    assert torch.equal(old.segments, young.segments) and torch.equal(old.gloss, young.gloss)
    # Arcs are furrows and bags stand out, by no more than a few millimetres.
    change = old.relief - young.relief
    assert change.max() > 0.3 and change.min() < -0.3 and change.abs().max() < 6


def test_nobody_with_old_eyes_wears_glasses_and_everybody_with_dark_lenses_does(head_assets):
    model = load_face_model("head")
    neutral = model.template.expand(20, -1, -1)

    def worn(case):
        return place_wear(model, generators(4, 0, 20, 9), neutral, neutral, cases=[case] * 20)

    assert not worn(Case.OLD_EYES).worn[:, Part.RIMS].any()
    dark = worn(Case.DARK_LENSES)
    assert dark.worn[:, Part.LENSES].all()
    mesh = wear_geometry(model).mesh
    lens = mesh.vertex_part == Part.LENSES
    count = int(lens.sum())
    for sample in range(20):
        at = (torch.full((count,), int(Part.LENSES)), dark.coordinates[sample, lens])
        color, opacity, _ = detail(dark, *at, torch.full((count,), sample), dark.color[sample, lens])
        inner = at[1][:, 1] >= -1  # an aviator's lowest rim hangs below
        assert (opacity[inner] > 0.5).all() and (color >= 0).all() and (color <= 1).all()
    # Some are nearly black, some mirror a sky.
    assert (dark.color[:, lens].amax((1, 2)) < 0.02).sum() >= 3
    assert (worn(Case.BALD).style == 0).sum() >= 8 and not worn(Case.BALD).worn[:, Part.HAT].any()


def test_bald_heads_are_skin_and_may_shine(head_assets):
    model = model_of(head_assets)
    canvas = make_canvas(model, 256)
    scalp = (canvas.scalp > 25) & (canvas.skin > 0) & (canvas.position[..., 1] > 60)
    usual, bald = skins_of(head_assets, None, 12), skins_of(head_assets, Case.BALD, 12)
    assert (usual.segments[:, scalp] == FacePart.HAIR).any()
    assert (bald.segments[:, scalp] == FacePart.SKIN).all()
    shine = bald.gloss[:, scalp, 0].mean(1) - bald.gloss[:, canvas.chin > 0.5, 0].mean(1)
    assert shine.max() > 1 and bald.gloss[..., 1].min() > 0.05


def test_hard_light_is_one_small_lamp(head_assets):
    usual = draw_lights(head_assets, generators(6, 0, 40, 7))
    hard = draw_lights(head_assets, generators(6, 0, 40, 7), cases=[Case.SHADE] * 40)
    assert hard.softness[:, 0].max() < 0.12 < usual.softness[:, 0].median()
    assert (hard.colors[:, 0].amin(1) > 0.2).all() and (hard.directions[:, 0, 1] < 0).all()  # y down: from above
    assert hard.exposure.isfinite().all() and (hard.exposure > 0).all()
    assert hard.harmonics[:, 0].mean() < usual.harmonics[:, 0].mean()


def test_leaves_take_light_and_straw_lets_some_through():
    rngs = generators(2, 0, 24, 1)
    drawn = draw_dapples(Draws(rngs, "cpu"), torch.arange(24) < 20)
    assert (drawn.leaves[20:] == 0).all() and (drawn.leak[20:] == 0).all()
    towards = torch.tensor([0.0, -0.8, -0.6]).expand(2, 2, 3).clone()
    lights = Lights(torch.zeros(2, 9, 3), towards, torch.ones(2, 2, 3), torch.zeros(2, 2), torch.ones(2))
    at = torch.linspace(-80, 80, 40)
    positions = torch.stack([at.expand(40, 40), at[:, None].expand(40, 40), torch.full((40, 40), 600.0)], -1)
    positions = positions.expand(2, -1, -1, -1)

    def spots(leaves, leak, shadow):
        two = torch.ones(2)
        size, level, seed = torch.tensor([[20.0, 4.0]] * 2), torch.zeros(2, 2), torch.full((2, 2), 0.1)
        dapples = Dapples(leaves * two, leak * two, size, level, 0.3 * two, seed)
        return dappled(torch.full((2, 40, 40, 2), shadow), lights, positions, dapples)

    shade = spots(0.8, 0.0, 1.0)[..., 0]
    assert shade.min() < 0.25 and shade.max() > 0.95 and shade.max() <= 1 and shade.min() > 0.19
    assert torch.equal(spots(0.0, 0.5, 1.0), torch.ones(2, 40, 40, 2))  # no shadow, nothing to let through
    leaked = spots(0.0, 0.5, 0.0)
    assert 0.45 < leaked[..., 0].max() <= 0.5 and (leaked[..., 1] == 0).all()


def test_masks_that_pass_for_skin_have_its_colour():
    count = 60
    points = 48 + 60 * _face_layout(torch.device("cpu")).expand(count, -1, -1)
    skin = torch.tensor([0.45, 0.25, 0.16]).expand(count, 3)

    def distance(alike):
        layer = masks.masks({}, Draws(generators(8, 0, count, 2), "cpu"), face_frame(points), 96, alike)
        cover = layer[:, 3].sum((1, 2))
        mean = layer[:, :3].sum((2, 3)) / cover[:, None].clamp_min(1)
        seen = cover > 50
        hue = mean / mean.sum(1, keepdim=True).clamp_min(1e-3)
        return (hue - skin / skin.sum(1, keepdim=True)).abs().sum(1)[seen].median(), layer

    usual, _ = distance(None)
    alike, layer = distance(masks.SkinAlike(1.0, skin, None))
    assert alike < 0.1 < usual
    people = torch.rand(3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    people[:, 3] = 1
    _, printed = distance(masks.SkinAlike(1.0, skin, people))
    changed = (printed - layer).abs().amax((1, 2, 3)) > 0.05
    assert 0.15 < changed.float().mean() < 0.65  # two in five carry a print
    torch.testing.assert_close(printed[:, 3], layer[:, 3])
