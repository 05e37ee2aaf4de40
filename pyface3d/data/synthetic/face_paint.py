"""What lies in and on skin: its two pigments, spots, and make-up."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import Bands, Canvas, bump, soft
from pyface3d.data.synthetic.draws import Draws

_SPOTS, _SPOT_HALF = 8, 4
#: Shares of all people, and of those made up.
_FRECKLED_SHARE, _MADE_UP_SHARE = 0.13, 0.42
_LIPSTICK_SHARE, _SHADOW_SHARE, _LINER_SHARE, _BLUSH_SHARE = 0.58, 0.48, 0.52, 0.36


def column(values: Tensor) -> Tensor:
    """(B,) or (B, C) as maps of one texel, (B, 1, 1) or (B, C, 1, 1)."""
    return values[..., None, None]


def melanin_map(bands: Bands, patches: Tensor, mottle: Tensor, speckle: Tensor, draws: Draws) -> Tensor:
    """Melanin above the person's own level (B, rows, T): uneven tan, shade round the eyes, freckles, moles.

    Args:
        patches, mottle, speckle: (B, rows, T) coarse, middling and fine noise of variance 1, over all rows of skin.
    """
    amount = column(draws.uniform(0.02, 0.11)) * patches + column(draws.uniform(0.0, 0.05)) * mottle
    eyes = bands.eyes.canvas
    ring = bump((eyes.eye - 6.0) / 6.0) * soft(12.0 - eyes.above_eye, 10.0)
    below = bump((eyes.eye - 7.0) / 4.5) * soft(-1.0 - eyes.above_eye, 4.0)
    crease = bump((eyes.eye - column(draws.uniform(3.0, 6.5))) / 0.9) * soft(eyes.above_eye, 3.0)
    round_eyes = column(draws.uniform(0.0, 0.4)) * ring + column(draws.uniform(-0.08, 0.35)) * below
    amount[:, bands.eyes.rows] += round_eyes + column(draws.uniform(0.0, 0.5) * draws.chance(0.7)) * crease
    strength, threshold = draws.uniform(0.15, 0.6), draws.uniform(1.0, 1.9)
    freckled = draws.chance(_FRECKLED_SHARE).nonzero()[:, 0]
    if len(freckled):
        rows = bands.cheeks.rows
        over = (bands.cheeks.canvas.cheeks + bands.cheeks.canvas.nose).clamp_max(1.0)
        dots = speckle[freckled, rows] + 0.4 * mottle[freckled, rows] - column(threshold[freckled])
        amount[freckled, rows] += column(strength[freckled]) * dots.clamp_min(0) * over
    return _with_spots(amount, draws, 0.35, 1.6)


def blood_map(bands: Bands, patches: Tensor, mottle: Tensor, draws: Draws, melanin: Tensor) -> Tensor:
    """Haemoglobin above the person's own level (B, rows, T): lips, cheeks, nose, ears, chin, lids, spots."""
    skin, eyes = bands.skin.canvas, bands.eyes.canvas
    flushed = 1 + 0.9 * draws.chance(0.15)[:, None]
    weights = flushed * draws.uniform(0.0, 1.0, 4) * patches.new_tensor([0.24, 0.2, 0.3, 0.12])
    amount = column(draws.uniform(0.01, 0.06)) * patches
    uneven = 1 + 0.4 * mottle
    for weight, zone in zip(weights.unbind(1), (skin.cheeks, skin.nose, skin.ears, skin.chin), strict=True):
        amount += column(weight) * zone * uneven
    amount[:, bands.eyes.rows] += column(draws.uniform(0.0, 0.3)) * bump(eyes.eye / 2.0)
    lips = soft(bands.lips.canvas.lips, 2.2)
    amount[:, bands.lips.rows] += column(draws.uniform(0.05, 0.85) * (1 - 0.55 * melanin)) * lips
    return _with_spots(amount, draws, 0.12, 0.6)


def _with_spots(amount: Tensor, draws: Draws, probability: float, most: float) -> Tensor:
    """``amount`` (B, rows, T) with a few round spots a millimetre or two wide, anywhere on the front of the face."""
    height, width = amount.shape[1:]
    strength = draws.uniform(0.3, 1.0, _SPOTS) * most * draws.chance(probability, _SPOTS) * draws.chance(0.5)[:, None]
    radius = draws.uniform(0.5, 1.6, _SPOTS)
    rows, columns = draws.uniform(0.1, 0.9, _SPOTS) * height, draws.uniform(0.2, 0.8, _SPOTS) * width
    reach = torch.arange(-_SPOT_HALF, _SPOT_HALF + 1, device=radius.device)
    near_rows, near_columns = rows.long()[..., None] + reach, columns.long()[..., None] + reach
    squares = (near_rows - rows[..., None])[..., None].square() + (near_columns - columns[..., None])[
        :, :, None
    ].square()
    stamp = strength[..., None, None] * bump(squares.sqrt() / radius[..., None, None])
    index = near_rows[..., None] * width + near_columns[:, :, None]
    flat = amount.flatten(1)
    for spot in range(_SPOTS):  # one by one: where two overlap they must add up in the same order everywhere
        flat.scatter_add_(1, index[:, spot].flatten(1), stamp[:, spot].flatten(1))
    return flat.reshape(amount.shape)


def make_up(bands: Bands, albedo: Tensor, draws: Draws) -> Tensor:
    """Put make-up on ``albedo`` (B, 3, rows, T), in place.

    Returns:
        How wet the lips are, (B, rows of the lips, T).
    """
    made_up = draws.chance(_MADE_UP_SHARE)
    eyes, lips = bands.eyes, bands.lips
    above = soft(eyes.canvas.above_eye + 1.0, 3.0)

    color = torch.stack([draws.uniform(0.18, 0.75), draws.uniform(0.015, 0.22), draws.uniform(0.02, 0.26)], 1)
    color = torch.where(draws.chance(0.06)[:, None], draws.uniform(0.01, 0.6, 3), color) * draws.uniform(0.35, 1.0, 1)
    worn = draws.uniform(0.3, 0.95) * (made_up & draws.chance(_LIPSTICK_SHARE))
    cover = column(worn) * soft(lips.canvas.lips + column(draws.normal(0.3)), 1.3)
    _lay(albedo, lips.rows, color, cover, worn)

    worn = draws.uniform(0.15, 0.8) * (made_up & draws.chance(_SHADOW_SHARE))
    shadow = column(worn) * above * torch.sigmoid((column(draws.uniform(4.0, 11.0)) - eyes.canvas.eye) * 0.8)
    _lay(albedo, eyes.rows, draws.uniform(0.01, 0.35, 1) * draws.normal(0.35, 3).exp(), shadow, worn)

    worn = draws.uniform(0.05, 0.25) * (made_up & draws.chance(_BLUSH_SHARE))
    pink = draws.random(1) * albedo.new_tensor([0.1, 0.12, 0.14]) + albedo.new_tensor([0.42, 0.12, 0.11])
    _lay(albedo, bands.cheeks.rows, pink, column(worn) * bands.cheeks.canvas.cheeks, worn)

    liner = column(draws.uniform(0.3, 1.0) * (made_up & draws.chance(_LINER_SHARE)))
    lower = column(draws.uniform(0.0, 0.9) * draws.chance(0.5))
    line = liner * bump(eyes.canvas.eye / column(draws.uniform(0.8, 2.0))) * (above + lower * (1 - above))
    # Everybody's lashes darken the margin of the upper lid.
    line = torch.maximum(line, column(draws.uniform(0.3, 0.95)) * (bump(eyes.canvas.eye / 1.1) * above))
    albedo[:, :, eyes.rows] *= (1 - 0.96 * line)[:, None]
    return cover * column(draws.random())


def _lay(albedo: Tensor, rows: slice, color: Tensor, cover: Tensor, worn: Tensor) -> None:
    """Lay ``color`` (B, 3) with ``cover`` (B, rows, T) over the samples that wear it."""
    some = (worn > 0).nonzero()[:, 0]
    if len(some):
        albedo[some, :, rows] = torch.lerp(albedo[some, :, rows], column(color[some]), cover[some, None])


def lip_mask(canvas: Canvas) -> Tensor:
    """Soft mask of the lips (T, T)."""
    return soft(canvas.lips, 1.8)
