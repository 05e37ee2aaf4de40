"""What lies in and on skin: its two pigments, spots, and make-up."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import Canvas, bump, soft
from pyface3d.data.synthetic.draws import Draws

_SPOTS, _SPOT_HALF = 8, 4
_LIPSTICK_SHARE, _SHADOW_SHARE, _LINER_SHARE, _BLUSH_SHARE = 0.24, 0.2, 0.22, 0.15


def column(values: Tensor) -> Tensor:
    """(B,) or (B, C) as maps of one texel, (B, 1, 1) or (B, C, 1, 1)."""
    return values[..., None, None]


def melanin_map(canvas: Canvas, patches: Tensor, mottle: Tensor, speckle: Tensor, draws: Draws) -> Tensor:
    """Melanin above the person's own level (B, T, T): uneven tan, shade round the eyes, freckles, moles.

    Args:
        patches, mottle, speckle: (B, T, T) coarse, middling and fine noise of variance 1.
    """
    amount = column(draws.uniform(0.02, 0.11)) * patches + column(draws.uniform(0.0, 0.05)) * mottle
    ring = bump((canvas.eye - 6.0) / 6.0) * soft(12.0 - canvas.above_eye, 10.0)
    below = bump((canvas.eye - 7.0) / 4.5) * soft(-1.0 - canvas.above_eye, 4.0)
    amount = amount + column(draws.uniform(0.0, 0.22)) * ring + column(draws.uniform(-0.08, 0.28)) * below
    crease = bump((canvas.eye - column(draws.uniform(3.0, 6.5))) / 0.9) * soft(canvas.above_eye, 3.0)
    amount = amount + column(draws.uniform(0.0, 0.5) * draws.chance(0.7)) * crease
    freckled = draws.chance(0.13)
    over = (canvas.cheeks + canvas.nose).clamp_max(1.0) * 0.8 + 0.2
    freckles = (speckle + 0.4 * mottle - column(draws.uniform(1.0, 1.9))).clamp_min(0) * over
    amount = amount + column(draws.uniform(0.15, 0.6) * freckled) * freckles
    return amount + _spots(canvas, draws, 0.35, 1.6)


def blood_map(canvas: Canvas, patches: Tensor, mottle: Tensor, draws: Draws, melanin: Tensor) -> Tensor:
    """Haemoglobin above the person's own level (B, T, T): lips, cheeks, nose, ears, chin, lids, spots."""
    lips = soft(canvas.lips, 2.2)
    zones = torch.stack([canvas.cheeks, canvas.nose, canvas.ears, canvas.chin])
    flushed = 1 + 0.9 * draws.chance(0.15)[:, None]
    weights = flushed * draws.uniform(0.0, 1.0, 4) * canvas.eye.new_tensor([0.24, 0.2, 0.3, 0.12])
    amount = torch.einsum("bz,ztu->btu", weights, zones)
    amount = amount * (1 + 0.4 * mottle) + column(draws.uniform(0.01, 0.06)) * patches
    rim = bump(canvas.eye / 2.0)
    amount = amount + column(draws.uniform(0.0, 0.3)) * rim
    amount = amount + column(draws.uniform(-0.05, 0.5) * (1 - 0.7 * melanin)) * lips
    return amount + _spots(canvas, draws, 0.12, 0.6)


def _spots(canvas: Canvas, draws: Draws, probability: float, most: float) -> Tensor:
    """A few round spots about a millimetre or two wide, anywhere on the front of the face (B, T, T)."""
    size, batch = canvas.eye.shape[0], len(draws)
    strength = draws.uniform(0.3, 1.0, _SPOTS) * most * draws.chance(probability, _SPOTS) * draws.chance(0.5)[:, None]
    radius = draws.uniform(0.5, 1.6, _SPOTS)
    place = draws.uniform(0.2, 0.8, 2, _SPOTS) * size
    reach = torch.arange(-_SPOT_HALF, _SPOT_HALF + 1, device=radius.device)
    rows, columns = (place[:, k].long()[:, :, None] + reach for k in (0, 1))
    distance = (rows - place[:, 0, :, None])[..., None].square() + (columns - place[:, 1, :, None])[:, :, None].square()
    stamp = strength[..., None, None] * bump(distance.sqrt() / radius[..., None, None])
    index = rows[..., None] * size + columns[:, :, None]
    # Added spot by spot: texels where two overlap must sum in one order on every machine.
    spots = torch.zeros(batch, size * size, device=radius.device)
    for k in range(_SPOTS):
        spots.scatter_add_(1, index[:, k].flatten(1), stamp[:, k].flatten(1))
    return spots.reshape(batch, size, size)


def make_up(canvas: Canvas, albedo: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Albedo (B, 3, T, T) with make-up on it, and the lipstick's wetness (B, T, T)."""
    made_up = draws.chance(0.42)
    color = torch.stack([draws.uniform(0.18, 0.75), draws.uniform(0.015, 0.22), draws.uniform(0.02, 0.26)], 1)
    color = torch.where(draws.chance(0.06)[:, None], draws.uniform(0.01, 0.6, 3), color)
    color = color * draws.uniform(0.35, 1.0, 1)
    worn = made_up & draws.chance(_LIPSTICK_SHARE / 0.42)
    lips = column(draws.uniform(0.3, 0.95) * worn) * soft(canvas.lips + column(draws.normal(0.3)), 1.3)
    albedo = torch.lerp(albedo, column(color), lips[:, None])
    above = soft(canvas.above_eye + 1.0, 3.0)
    reach = column(draws.uniform(4.0, 11.0))
    shadow = column(draws.uniform(0.15, 0.8) * (made_up & draws.chance(_SHADOW_SHARE / 0.42)))
    shadow = shadow * above * torch.sigmoid((reach - canvas.eye) * 0.8)
    shadow_color = draws.uniform(0.01, 0.35, 1) * draws.normal(0.35, 3).exp()
    albedo = torch.lerp(albedo, column(shadow_color), shadow[:, None])
    liner = column(draws.uniform(0.3, 1.0) * (made_up & draws.chance(_LINER_SHARE / 0.42)))
    lower = column(draws.uniform(0.0, 0.9) * draws.chance(0.5))
    line = bump(canvas.eye / column(draws.uniform(0.8, 2.0)))
    line = liner * line * (above + lower * (1 - above))
    # Everybody's lashes darken the margin of the upper lid.
    roots = column(draws.uniform(0.1, 0.75)) * bump(canvas.eye / 0.9) * above
    line = torch.maximum(line, roots)
    blush = column(draws.uniform(0.1, 0.5) * (made_up & draws.chance(_BLUSH_SHARE / 0.42))) * canvas.cheeks
    pink = draws.uniform(0.0, 1.0, 1) * albedo.new_tensor([0.1, 0.12, 0.14]) + albedo.new_tensor([0.42, 0.12, 0.11])
    albedo = torch.lerp(albedo, column(pink), (blush * 0.5)[:, None])
    return albedo * (1 - 0.96 * line)[:, None], lips * column(draws.uniform(0.0, 1.0))


def lip_mask(canvas: Canvas) -> Tensor:
    """Soft mask of the lips (T, T)."""
    return soft(canvas.lips, 1.8)
