"""Skins: albedo, relief and gloss of B people in the chart of ``head``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic import face_paint
from pyface3d.data.synthetic.canvas import EYE, LASHES, MOUTH, SKIN, TEETH, TONGUE, Canvas, make_canvas, soft
from pyface3d.data.synthetic.skin_tones import (
    HAEMOGLOBIN_LOG,
    MELANIN_LOG,
    add_pigment,
    draw_hair_color,
    lab_to_linear,
    skin_lab,
)
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.io.color import srgb_to_linear

NUM_MADE_UP = 12


@dataclass(frozen=True)
class Skins:
    """B people's surfaces in the chart of ``head``, T = 256.

    Attributes:
        albedo: (B, T, T, 3) linear RGB.
        relief: (B, T, T) mm outwards.
        gloss: (B, T, T, 2) strength of the shine (1: plain dielectric) and roughness in (0, 1].
        hair: (B, 3) linear RGB of the person's hair.
        tone: (B, 3) linear RGB, the skin's mean colour.
    """

    albedo: Tensor
    relief: Tensor
    gloss: Tensor
    hair: Tensor
    tone: Tensor


@dataclass(frozen=True)
class _Studio:
    """What drawing needs beyond the generators: the canvas and a bank (N, T, T, 3) of logarithmic skin detail."""

    canvas: Canvas
    detail: Tensor


def draw_skins(
    assets: Mapping[str, Tensor], rngs: Sequence[np.random.Generator], people: object = None,
    device: torch.device | str = "cpu",
) -> Skins:  # fmt: skip
    """Draw the skins of B people, one generator each.

    Args:
        assets: ``skins.textures`` (N, T, T, 3) uint8 sRGB in the chart; absent: from the head's albedo space.
    """
    studio = _studio(assets)
    drawn = [_draw(studio, rng) for rng in rngs]
    return Skins(*(torch.stack(column).to(device) for column in zip(*drawn, strict=True)))


_studios: dict[int, _Studio] = {}


def _studio(assets: Mapping[str, Tensor]) -> _Studio:
    textures = assets.get("skins.textures")
    key = 0 if textures is None else textures.data_ptr()
    if key not in _studios:
        model = load_face_model("head")
        assert isinstance(model, LinearFaceModel)
        canvas = make_canvas(model)
        linear = _from_albedo_space(model) if textures is None else srgb_to_linear(textures.cpu())
        log = linear.clamp_min(0.004).log()
        face = (canvas.part == SKIN) & (canvas.scalp < -5)
        detail = (log - log[:, face].mean(1)[:, None, None]).clamp(-1.6, 0.8)
        _studios[key] = _Studio(canvas, detail)
    return _studios[key]


def _from_albedo_space(model: LinearFaceModel) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    colors = model.albedo(torch.randn(NUM_MADE_UP, model.albedo_dim, generator=generator)).clamp(0.004, 1)
    resized = torch.nn.functional.interpolate(colors.permute(0, 3, 1, 2), (256, 256), mode="area")
    return resized.permute(0, 2, 3, 1)


def _draw(studio: _Studio, rng: np.random.Generator) -> tuple[Tensor, ...]:
    canvas, detail = studio.canvas, studio.detail
    melanin = float(rng.uniform())
    tone = lab_to_linear(skin_lab(np.array([melanin]), *rng.standard_normal((2, 1))))[0]
    hair = draw_hair_color(rng, melanin)
    first, second = rng.integers(len(detail), size=2)
    share = rng.uniform()
    log = torch.from_numpy(np.log(tone).astype(np.float32)) + float(rng.uniform(0.5, 1.1)) * (
        share * detail[first] + (1 - share) * detail[second]
    )
    lips = face_paint.lip_cover(canvas)
    blood = float(rng.uniform(0.0, 0.45) * (1 - 0.6 * melanin)) * lips
    pigment = 0.12 * torch.from_numpy(face_paint.noise(rng, 10, 256))
    log = add_pigment(log[None], blood[None], HAEMOGLOBIN_LOG)
    log = add_pigment(log, pigment[None], MELANIN_LOG)[0]
    albedo = log.exp()
    cover = face_paint.brow_cover(canvas, rng)
    cover = torch.maximum(cover, 0.75 * soft(canvas.scalp, 12.0))
    cover = torch.where(canvas.part == SKIN, cover, (canvas.part == LASHES).float())[..., None]
    hair_rgb = torch.from_numpy(hair.astype(np.float32))
    albedo = albedo * (1 - cover) + hair_rgb * cover
    albedo = torch.where((canvas.part == EYE)[..., None], face_paint.paint_eyes(canvas, rng), albedo)
    teeth = torch.tensor([0.60, 0.54, 0.44]) * float(rng.uniform(0.6, 1.2))
    albedo = torch.where((canvas.part == TEETH)[..., None], teeth, albedo)
    tongue = torch.tensor([0.40, 0.14, 0.13])
    albedo = torch.where(((canvas.part == TONGUE) | (canvas.part == MOUTH))[..., None], tongue, albedo)
    gloss = torch.stack([
        torch.full((256, 256), float(rng.uniform(0.4, 1.6))), torch.full((256, 256), float(rng.uniform(0.3, 0.6)))
    ], dim=-1)  # fmt: skip
    gloss = torch.where((canvas.part == EYE)[..., None], torch.tensor([1.5, 0.12]), gloss)
    relief = 0.05 * torch.from_numpy(face_paint.noise(rng, 80, 256))
    return albedo.clamp(0.002, 1.0), relief, gloss, hair_rgb, torch.from_numpy(tone.astype(np.float32))
