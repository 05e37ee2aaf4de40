"""Shapes of wrinkles, folds and pits on a part of the chart: unit heights, placed on the mean head.

A shape is (B, h, w): about -1 at the bottom of its grooves, up to 1 on what bulges beside them. How deep it is in mm
says `relief`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import Canvas, bump, soft
from pyface3d.data.synthetic.draws import Draws

_LINES = 16  # strengths drawn for the lines of a family, used in turn


@dataclass(frozen=True, eq=False)
class Place:
    """A part of the chart and what varies from person to person there.

    Attributes:
        canvas: cut to the part, (h, w) maps.
        bend, fade: (B, h, w) two smooth noises of variance 1, about 11 mm wide: wrinkles do not run straight, and end.
        mottle: (B, h, w) noise of variance 1, about 3 mm wide.
        left: (h, w) 1 on the subject's left half of the face, 0 on the right, softly.
    """

    canvas: Canvas
    bend: Tensor
    fade: Tensor
    mottle: Tensor
    left: Tensor

    @property
    def x(self) -> Tensor:
        return self.canvas.position[..., 0]

    @property
    def y(self) -> Tensor:
        return self.canvas.position[..., 1]

    @property
    def z(self) -> Tensor:
        return self.canvas.position[..., 2]

    def of(self, index: Tensor) -> Place:
        """Some of the samples only, (n,) int64."""
        return replace(self, bend=self.bend[index], fade=self.fade[index], mottle=self.mottle[index])

    def of_sides(self, values: Tensor) -> Tensor:
        """(B, 2) for left and right → (B, h, w)."""
        left, right = values[:, 0, None, None], values[:, 1, None, None]
        return right + (left - right) * self.left


def column(draws: Draws, low: float, high: float) -> Tensor:
    """One number a sample, (B, 1, 1)."""
    return draws.uniform(low, high).reshape(-1, 1, 1)


def _valley(off: Tensor, width: Tensor | float) -> Tensor:
    """A groove between two low ridges, -1 at ``off`` = 0 (mm)."""
    return 0.25 * bump(off / (2.6 * width)) - 1.25 * bump(off / width)


def _lines(phase: Tensor, sharpness: Tensor, draws: Draws) -> Tensor:
    """Narrow grooves, -1 at most, at whole numbers of ``phase``, each line as deep as it happens to be."""
    strength = draws.uniform(0.2, 1.0, _LINES)
    number = phase.round().long().remainder(_LINES)
    drawn = strength.gather(1, number.flatten(1)).view_as(phase)
    return -(sharpness * (torch.cos(phase * (2 * math.pi)) - 1)).exp() * drawn


def _broken(at: Place, draws: Draws) -> Tensor:
    """Where lines are to be seen at all, (B, h, w)."""
    return soft(at.fade + column(draws, -0.2, 1.6), 1.0)


def forehead(at: Place, draws: Draws) -> Tensor:
    """Lines across the forehead, following the brows or sagging in the middle."""
    height = at.y + column(draws, -0.004, 0.006) * at.x.square() + column(draws, 0.5, 2.4) * at.bend
    phase = height / column(draws, 5.5, 12.0) + column(draws, 0.0, 1.0)
    middle, width = column(draws, -14.0, 14.0), column(draws, 24.0, 60.0)
    where = at.canvas.forehead * bump((at.x - middle) / width) * _broken(at, draws)
    return _lines(phase, column(draws, 2.0, 7.0), draws) * where


def frown(at: Place, draws: Draws) -> Tensor:
    """Two upright lines between the brows, leaning to each other, now and then a third."""
    where = soft(at.y - column(draws, 4.0, 12.0), 8.0) * soft(column(draws, 26.0, 44.0) - at.y, 10.0)
    lean = column(draws, -0.08, 0.1) * (at.y - 16.0)
    place = at.x + column(draws, -1.5, 1.5) + 0.7 * at.bend
    apart, width = column(draws, 3.5, 8.0) - lean, column(draws, 0.8, 1.6)
    shape = _valley(place.abs() - apart, width)
    third = (draws.chance(0.25).float() * draws.uniform(0.4, 1.0)).reshape(-1, 1, 1)
    return (shape + third * _valley(place - column(draws, -1.0, 1.0), width)) * where


def nose_root(at: Place, draws: Draws) -> Tensor:
    """One or two lines across the root of the nose."""
    off = at.y - column(draws, 0.0, 7.0) + 0.012 * at.x.square() + 0.5 * at.bend
    second = draws.uniform(0.0, 0.8).reshape(-1, 1, 1) * _valley(off + column(draws, 4.0, 6.0), 1.1)
    return (_valley(off, column(draws, 0.8, 1.6)) + second) * soft(11.0 - at.x.abs(), 5.0)


def nose_sides(at: Place, draws: Draws) -> Tensor:
    """Slanting lines on the sides of the nose."""
    side = at.x.abs()
    where = soft(side - 4.0, 3.0) * soft(16.0 - side, 4.0) * soft(at.y + 24.0, 6.0) * soft(-3.0 - at.y, 5.0)
    phase = (0.8 * at.y + 0.6 * side + 0.5 * at.bend) / column(draws, 3.0, 4.5) + column(draws, 0.0, 1.0)
    return _lines(phase, column(draws, 1.5, 4.0), draws) * where


def crows_feet(at: Place, draws: Draws) -> Tensor:
    """Lines that spread from the outer corner of the eye, not the same on both sides."""
    distance, angle = at.canvas.eye_corner
    end = at.of_sides(draws.uniform(14.0, 36.0, 2))
    where = soft(distance - 4.0, 5.0) * soft(end - distance, 12.0) * soft(1.15 - angle.abs(), 0.6)
    phase = angle * column(draws, 1.6, 3.6) + at.of_sides(draws.random(2)) + 0.14 * at.bend
    return _lines(phase, column(draws, 1.5, 5.0), draws) * where


def under_eye(at: Place, draws: Draws) -> Tensor:
    """Fine lines along the lower lid and onto the cheek."""
    below = soft(-1.0 - at.canvas.above_eye, 4.0)
    where = below * soft(at.canvas.eye - 2.5, 2.0) * soft(column(draws, 9.0, 22.0) - at.canvas.eye, 7.0)
    off = at.canvas.eye + column(draws, -0.12, 0.12) * at.x.abs() + 0.5 * at.bend
    phase = off / column(draws, 2.2, 4.0) + column(draws, 0.0, 1.0)
    return _lines(phase, column(draws, 1.5, 4.0), draws) * where * _broken(at, draws)


def bags(at: Place, draws: Draws) -> Tensor:
    """A soft pad under the eye, ended by a groove."""
    below = soft(-2.0 - at.canvas.above_eye, 4.0)
    edge = column(draws, 6.0, 12.0) + 0.5 * at.bend
    pad = bump((at.canvas.eye - 0.55 * edge) / 3.2)
    return (0.8 * pad - bump((at.canvas.eye - edge) / column(draws, 1.2, 2.6))) * below


def folds(at: Place, draws: Draws) -> Tensor:
    """A step along the fold from the nose to the mouth: the cheek stands out over the lip."""
    along = at.canvas.fold_along
    where = soft(along + 0.02, 0.15) * soft(column(draws, 0.5, 1.15) - along, 0.4)
    off = at.canvas.fold + column(draws, -1.5, 1.5) + 0.7 * at.bend
    bulge = bump((off - 5.0) / column(draws, 4.0, 8.0))
    return (0.7 * bulge - bump(off / column(draws, 1.1, 3.2))) * where


def cheek_arcs(at: Place, draws: Draws) -> Tensor:
    """Arcs in the cheek outside the fold, as a smile pushes them up in thin skin."""
    along, out = at.canvas.fold_along, at.canvas.fold
    where = soft(out - 5.0, 4.0) * soft(column(draws, 12.0, 32.0) - out, 8.0)
    where = where * soft(along - 0.05, 0.3) * soft(1.45 - along, 0.4) * soft(at.z + 16.0, 8.0)
    phase = (out + 1.2 * at.bend) / column(draws, 4.5, 9.0) + column(draws, 0.0, 1.0)
    return _lines(phase, column(draws, 1.0, 4.0), draws) * where * _broken(at, draws)


def marionette(at: Place, draws: Draws) -> Tensor:
    """The line from the corner of the mouth down to the jaw, and the cheek that sags over it."""
    off = at.x.abs() - 27.5 - column(draws, 0.0, 0.25) * (-74.0 - at.y) + 0.6 * at.bend
    where = soft(-73.0 - at.y, 5.0) * soft(at.y + column(draws, 86.0, 106.0), 10.0) * soft(at.z + 20.0, 8.0)
    return (0.6 * bump((off - 5.0) / 5.0) - bump(off / column(draws, 1.0, 2.4))) * where


def below_lip(at: Place, draws: Draws) -> Tensor:
    """The crease between lower lip and chin."""
    off = at.y + column(draws, 88.0, 93.0) + column(draws, -0.006, 0.012) * at.x.square() + 0.4 * at.bend
    return _valley(off, column(draws, 1.2, 3.2)) * soft(column(draws, 10.0, 22.0) - at.x.abs(), 8.0)


def around_mouth(at: Place, draws: Draws) -> Tensor:
    """Upright lines that run into the lips, above and below."""
    off = -at.canvas.lips
    where = soft(off + 0.5, 1.5) * soft(column(draws, 5.0, 13.0) - off, 5.0) * soft(24.0 - at.x.abs(), 8.0)
    fan = at.x * (1 - 0.012 * off.clamp(0, 20)) + 0.45 * at.bend
    phase = fan / column(draws, 2.6, 5.0) + column(draws, 0.0, 1.0)
    lower = torch.where(at.y < -73.0, column(draws, 0.1, 0.8), 1.0)
    return _lines(phase, column(draws, 1.5, 4.0), draws) * where * lower * _broken(at, draws)


def lip_furrows(at: Place, draws: Draws) -> Tensor:
    """Upright furrows of the red of the lips."""
    phase = (at.x + 0.35 * at.bend) / column(draws, 1.8, 3.0)
    return _lines(phase, column(draws, 0.7, 2.0), draws) * soft(at.canvas.lips - 0.6, 1.0)


def chin_pebbles(at: Place, draws: Draws) -> Tensor:
    """Dimples of a tensed chin."""
    return at.mottle.clamp(-1.6, 1.6) * (1.6 * at.canvas.chin).clamp_max(1.0)


def chin_cleft(at: Place, draws: Draws) -> Tensor:
    """A groove down the middle of the chin."""
    off = at.x + column(draws, -1.0, 1.0)
    return -bump(off / column(draws, 1.4, 3.2)) * soft(at.y + 113.0, 7.0) * soft(-97.0 - at.y, 7.0)


def cheek_dimples(at: Place, draws: Draws) -> Tensor:
    """A pit beside each corner of the mouth."""
    off = torch.hypot(at.x.abs() - column(draws, 33.0, 40.0), 0.7 * (at.y + column(draws, 60.0, 72.0)))
    return -bump(off / column(draws, 2.2, 4.5)) * soft(at.z + 16.0, 8.0)


def crepe(at: Place, draws: Draws) -> Tensor:
    """A net of fine lines all over thin skin: where noise passes through zero."""
    lines = bump((at.mottle + 0.4 * at.bend) / 0.28)
    where = soft(at.canvas.eye - 3.0, 4.0) * soft(60.0 - at.y, 20.0) * soft(-1.0 - at.canvas.lips, 2.0)
    return -lines * where * soft(at.z + 30.0, 30.0) * _broken(at, draws)


def neck(at: Place, draws: Draws) -> Tensor:
    """Rings round the neck."""
    height = at.y + 0.12 * at.z + 1.4 * at.bend
    phase = height / column(draws, 9.0, 20.0) + column(draws, 0.0, 1.0)
    return _lines(phase, column(draws, 3.0, 10.0), draws) * soft(-121.0 - at.y + 0.25 * (20.0 - at.z), 8.0)


def swell(at: Place, draws: Draws) -> Tensor:
    """What fat and sinews leave uneven, some millimetres to a centimetre wide."""
    return (0.75 * at.bend + 0.25 * at.mottle) * soft(at.canvas.eye - 2.0, 4.0) * soft(-at.canvas.lips, 3.0)
