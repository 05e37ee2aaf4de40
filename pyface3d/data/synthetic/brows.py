"""Eyebrows, beards and other hair too short to be a mesh: how much of the skin it covers."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import BROW_LENGTH_MM, Band, Canvas, soft
from pyface3d.data.synthetic.draws import Draws

_BARE_SHARE = 0.04
_BARE = 0.15  # hair that covers less of the skin is not seen
_SHORN = 0.3  # hair that covers less of the scalp looks bald
_STROKE_ROWS, _STROKES = 48, 96
#: No beard, stubble (shaved yesterday to last week), and short painted beards.
_BEARD_WEIGHTS = (0.66, 0.20, 0.14)
#: Shapes of beards: all, round the mouth, moustache, along the jaw, chin.
_SHAPE_WEIGHTS = (0.45, 0.2, 0.15, 0.12, 0.08)


def brow_cover(canvas: Canvas, draws: Draws) -> tuple[Tensor, Tensor]:
    """Cover of brow hair (B, rows, T) in [0, 1]: a band of leaning strokes, thinner towards its tail.

    Also where an annotator would mark it, bool: between the strokes too, nowhere if hardly anything is there.

    iBUG's points run along the middle of a brow, a little above it, and the spread of the hairs' height and arch
    about them stays small: else the points' labels would be wrong.
    """
    size = (len(draws), 1, 1)
    along, across = canvas.brow_along, canvas.brow_across
    bare = draws.chance(_BARE_SHARE)
    density = torch.where(bare, draws.uniform(0.0, 0.15), draws.uniform(0.3, 1.3).clamp_max(1.0) ** 0.5)
    thickness = 4.5 * draws.normal(0.28).exp()
    arch, shift = draws.normal(0.7).reshape(size), draws.normal(0.6).reshape(size)
    start, end = draws.normal(0.05).reshape(size) - 0.03, 1.0 + draws.normal(0.06).reshape(size)
    taper, lean = draws.uniform(0.15, 0.7).reshape(size), draws.normal(0.2).reshape(size)
    roughness, edge = draws.uniform(0.05, 0.45).reshape(size), draws.uniform(1.4, 4.2).reshape(size)
    half = thickness.reshape(size) * (1 - taper * along.clamp(0, 1) ** 1.5)
    middle = shift + arch * (1 - ((along - 0.65) / 0.45).square()).clamp(-1, 1) - 0.15 * half
    off = (across - middle).abs() - half
    ends = torch.minimum(along - start, end - along) * BROW_LENGTH_MM
    body = torch.sigmoid(off * (-4.4 / edge)) * torch.sigmoid(ends * (4.4 / 8.0))
    slope = torch.lerp(along.new_tensor(1.1), along.new_tensor(-0.2), along.clamp(0, 1)) + lean
    hair = (along * BROW_LENGTH_MM - slope * across).clamp(-15, 68) + 15
    # The two brows of a person are not mirror images hair by hair.
    other = torch.where(canvas.position[..., 0] > 0, 0.0, _STROKE_ROWS / 2)
    row = (across + 11).clamp(0, _STROKE_ROWS / 2 - 1) + other
    index = row.round().long() * _STROKES + (hair * 1.1).round().long().clamp(0, _STROKES - 1)
    strokes = draws.normal(1.0, _STROKE_ROWS * _STROKES)
    uneven = strokes.gather(1, index.flatten(1)).reshape(index.shape)
    cover = body * (1 + roughness * uneven).clamp(0.2, 1.4)
    return (density.reshape(size) * cover).clamp(0, 1), (body > 0.5) & (density.reshape(size) > _BARE)


def beard_cover(band: Band, speckle: Tensor, draws: Draws, cover: Tensor) -> None:
    """Add beards and stubble to ``cover`` (B, T, T); ``speckle`` (B, T, T) is fine noise of variance 1."""
    kind = draws.choice(_BEARD_WEIGHTS)
    amount = torch.where(kind == 1, draws.uniform(0.05, 0.45), draws.uniform(0.55, 1.0))
    shape = torch.where(kind == 1, torch.zeros_like(kind), draws.choice(_SHAPE_WEIGHTS))
    raise_mm, patchy = draws.normal(5.0), draws.uniform(0.03, 0.35)
    edge = torch.where(kind == 1, draws.uniform(10.0, 22.0), draws.uniform(2.0, 9.0))
    bearded = kind.nonzero()[:, 0]
    if not len(bearded):
        return
    amount, raise_mm, patchy, edge = (x[bearded, None, None] for x in (amount, raise_mm, patchy, edge))
    canvas, grain = band.canvas, speckle[bearded, band.rows]
    area = torch.sigmoid((canvas.beard_line + raise_mm) * (4.4 / edge))
    area = area * _beard_shapes(canvas)[shape[bearded]]
    beard = (amount * area * (1 + patchy * grain)).clamp(0, 1)
    cover[bearded, band.rows] = torch.maximum(cover[bearded, band.rows], beard)


def _beard_shapes(canvas: Canvas) -> Tensor:
    """Masks (5, rows, T) in the order of ``_SHAPE_WEIGHTS``."""
    x, y = canvas.position[..., 0].abs(), canvas.position[..., 1]
    moustache = soft(31.0 - x, 6.0) * soft(y + 71.0, 5.0)
    chin = soft(24.0 - x, 8.0) * soft(-76.0 - y, 4.0)
    round_mouth = soft(37.0 - x, 7.0) * soft(-50.0 - y, 4.0)
    along_jaw = soft(-(y + 88.0 - 0.011 * x.square()), 10.0) * (1 - moustache)
    shapes = torch.stack([torch.ones_like(x), round_mouth, moustache, along_jaw, chin])
    return shapes * (canvas.beard_floor * soft(-1.5 - canvas.lips, 2.0))


def scalp_cover(canvas: Canvas, speckle: Tensor, draws: Draws, surely_bald: Tensor) -> tuple[Tensor, Tensor]:
    """Cover of short hair on the scalp (B, rows, T), which darkens the partings of longer hair; where it is seen.

    Args:
        surely_bald: (B,) bool; of the others 30 % are.
    """
    size = (len(draws), 1, 1)
    bald = draws.chance(0.3) | surely_bald  # of all: most have hair of mesh above
    amount = torch.where(bald, draws.uniform(0.0, 0.25), draws.uniform(0.45, 1.0)).reshape(size)
    back = draws.normal(5.0).clamp_min(-8).reshape(size)
    width, grain = draws.uniform(5.0, 16.0).reshape(size), draws.uniform(0.02, 0.15).reshape(size)
    edge = torch.sigmoid((canvas.scalp - back) * (4.4 / width))
    return (amount * edge * (1 + grain * speckle)).clamp(0, 1), amount * edge > _SHORN
