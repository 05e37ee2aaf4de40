"""Skins: albedo, relief and gloss of B people in the chart of ``head``.

One skin is two of the packed textures mixed, freed from their own tone and given one drawn over the whole range of
human skins, with more or less of its two pigments from place to place, hair too short to be a mesh, make-up, eyes
and teeth. Relief comes from its own random numbers: pictures must not teach that dark lines are always wrinkles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from pyface3d.data.synthetic.assets import model_of
from pyface3d.data.synthetic.brows import beard_cover, brow_cover, scalp_cover
from pyface3d.data.synthetic.canvas import (
    EYE,
    LASHES,
    MOUTH,
    SKIN,
    TEETH,
    TEXTURE_SIZE,
    TONGUE,
    make_bands,
    make_canvas,
    soft,
)
from pyface3d.data.synthetic.chart_classes import chart_classes
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.eyes import paint_eyes
from pyface3d.data.synthetic.face_paint import blood_map, column, lip_mask, make_up, melanin_map
from pyface3d.data.synthetic.hard_cases import Case
from pyface3d.data.synthetic.noise_bank import NoiseBank, make_noise_bank
from pyface3d.data.synthetic.old_eyes import draw_old_eyes
from pyface3d.data.synthetic.old_eyes import formed as formed_eyes
from pyface3d.data.synthetic.old_eyes import painted as painted_eyes
from pyface3d.data.synthetic.people import CHILD
from pyface3d.data.synthetic.relief import Ground, action_strength, draw_relief, make_ground
from pyface3d.data.synthetic.skin_tones import HAEMOGLOBIN_LOG, MELANIN_LOG, draw_hair, lab_to_linear, skin_lab
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import interpolate, rasterize_uvs
from pyface3d.part_labels import FacePart

if TYPE_CHECKING:
    import numpy as np

    from pyface3d.data.synthetic.canvas import Bands
    from pyface3d.data.synthetic.people import People
    from pyface3d.face_models.linear import LinearFaceModel

_DARKEST_DETAIL, _LIGHTEST_DETAIL = -1.4, 0.7
_MADE_UP_SKINS = 6
_AT_ONCE = {"cpu": 8, "cuda": 64}  # samples painted together: as many as stay in the cache


@dataclass(frozen=True, eq=False)
class Skins:
    """B people's surfaces in the chart of ``head``, T = 256.

    Attributes:
        albedo: (B, T, T, 3) linear RGB.
        relief: (B, 2 T, 2 T) mm outwards.
        gloss: (B, T, T, 2) strength of the shine (1: plain dielectric) and roughness in (0, 1].
        hair: (B, 3) linear RGB of the person's hair.
        tone: (B, 3) linear RGB of the person's skin on average.
        segments: `FacePart` of every texel, (B, T, T) uint8.
    """

    albedo: Tensor
    relief: Tensor
    gloss: Tensor
    hair: Tensor
    tone: Tensor
    segments: Tensor

    def __len__(self) -> int:
        return len(self.albedo)


@dataclass(frozen=True, eq=False)
class _Studio:
    """What painting needs beyond random numbers.

    Attributes:
        detail: (N, 3, rows, T) logarithm of a skin's albedo over its own mean, in the rows that hold skin.
        iris, iris_around, above_eye: of the canvas at ``eye_texels`` (Ne,).
        mouth: (3, Nm) linear RGB of teeth, gums, tongue and mouth at ``mouth_texels`` (Nm,).
        names: of the actions in ``People.expression``.
        segments: `FacePart` of every texel without hair, (T, T) uint8.
    """

    bands: Bands
    ground: Ground
    noise: NoiseBank
    detail: Tensor
    mouth: Tensor
    mouth_texels: Tensor
    teeth: Tensor
    iris: Tensor
    iris_around: Tensor
    above_eye: Tensor
    eye_texels: Tensor
    lash_texels: Tensor
    names: tuple[str, ...]
    segments: Tensor


_STUDIOS: WeakIdKeyDictionary = WeakIdKeyDictionary()


def draw_skins(
    assets: Mapping[str, Tensor],
    rngs: Sequence[np.random.Generator],
    people: People | None = None,
    device: torch.device | str = "cpu",
    cases: Sequence[Case] | None = None,
) -> Skins:
    """Draw the skins of B people, one generator each.

    Args:
        assets: ``people.*`` and, for real textures, ``skins.textures`` (N, T, T, 3) and ``skins.mouth`` (T, T, 3),
            uint8 sRGB in the chart; without them skins are noise.
        people: B people whose expressions deepen their wrinkles; None: faces at rest.
        cases: what is to be hard about each; None: nothing.
    """
    device = torch.device(device)
    studio = _studio(assets, device)
    step = _AT_ONCE.get(device.type, 64)
    wanted = torch.tensor([Case.NONE] * len(rngs) if cases is None else list(cases), dtype=torch.int64, device=device)
    parts = []
    for start in range(0, len(rngs), step):
        some = slice(start, start + step)
        count = len(rngs[some])
        expression, young = torch.zeros(count, len(studio.names)), torch.zeros(count, dtype=torch.bool)
        if people is not None:
            expression, young = people.expression[some], people.source[some] == CHILD
        strength = partial(action_strength, expression.to(device), studio.names)
        draws = Draws(rngs[some], device)
        painted = _paint(studio, draws, strength, young.to(device), wanted[some] == Case.BALD)
        _age_eyes(studio, draws, (wanted[some] == Case.OLD_EYES).nonzero()[:, 0], painted)
        _polish_heads(studio, draws, (wanted[some] == Case.BALD).nonzero()[:, 0], painted)
        parts.append(painted)
    return Skins(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _age_eyes(studio: _Studio, draws: Draws, chosen: Tensor, skins: Skins) -> None:
    """Make the eyes of some of the samples old, in place."""
    if not len(chosen):
        return
    old = draw_old_eyes(draws.of(chosen))
    band, patch = studio.bands.eyes, studio.ground.patches["eyes"]
    skins.albedo[chosen, band.rows] *= painted_eyes(band.canvas, old).permute(0, 2, 3, 1)
    inside = patch.within(studio.ground.patches["skin"], studio.ground.inside)
    skins.relief[chosen, patch.rows, patch.columns] += formed_eyes(patch.canvas, old) * inside


def _polish_heads(studio: _Studio, draws: Draws, chosen: Tensor, skins: Skins) -> None:
    """Make the scalps of some of the samples shine, in place: from no more than the face to a billiard ball."""
    if not len(chosen):
        return
    own, skin = draws.of(chosen), studio.bands.skin
    scalp = soft(skin.canvas.scalp + 8.0, 20.0) * skin.canvas.skin
    shine = own.random() ** 2
    gloss = skins.gloss[chosen, skin.rows]
    gloss[..., 0] += 2.5 * column(shine) * scalp
    gloss[..., 1] = (gloss[..., 1] - 0.25 * column(shine) * scalp).clamp_min(0.12)
    skins.gloss[chosen, skin.rows] = gloss


def _paint(
    studio: _Studio, draws: Draws, strength: Callable[[Sequence[str]], Tensor], young: Tensor, bald: Tensor
) -> Skins:
    bands, skin = studio.bands, studio.bands.skin
    batch, size = len(draws), skin.canvas.eye.shape
    patches, mottle, speckle, strands = (studio.noise.draw(draws, scale, *size) for scale in (0, 1, 2, 2))
    melanin = draws.random()
    tone = lab_to_linear(skin_lab(melanin, draws.normal(1.0), draws.normal(1.0)))
    hair = draw_hair(draws, melanin)
    skin_hair = hair * draws.uniform(0.25, 0.8)[:, None]  # brows and beards are mostly darker than the hair

    first, second = draws.integer(len(studio.detail)), draws.integer(len(studio.detail))
    share, contrast = draws.random(), draws.uniform(0.35, 1.15)
    log = studio.detail[first].mul_(column((share * contrast)[:, None]))
    log += studio.detail[second].mul_(column(((1 - share) * contrast)[:, None]))
    log += column(tone.log())
    brown = melanin_map(bands, patches, mottle, speckle, draws)
    blood = blood_map(bands, patches, mottle, draws, melanin)
    for channel in range(3):
        log[:, channel].add_(brown, alpha=MELANIN_LOG[channel]).add_(blood, alpha=HAEMOGLOBIN_LOG[channel])
    painted = log.exp_()
    wet_lips = make_up(bands, painted, draws)

    cover, shorn = scalp_cover(skin.canvas, speckle, draws, bald)
    beard_cover(bands.beard, strands, draws, cover)
    rows = bands.brows.rows
    brows, is_brow = brow_cover(bands.brows.canvas, draws)
    cover[:, rows] = torch.maximum(cover[:, rows], brows)
    segments = _with_hair(studio, shorn, is_brow)
    cover *= skin.canvas.skin
    painted = torch.lerp(painted, column(skin_hair), cover[:, None]).clamp_(0.002, 1.0)
    albedo = painted.new_zeros(batch, TEXTURE_SIZE * TEXTURE_SIZE, 3)
    albedo.unflatten(1, (TEXTURE_SIZE, -1))[:, skin.rows] = painted.permute(0, 2, 3, 1)
    eyes = paint_eyes(studio.iris, studio.iris_around, studio.above_eye, draws, melanin)
    albedo[:, studio.eye_texels] = eyes.mT
    albedo[:, studio.lash_texels] = _lash_color(draws, skin_hair, tone)[:, None]
    albedo[:, studio.mouth_texels] = _mouth_colors(studio, draws).mT

    gloss = albedo.new_full((batch, TEXTURE_SIZE * TEXTURE_SIZE, 2), 1.0)
    gloss.unflatten(1, (TEXTURE_SIZE, -1))[:, skin.rows] = _gloss(bands, draws, cover, wet_lips)
    gloss[:, studio.eye_texels] = gloss.new_tensor([0.5, 0.1])
    gloss[:, studio.mouth_texels] = gloss.new_tensor([1.0, 0.25])
    relief = draw_relief(studio.ground, studio.noise, draws, strength, young)
    return Skins(
        albedo.unflatten(1, (TEXTURE_SIZE, -1)), relief, gloss.unflatten(1, (TEXTURE_SIZE, -1)), hair, tone, segments
    )


def _with_hair(studio: _Studio, shorn: Tensor, brows: Tensor) -> Tensor:
    """Classes of every texel (B, T, T), hair painted on the skin included: masks (B, rows, T) in their bands."""
    found = studio.segments.repeat(len(shorn), 1, 1)
    for rows, where, part in (
        (studio.bands.skin.rows, shorn, FacePart.HAIR),
        (studio.bands.brows.rows, brows, FacePart.BROW),
    ):
        some = found[:, rows]
        some[where & (some == FacePart.SKIN)] = part
    return found


def _lash_color(draws: Draws, hair: Tensor, tone: Tensor) -> Tensor:
    """Lashes from none to be seen (the colour of skin) to black with mascara, (B, 3)."""
    mascara = draws.chance(0.3)[:, None]
    seen = draws.uniform(0.35, 1.0, 1)
    own = torch.lerp(tone, torch.minimum(hair, 0.3 * tone), seen)
    return torch.where(mascara, torch.full_like(tone, 0.006), own)


def _mouth_colors(studio: _Studio, draws: Draws) -> Tensor:
    """Teeth brighter or darker and yellower, gums and tongue paler or redder, (B, 3, Nm)."""
    yellow = draws.normal(0.12).abs()[:, None] * studio.mouth.new_tensor([0.25, 0.6, 1.6])
    teeth = ((draws.normal(0.16) + 0.12)[:, None] - yellow).exp()
    gums = (draws.normal(0.2, 1) + draws.normal(0.08, 3)).exp()
    factor = torch.where(studio.teeth, teeth[..., None], gums[..., None])
    return studio.mouth * factor


def _gloss(bands: Bands, draws: Draws, cover: Tensor, wet_lips: Tensor) -> Tensor:
    """Strength and roughness, (B, rows, T, 2): oilier on nose and forehead, wetter on lips, dull in hair."""
    oil, zone, rough = draws.uniform(0.25, 1.3), draws.uniform(0.0, 0.7), draws.uniform(0.34, 0.62)
    oily = draws.chance(0.12)
    oil, rough = torch.where(oily, oil + 0.6, oil), torch.where(oily, rough - 0.08, rough)
    shiny = (bands.skin.canvas.nose + 0.7 * bands.skin.canvas.forehead).clamp_max(1.0)
    lips, rows = lip_mask(bands.lips.canvas), bands.lips.rows
    strength = column(oil) * (1 + column(zone) * shiny) * (1 - 0.6 * cover)
    strength[:, rows] += lips * column(draws.uniform(0.0, 0.7)) + 1.2 * wet_lips
    roughness = column(rough) * (1 - 0.12 * shiny)
    roughness[:, rows] -= 0.12 * lips + 0.1 * wet_lips
    return torch.stack([strength, roughness.clamp_(0.15, 1.0)], -1)


def _studio(assets: Mapping[str, Tensor], device: torch.device) -> _Studio:
    by_device = _STUDIOS.setdefault(assets["people.template"], {})
    key = str(device), "skins.textures" in assets
    if key not in by_device:
        by_device[key] = _furnished(assets, device)
    return by_device[key]


def _region(model: LinearFaceModel, name: str) -> Tensor:
    """Texels of one of the model's regions, (T, T) bool."""
    fragments = rasterize_uvs(model.topology, TEXTURE_SIZE, TEXTURE_SIZE)
    share = interpolate(model.regions[name][None, :, None].float(), fragments, model.topology)
    return (share[0, ..., 0] > 0.5) & fragments.mask[0]


def _furnished(assets: Mapping[str, Tensor], device: torch.device) -> _Studio:
    model = model_of(assets)
    canvas = make_canvas(model)
    bands = make_bands(canvas)
    eye_texels = canvas.texels(EYE)
    noise = make_noise_bank()
    mouth_texels = canvas.texels(TEETH, TONGUE, MOUTH)
    if "skins.textures" in assets:
        linear = srgb_to_linear(assets["skins.textures"].cpu()).clamp_min(0.004).permute(0, 3, 1, 2)
        face = (canvas.part == SKIN) & (canvas.scalp < -5)
        detail = linear.log() - linear.log()[:, :, face].mean(2)[..., None, None]
        detail = detail[:, :, bands.skin.rows]
        mouth = srgb_to_linear(assets["skins.mouth"].cpu()).reshape(-1, 3)[mouth_texels].T
    else:
        windows = noise.windows(_MADE_UP_SKINS, *bands.skin.canvas.eye.shape)
        detail = windows[:, None] * torch.tensor([0.04, 0.06, 0.08])[:, None, None]
        part = canvas.part.flatten()[mouth_texels]
        mouth = torch.where(
            part == TEETH, torch.tensor([[0.58], [0.52], [0.43]]), torch.tensor([[0.35], [0.11], [0.10]])
        )
    return _Studio(
        bands=bands.to(device),
        ground=make_ground(model, device),
        noise=noise.to(device),
        detail=detail.clamp(_DARKEST_DETAIL, _LIGHTEST_DETAIL).contiguous().to(device),
        mouth=mouth.to(device),
        mouth_texels=mouth_texels.to(device),
        teeth=(canvas.part.flatten()[mouth_texels] == TEETH).to(device),
        iris=canvas.iris.flatten()[eye_texels].to(device),
        iris_around=canvas.iris_around.flatten()[eye_texels].to(device),
        above_eye=canvas.above_eye.flatten()[eye_texels].to(device),
        eye_texels=eye_texels.to(device),
        lash_texels=canvas.texels(LASHES).to(device),
        names=model.expression_names,
        segments=chart_classes(canvas, *(_region(model, name) for name in ("ears", "nose"))).to(device),
    )
