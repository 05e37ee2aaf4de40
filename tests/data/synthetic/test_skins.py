"""Skins: repeatable, of every human tone, relief that knows nothing of albedo, paint where it belongs."""

import numpy as np
import pytest
import torch

from pyface3d.data.synthetic.assets import load_assets, model_of
from pyface3d.data.synthetic.canvas import EYE, OUTSIDE, SKIN, TEETH, make_canvas
from pyface3d.data.synthetic.people import CHILD, draw_people
from pyface3d.data.synthetic.relief import open_share
from pyface3d.data.synthetic.skin_tones import individual_typology_angle, lab_to_linear, skin_lab
from pyface3d.data.synthetic.skins import draw_skins
from pyface3d.io.color import linear_to_srgb

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def assets():
    return load_assets(None)


@pytest.fixture(scope="module")
def canvas(assets):
    return make_canvas(model_of(assets))


@pytest.fixture(scope="module")
def skins(assets):
    return draw_skins(assets, rngs(0, 48))


def rngs(start, count, seed=3):
    return [np.random.default_rng([seed, index, 4]) for index in range(start, start + count)]


def fields(skins):
    names = ("albedo", "relief", "gloss", "hair", "tone")
    return {name: getattr(skins, name) for name in names}


def test_shapes_and_ranges(skins):
    assert skins.albedo.shape == (48, 256, 256, 3) and skins.relief.shape == (48, 512, 512)
    assert skins.gloss.shape == (48, 256, 256, 2) and skins.hair.shape == skins.tone.shape == (48, 3)
    for values in fields(skins).values():
        assert values.dtype == torch.float32 and bool(values.isfinite().all())
    assert float(skins.albedo.min()) >= 0 and float(skins.albedo.max()) <= 1
    roughness = skins.gloss[..., 1]
    assert float(skins.gloss[..., 0].min()) >= 0 and float(roughness.min()) > 0 and float(roughness.max()) <= 1
    assert 0.5 < float(skins.relief.abs().max()) < 4.0


def test_a_skin_is_the_same_in_any_batch(assets, skins):
    for start, count in ((0, 1), (5, 3), (7, 11)):
        again = draw_skins(assets, rngs(start, count))
        for name, values in fields(again).items():
            torch.testing.assert_close(values, getattr(skins, name)[start : start + count], rtol=0, atol=1e-6)
        assert torch.equal(again.segments, skins.segments[start : start + count])


def test_seeds_differ(assets, skins):
    other = draw_skins(assets, rngs(0, 4, seed=4))
    assert float((other.albedo - skins.albedo[:4]).abs().mean()) > 0.01


def test_tones_cover_mankind():
    """The individual typology angle of human skin runs from about -60 (dark) to above 55 degrees (very light)."""
    melanin = torch.linspace(0, 1, 21)
    rest = torch.zeros(21)
    angle = individual_typology_angle(lab_to_linear(skin_lab(melanin, rest, rest)))
    assert bool((angle.diff() < 0).all())
    assert float(angle[0]) > 58 and float(angle[-1]) < -60


def test_drawn_tones_fill_the_range(skins):
    angle = individual_typology_angle(skins.tone)
    counts = torch.histc(angle, bins=4, min=-75, max=75)
    assert float(angle.max()) > 50 and float(angle.min()) < -50 and bool((counts >= 5).all())


def test_known_color():
    """sRGB 0.5 is linear 0.21404; its CIELAB lightness is 116 * 0.21404^(1/3) - 16."""
    lab = torch.tensor([[116 * 0.21404 ** (1 / 3) - 16, 0.0, 0.0]])
    torch.testing.assert_close(lab_to_linear(lab), torch.full((1, 3), 0.21404), rtol=0, atol=1e-4)


def test_the_painted_face_has_its_tone(skins, canvas):
    """The mean of the cheeks is the tone that was drawn, up to pigment and texture."""
    cheek = (canvas.cheeks > 0.5) & (canvas.part == SKIN)
    ratio = skins.albedo[:, cheek].log().mean(1) - skins.tone.log()
    assert float(ratio.median(0).values.abs().max()) < 0.25


def test_relief_is_independent_of_albedo(skins, canvas):
    """Over the forehead, whose lines both could draw: the correlation of their fine structure, sample by sample."""
    rows, columns = slice(24, 60), slice(88, 168)
    assert bool((canvas.part[rows, columns] == SKIN).all())

    def fine(values):
        smooth = torch.nn.functional.avg_pool2d(values[:, None], 9, 1, 4, count_include_pad=False)[:, 0]
        return (values - smooth).flatten(1)

    dark = fine(skins.albedo[:, rows, columns].mean(-1).log())
    high = fine(torch.nn.functional.avg_pool2d(skins.relief, 2)[:, rows, columns])
    correlation = torch.nn.functional.cosine_similarity(dark, high, dim=1)
    assert abs(float(correlation.mean())) < 0.04
    assert float(dark.std()) > 0.005 and float(high.std()) > 0.005  # there is something to correlate


def test_some_skins_are_smooth_and_some_are_wrinkled(skins):
    """Flat faces teach that what is painted is not deep; the deepest folds are a millimetre and more."""
    face = skins.relief[:, 60:400, 60:452].flatten(1)
    spread = face.std(1)
    assert int((spread < 0.03).sum()) >= 8 and int((spread > 0.1).sum()) >= 8
    assert float(face.amin(1).sort().values[5]) < -1.0
    assert float((skins.relief != 0).float().mean((1, 2)).max()) < 0.7  # nothing behind the ears


def test_creases_see_less_of_the_sky():
    """A groove as deep below the mean around it as the rest length sees 1/√2 of the sky, a ridge and a plane all."""
    relief = torch.zeros(2, 64, 64)
    relief[0, :, 32] = -0.35 * 7 / 6  # the mean over seven texels takes a seventh of it
    relief[1, :, 32] = 1.0
    share = open_share(relief)
    torch.testing.assert_close(share[0, 10:54, 32], torch.full((44,), 0.5**0.5))
    assert bool((share[1, :, 32] == 1).all()) and bool((share[:, :, :20] == 1).all())
    assert float(share.min()) > 0 and float(share.max()) == 1


def test_children_have_no_lines(assets):
    people = draw_people(assets, rngs(0, 24))
    young = type(people)(
        *(people.model, people.verts, people.neutral, people.identity),
        torch.zeros_like(people.expression),
        torch.full_like(people.source, CHILD),
    )
    assert float(draw_skins(assets, rngs(0, 24), young).relief[:, 60:400, 60:452].std(dim=(1, 2)).max()) < 0.04


def test_lines_follow_the_side_that_makes_them(assets):
    """A one-sided smile deepens the fold of its own side."""
    people = draw_people(assets, rngs(0, 12))
    names = people.model.expression_names

    def smiling(*actions):
        expression = torch.zeros_like(people.expression)
        expression[:, [names.index(action) for action in actions]] = 1.0
        at = type(people)(people.model, people.verts, people.neutral, people.identity, expression, people.source)
        return draw_skins(assets, rngs(0, 12), at).relief[:, 190:330]

    none, left = smiling(), smiling("mouthSmileLeft", "mouthUpperUpLeft")
    change = (left - none).abs().mean((0, 1))
    canvas_left = make_canvas(people.model, 512).position[260, 400, 0] > 0  # on which half of the chart +x lies
    halves = change[256:].sum(), change[:256].sum()
    own, other = halves if bool(canvas_left) else halves[::-1]
    assert float(own) > 4 * float(other)


def test_expressions_deepen_wrinkles(assets):
    people = draw_people(assets, rngs(0, 12))
    names = people.model.expression_names
    raised = torch.zeros_like(people.expression)
    raised[:, [names.index(name) for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]] = 1.0

    def depth(expression):
        at = type(people)(people.model, people.verts, people.neutral, people.identity, expression, people.source)
        return draw_skins(assets, rngs(0, 12), at).relief[:, 40:120, 180:332].std(dim=(1, 2)).mean()

    assert float(depth(raised)) > 1.3 * float(depth(torch.zeros_like(raised)))


def test_eyes_have_a_dark_pupil_in_a_bright_sclera(skins, canvas):
    eye = canvas.part == EYE
    low = canvas.above_eye < 0.5  # the lid shades what lies above
    pupil, sclera = eye & (canvas.iris < 0.15), eye & low & (canvas.iris > 1.2) & (canvas.iris < 1.8)
    assert bool(pupil.any()) and bool(sclera.any())
    dark, bright = skins.albedo[:, pupil].mean((1, 2)), skins.albedo[:, sclera].mean((1, 2))
    assert bool((dark < 0.1 * bright).all())


def test_brows_are_mostly_darker_than_the_skin_round_them(skins, canvas):
    skin = canvas.part == SKIN
    brow = skin & (canvas.brow_across.add(2.0).abs() < 1.5) & (canvas.brow_along > 0.2) & (canvas.brow_along < 0.7)
    above = skin & (canvas.brow_across.sub(9.0).abs() < 1.5) & (canvas.brow_along > 0.2) & (canvas.brow_along < 0.7)
    contrast = skins.albedo[:, brow].log().mean((1, 2)) - skins.albedo[:, above].log().mean((1, 2))
    assert float((contrast < -0.1).float().mean()) > 0.6
    assert float(contrast.std()) > 0.15  # but of every strength


def test_make_up_stays_where_it_is_worn(skins, canvas):
    """No paint of brows, lids or lips on the middle of the cheek: its colour stays near the locus of skin."""
    cheek = (canvas.cheeks > 0.7) & (canvas.part == SKIN) & (canvas.beard_line < -15)
    srgb = linear_to_srgb(skins.albedo[:, cheek].mean(1))
    assert bool((srgb[:, 0] > srgb[:, 1] - 0.02).all())


def test_canvas_is_symmetric_and_whole(canvas):
    for name in ("brow_along", "lips", "eye", "scalp", "cheeks"):
        values = getattr(canvas, name)
        on_both = (canvas.part != OUTSIDE) & (canvas.part.flip(1) == canvas.part)
        difference = (values - values.flip(1)).abs()[on_both]
        assert float(difference.median()) < 0.01
    for part in (SKIN, EYE, TEETH):
        assert int((canvas.part == part).sum()) > 100


def test_packed_textures_are_used(assets):
    """Textures given as assets show in the result: two banks give two skins from the same random numbers."""
    generator = torch.Generator().manual_seed(0)
    bank = torch.randint(60, 200, (3, 256, 256, 3), generator=generator, dtype=torch.uint8)
    mouth = torch.full((256, 256, 3), 90, dtype=torch.uint8)
    rough = draw_skins({**assets, "skins.textures": bank, "skins.mouth": mouth}, rngs(0, 3))
    plain = draw_skins(assets, rngs(0, 3))
    assert float((rough.albedo - plain.albedo).abs().mean()) > 0.005
    torch.testing.assert_close(rough.relief, plain.relief)
