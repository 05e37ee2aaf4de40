"""Relief of skin: wrinkles, folds and pores as heights in millimetres along the surface's normal.

One number, the age of the skin, and what the face does right now decide how deep each family of `wrinkles` is; every
family's place, spacing, width and strength are its own. Nothing here is read from the albedo or written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pyface3d.data.synthetic import wrinkles
from pyface3d.data.synthetic.canvas import Canvas, make_canvas, soft
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.noise_bank import NoiseBank
from pyface3d.data.synthetic.wrinkles import Place, column
from pyface3d.face_models.linear import LinearFaceModel

RELIEF_SIZE = 512
"""Texels a side of the relief: 0.3 to 0.9 mm each on the face."""

_PATCHES, _MOTTLE, _SPECKLE = range(3)  # scales of the noise bank
_NOISE_TEXEL_MM = 0.5
_HEAD_RADIUS_MM = 75.0  # of the cylinder that noise is wrapped round
_SMOOTH_SHARE = 0.25  # of people whose skin has no lines at all
_AGE_EXPONENT = 0.7  # of a number even in [0, 1]: below 1 more are old
_SMOOTH_PLIANCY = 0.08  # share of an action's wrinkles that such skin shows
_LEAST_MM = 0.01  # shallower wrinkles are not drawn
_REST_MM = 0.35  # see `open_share`


class _Family(NamedTuple):
    """Where a family of wrinkles lies and how deep it gets.

    Attributes:
        shape: of `wrinkles`.
        patch: name of the part of the chart.
        most: mm at the greatest age, or with the action fully made.
        late: exponent of the age: with 2 and more, wrinkles of the old alone.
        actions: what deepens it; none for what is there at rest only.
        share: of people who have it at all.
        at_any_age: there or not, whatever the age (but not in children).
    """

    shape: Callable[[Place, Draws], Tensor]
    patch: str
    most: float
    late: float
    actions: tuple[str, ...]
    share: float
    at_any_age: bool = False


_SMILE = ("mouthSmile", "mouthUpperUp")
_FAMILIES = (
    _Family(wrinkles.forehead, "forehead", 1.1, 1.0, ("browInnerUp", "browOuterUp"), 1.0),
    _Family(wrinkles.frown, "glabella", 1.3, 1.0, ("browDown", "noseSneer"), 1.0),
    _Family(wrinkles.nose_root, "glabella", 0.9, 1.3, ("noseSneer", "browDown"), 0.8),
    _Family(wrinkles.nose_sides, "nose", 0.6, 2.0, ("noseSneer", "cheekSquint"), 0.8),
    _Family(wrinkles.crows_feet, "eyes", 1.0, 1.0, ("cheekSquint", "eyeSquint", "mouthSmile"), 1.0),
    _Family(wrinkles.under_eye, "eyes", 0.55, 1.0, ("cheekSquint", "eyeSquint"), 0.8),
    _Family(wrinkles.bags, "eyes", 1.4, 1.3, ("cheekSquint",), 0.8),
    _Family(wrinkles.folds, "cheeks", 1.9, 0.8, _SMILE, 1.0),
    _Family(wrinkles.cheek_arcs, "cheeks", 1.1, 2.0, ("mouthSmile",), 0.7),
    _Family(wrinkles.marionette, "mouth", 1.5, 1.6, ("mouthFrown",), 0.8),
    _Family(wrinkles.below_lip, "mouth", 0.9, 1.0, ("mouthShrugLower", "mouthFrown"), 0.8),
    _Family(wrinkles.around_mouth, "mouth", 0.6, 2.0, ("mouthPucker", "mouthPress"), 0.8),
    _Family(wrinkles.chin_pebbles, "mouth", 0.35, 2.5, ("mouthShrugLower", "mouthFrown"), 0.8),
    _Family(wrinkles.crepe, "skin", 0.5, 1.8, (), 0.8),
    _Family(wrinkles.neck, "skin", 0.9, 1.0, (), 0.8),
    _Family(wrinkles.swell, "skin", 0.35, 1.0, (), 0.8),
    _Family(wrinkles.lip_furrows, "mouth", 0.2, 0.0, (), 0.7, at_any_age=True),
    _Family(wrinkles.chin_cleft, "mouth", 1.3, 0.0, (), 0.12, at_any_age=True),
    _Family(wrinkles.cheek_dimples, "mouth", 1.2, 3.0, ("mouthSmile",), 0.12),
)


@dataclass(frozen=True, eq=False)
class Patch:
    """Some rows and columns of the chart, and the canvas cut to them."""

    rows: slice
    columns: slice
    canvas: Canvas

    def within(self, other: Patch, field: Tensor) -> Tensor:
        """The part of a map (..., h, w) of a larger patch that this one covers; a view."""
        top, left = other.rows.start, other.columns.start
        rows = slice(self.rows.start - top, self.rows.stop - top)
        return field[..., rows, self.columns.start - left : self.columns.stop - left]


@dataclass(frozen=True, eq=False)
class Ground:
    """The chart as relief sees it.

    Attributes:
        patches: by name; ``skin`` is the face and the neck, and holds all others.
        row, column: place of the texels of ``skin`` in the noise bank, int64.
        left: 1 on the left half of the face, 0 on the right, over ``skin``.
        inside: 1 on skin, fading out towards the back of the head and the rims of eyes and lips, over ``skin``.
    """

    patches: Mapping[str, Patch]
    row: Tensor
    column: Tensor
    left: Tensor
    inside: Tensor


def make_ground(model: LinearFaceModel, device: torch.device | str = "cpu") -> Ground:
    """Measure the chart of ``model`` (the head at level 0, on the CPU)."""
    canvas = make_canvas(model, RELIEF_SIZE)
    x, y, z = canvas.position.unbind(-1)
    front = (canvas.skin > 0) & (z > -45)
    forehead, middle = canvas.forehead > 0.03, (x.abs() < 18) & (y > -12) & (y < 46)
    near_corner = (canvas.eye_corner[0] < 42) & (canvas.eye_corner[1].abs() < 1.6)
    found = {
        "skin": front,
        "forehead": front & forehead,
        "glabella": front & middle,
        "eyes": front & ((canvas.eye < 26) | near_corner),
        "nose": front & (x.abs() < 22) & (y > -30) & (y < 4),
        "cheeks": front & (canvas.fold.abs() < 42) & (canvas.fold_along > -0.3) & (canvas.fold_along < 1.7),
        "mouth": front & (x.abs() < 46) & (y < -46) & (y > -124),
    }
    patches = {name: _patch(canvas, where) for name, where in found.items()}
    skin = patches["skin"].canvas
    x, y, z = skin.position.unbind(-1)
    around = _HEAD_RADIUS_MM * torch.atan2(x, z + _HEAD_RADIUS_MM)
    inside = skin.skin * soft(z + 35.0, 12.0) * soft(skin.eye - 0.8, 1.0)
    return Ground(
        {name: Patch(patch.rows, patch.columns, patch.canvas.to(device)) for name, patch in patches.items()},
        row=(y / _NOISE_TEXEL_MM).round().long().to(device),
        column=(around / _NOISE_TEXEL_MM).round().long().to(device),
        left=soft(x, 8.0).to(device),
        inside=inside.to(device),
    )


def _patch(canvas: Canvas, where: Tensor) -> Patch:
    rows, columns = where.any(1).nonzero()[:, 0], where.any(0).nonzero()[:, 0]
    kept = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return Patch(*kept, canvas.cut(*kept))


def action_strength(expression: Tensor, names: Sequence[str], actions: Sequence[str]) -> Tensor:
    """Mean strength of some actions on the left and on the right, (B, 2).

    Args:
        expression: (B, 52) strengths of the ARKit actions ``names``.
        actions: without their side; one that has no sides counts for both.
    """
    sides = []
    for side in ("Left", "Right"):
        known = [names.index(action if action in names else action + side) for action in actions]
        sides.append(expression[:, known].mean(1))
    return torch.stack(sides, 1)


def draw_relief(
    ground: Ground, noise: NoiseBank, draws: Draws, strength: Callable[[Sequence[str]], Tensor], young: Tensor
) -> Tensor:
    """Heights (B, T, T) in mm, T = `RELIEF_SIZE`; 0 off the face's skin. See `draw_aged_relief`."""
    return draw_aged_relief(ground, noise, draws, strength, young)[0]


def draw_aged_relief(
    ground: Ground, noise: NoiseBank, draws: Draws, strength: Callable[[Sequence[str]], Tensor], young: Tensor
) -> tuple[Tensor, Tensor]:
    """Heights (B, T, T) in mm, T = `RELIEF_SIZE`, 0 off the face's skin; and the age of the skin in [0, 1], (B,).

    Args:
        strength: of some actions, by `action_strength`, (B, 2).
        young: (B,) bool, people whose skin is smooth because they are children.
    """
    skin = ground.patches["skin"]
    bend, fade, mottle, speckle = (
        noise.laid_on(draws, scale, ground.row, ground.column) for scale in (_PATCHES, _PATCHES, _MOTTLE, _SPECKLE)
    )
    places: dict[str, Place] = {}
    for name, part in ground.patches.items():
        drawn = [part.within(skin, field) for field in (bend, fade, mottle)]
        places[name] = Place(part.canvas, drawn[0], drawn[1], drawn[2], left=part.within(skin, ground.left))
    smooth = draws.chance(_SMOOTH_SHARE) | young
    age = torch.where(smooth, 0.0, draws.random() ** _AGE_EXPONENT)
    pliancy = torch.where(smooth, _SMOOTH_PLIANCY, 0.25 + 0.75 * age)
    relief = speckle * _pores(skin.canvas, draws)
    for family in _FAMILIES:
        own = draws.uniform(0.15, 1.0)[:, None] * draws.uniform(0.75, 1.25, 2)
        made = strength(family.actions) if family.actions else torch.zeros_like(own)
        some = draws.chance(family.share)
        if family.at_any_age:
            deep = own * family.most * (some & ~young)[:, None]
        else:
            deep = own * (age**family.late)[:, None] + pliancy[:, None] * made.clamp(0, 1)
            deep = deep * family.most * some[:, None]
        live = (deep.amax(1) > _LEAST_MM).nonzero()[:, 0]
        if not len(live):
            continue
        place = places[family.patch].of(live)
        here = ground.patches[family.patch].within(skin, relief)
        here[live] += family.shape(place, draws.of(live)) * place.of_sides(deep[live])
    whole = relief.new_zeros(len(draws), RELIEF_SIZE, RELIEF_SIZE)
    whole[:, skin.rows, skin.columns] = relief * ground.inside
    return whole, age


def _pores(canvas: Canvas, draws: Draws) -> Tensor:
    """How rough skin is where there is nothing else, mm: roughest on nose and cheeks, (B, h, w)."""
    zones = 1 + (canvas.nose + canvas.cheeks).clamp_max(1.0)
    return column(draws, 0.0, 0.02) * zones * soft(-canvas.lips - 1.0, 2.0)


def open_share(relief: Tensor) -> Tensor:
    """Share of the surroundings' light that reaches the bottom of wrinkles, (B, T, T), 1 on flat skin.

    A groove as deep below the mean of its surroundings (4 mm across) as it is wide sees half of the sky: with the depth
    c, 1 / sqrt(1 + (c / r)²), the sine of the angle under which a groove of half-width r opens.
    """
    around = torch.nn.functional.avg_pool2d(relief[:, None], 7, stride=1, padding=3, count_include_pad=False)[:, 0]
    return ((around - relief).clamp_min(0) / _REST_MM).square_().add_(1).rsqrt_()
