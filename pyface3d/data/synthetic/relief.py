"""Relief of skin: wrinkles, folds and pores as heights in millimetres."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import Bands, Canvas, bump, soft
from pyface3d.data.synthetic.draws import Draws

#: Actions of the face that deepen each family of wrinkles.
FOREHEAD_ACTIONS = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
FROWN_ACTIONS = ("browDownLeft", "browDownRight", "noseSneerLeft", "noseSneerRight")
SMILE_ACTIONS = ("mouthSmileLeft", "mouthSmileRight", "mouthUpperUpLeft", "mouthUpperUpRight")
SQUINT_ACTIONS = ("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight", *SMILE_ACTIONS[:2])
_SMOOTH_SHARE = 0.2


def action_strength(expression: Tensor, names: Sequence[str], actions: Sequence[str]) -> Tensor:
    """Mean strength (B,) of some of the ARKit actions in ``expression`` (B, 52)."""
    return expression[:, [names.index(action) for action in actions]].mean(1)


def draw_relief(
    bands: Bands, bend: Tensor, pores: Tensor, draws: Draws, raised: Tensor, frown: Tensor, smile: Tensor,
    squint: Tensor,
) -> Tensor:  # fmt: skip
    """Heights (B, rows of skin, T) in mm.

    Args:
        bend: (B, rows, T) smooth noise of variance 1: wrinkles do not run straight.
        pores: (B, rows, T) fine noise of variance 1.
        raised, frown, smile, squint: (B,) how strongly the face makes the wrinkles of the forehead, between the
            brows, beside the mouth, beside the eyes.
    """
    smooth = draws.chance(_SMOOTH_SHARE)
    age = torch.where(smooth, torch.zeros_like(raised), draws.random()) ** 1.5

    def depth(most: float, action: Tensor) -> Tensor:
        own = draws.uniform(0.2, 1.0)
        return (most * (own * age + (0.25 + 0.75 * age) * action.clamp(0, 1))).reshape(-1, 1, 1)

    relief = pores * draws.uniform(0.005, 0.05).reshape(-1, 1, 1)
    for band, deep, shape in (
        (bands.forehead, -depth(0.45, raised), _forehead),
        (bands.forehead, -depth(0.5, frown), _frown),
        (bands.eyes, -depth(0.45, squint), _crows_feet),
        (bands.folds, depth(1.3, smile), _folds),
        (bands.eyes, depth(0.7, squint), _bags),
    ):
        relief[:, band.rows] += deep * shape(band.canvas, bend[:, band.rows], draws)
    return relief * bands.skin.canvas.skin


def _groove(phase: Tensor, sharpness: Tensor) -> Tensor:
    """Periodic narrow grooves, 1 at whole numbers of ``phase``."""
    return (sharpness * (torch.cos(phase * (2 * math.pi)) - 1)).exp()


def _column(draws: Draws, low: float, high: float) -> Tensor:
    return draws.uniform(low, high).reshape(-1, 1, 1)


def _forehead(canvas: Canvas, bend: Tensor, draws: Draws) -> Tensor:
    """Lines across the forehead, following the brows at its sides."""
    x, y = canvas.position[..., 0], canvas.position[..., 1]
    height = y + _column(draws, -0.003, 0.006) * x.square() + _column(draws, 0.5, 2.0) * bend
    phase = height / _column(draws, 7.0, 12.0) + _column(draws, 0.0, 1.0)
    middle, width = _column(draws, -12.0, 12.0), _column(draws, 22.0, 50.0)
    return _groove(phase, _column(draws, 2.0, 6.0)) * canvas.forehead * bump((x - middle) / width)


def _frown(canvas: Canvas, bend: Tensor, draws: Draws) -> Tensor:
    """Upright lines between the brows."""
    x, y = canvas.position[..., 0], canvas.position[..., 1]
    where = soft(13.0 - x.abs(), 5.0) * soft(y - 8.0, 8.0) * soft(34.0 - y, 10.0)
    place = x + _column(draws, -1.5, 1.5) + 0.6 * bend
    off = place.abs() - _column(draws, 3.0, 7.5)
    return bump(off / _column(draws, 0.8, 1.5)) * where


def _crows_feet(canvas: Canvas, bend: Tensor, draws: Draws) -> Tensor:
    """Lines that spread from the outer corner of the eye."""
    distance, angle = canvas.eye_corner
    where = soft(distance - 4.0, 5.0) * soft(26.0 - distance, 12.0) * soft(1.0 - angle.abs(), 0.6)
    phase = angle * _column(draws, 1.6, 3.0) + _column(draws, 0.0, 1.0) + 0.12 * bend
    return _groove(phase, _column(draws, 1.5, 4.0)) * where


def _folds(canvas: Canvas, bend: Tensor, draws: Draws) -> Tensor:
    """A step along the fold from the nose to the mouth: the cheek stands out over the lip."""
    where = soft(canvas.fold_along + 0.02, 0.15) * soft(_column(draws, 0.55, 1.1) - canvas.fold_along, 0.4)
    off = canvas.fold + _column(draws, -1.5, 1.5) + 0.7 * bend
    width = _column(draws, 1.5, 3.5)
    bulge = bump((off - 4.0) / 5.0)
    return (0.7 * bulge - bump(off / width)) * where


def _bags(canvas: Canvas, bend: Tensor, draws: Draws) -> Tensor:
    """A soft pad under the eye, ended by a groove."""
    below = soft(-2.0 - canvas.above_eye, 4.0)
    edge = _column(draws, 6.0, 11.0) + 0.4 * bend
    pad = bump((canvas.eye - 0.55 * edge) / 3.0)
    return (pad - bump((canvas.eye - edge) / 1.6)) * below
