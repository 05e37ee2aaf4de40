"""What age and sleepless nights leave about the eyes: bags, dark rings, troughs, hoods, painted and in relief.

Bags end in an arc that runs from the inner corner round the lower lid, with skin of another colour within: much like
the lower half of a lens in its rim.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import Canvas, bump, soft
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.skin_tones import HAEMOGLOBIN_LOG, MELANIN_LOG

_INNER_MM, _OUTER_MM = 17.0, 45.0  # of the eye's corners from the middle of the face
#: Change of the logarithm of linear RGB per unit: veins that shine through thin skin, brown skin, inflamed skin.
_TINTS = ((-0.75, -0.72, -0.5), MELANIN_LOG, HAEMOGLOBIN_LOG)
_LINES = 3  # folds beside the arc


@dataclass(frozen=True, eq=False)
class OldEyes:
    """How B people's eyes have aged; (B, 2) where right and left differ, right first, else (B,).

    Attributes:
        edge: mm from the lid's margin to the arc below the eye.
        slope: how much farther the arc is below the outer corner than below the inner one, relative to ``edge``.
        from_, to: share of the way from the inner to the outer corner where the arc begins and ends.
        width: of the arc, mm.
        tint: (B, 3) change of the logarithm of linear RGB within the arc.
        lean: how much more of the tint there is towards the nose.
        line: darkness of the arc painted; ``shine`` light on the pad above it; ``hood`` darkness over the eye.
        pad, groove: mm that the bag stands out, and that the arc lies deep.
        folds: (B, 3) strengths of finer lines, and ``spacing`` (B,) mm between them.
        bend: (B, 2) how the arc waves along its way, mm, and its phase.
    """

    edge: Tensor
    slope: Tensor
    from_: Tensor
    to: Tensor
    width: Tensor
    tint: Tensor
    lean: Tensor
    line: Tensor
    shine: Tensor
    hood: Tensor
    pad: Tensor
    groove: Tensor
    folds: Tensor
    spacing: Tensor
    bend: Tensor


def draw_old_eyes(draws: Draws) -> OldEyes:
    """Of B people, all of them old about the eyes in some way: painted, in relief, or mostly both."""
    kind = draws.choice([0.2, 0.25, 0.55])
    painted, formed = (kind != 1).float(), (kind != 0).float()
    tints = torch.tensor(_TINTS, device=draws.device)
    tint = (draws.random(len(_TINTS)) ** 2 * tints.new_tensor([0.9, 0.8, 0.7])) @ tints
    pale = draws.chance(0.15).float() * draws.uniform(0.05, 0.25)
    sides = draws.uniform(0.8, 1.2, 2)
    return OldEyes(
        edge=draws.uniform(7.5, 18.0)[:, None] * (1 + 0.5 * (sides - 1)),
        slope=draws.uniform(-0.25, 0.7),
        from_=draws.uniform(-0.35, 0.15),
        to=draws.uniform(0.6, 1.25),
        width=draws.uniform(0.7, 2.4),
        tint=painted[:, None] * tint + pale[:, None],
        lean=draws.uniform(-0.7, 1.3),
        line=(painted * draws.uniform(0.2, 1.4))[:, None] * sides,
        shine=painted * draws.uniform(0.0, 0.3),
        hood=draws.chance(0.5) * draws.uniform(0.1, 0.8),
        pad=(formed * draws.uniform(0.4, 3.2))[:, None] * sides,
        groove=(formed * draws.uniform(0.4, 1.8))[:, None] * sides,
        folds=draws.random(_LINES) * draws.chance(0.6, _LINES),
        spacing=draws.uniform(2.5, 4.5),
        bend=torch.stack([draws.uniform(0.0, 1.2), draws.uniform(0.0, 6.3)], 1),
    )


def painted(canvas: Canvas, old: OldEyes) -> Tensor:
    """Factor on the albedo (B, 3, h, w) over a part of the chart that holds the eyes."""
    off, along, below = _arc(canvas, old)
    within = below * soft(_grown(old.width) - off, 4.0) * soft(canvas.eye - 1.0, 3.0)
    within = within * (1 + _grown(old.lean) * (0.5 - _share(canvas))).clamp(0.2, 1.8)
    log = old.tint[..., None, None] * within[:, None]
    line = _sided(old.line, canvas) * bump(off / _grown(old.width)) * along
    for number in range(_LINES):
        place = off + _grown((number - 0.6) * old.spacing)
        line = line + 0.3 * _grown(old.folds[:, number]) * _sided(old.line, canvas) * bump(place / 0.8) * along
    shine = _grown(old.shine) * bump((off + 3.5) / 2.5) * along
    hood = _grown(old.hood) * bump((canvas.eye - 7.0) / 5.0) * soft(canvas.above_eye - 1.0, 5.0)
    shade = (shine * below - hood - line * below)[:, None] * log.new_tensor([0.85, 1.0, 1.05]).reshape(3, 1, 1)
    return ((log + shade).clamp(-2.2, 0.5) * canvas.skin).exp()


def formed(canvas: Canvas, old: OldEyes) -> Tensor:
    """Heights (B, h, w) in mm over a part of the chart that holds the eyes."""
    off, along, below = _arc(canvas, old)
    near = soft(canvas.eye - 1.0, 2.5)
    edge = _sided(old.edge, canvas)
    pad = _sided(old.pad, canvas) * bump((off + 0.45 * edge) / (0.36 * edge))
    groove = _sided(old.groove, canvas) * bump(off / _grown(old.width.clamp_min(1.0)))
    for number in range(_LINES):
        place = off + _grown((number - 0.6) * old.spacing)
        groove = groove + 0.3 * _grown(old.folds[:, number]) * _sided(old.groove, canvas) * bump(place / 0.9)
    return (pad - groove) * along * below * near


def _arc(canvas: Canvas, old: OldEyes) -> tuple[Tensor, Tensor, Tensor]:
    """mm from the arc (positive on the cheek), how much of it there is along the lid, and what is below the eye."""
    share = _share(canvas)
    wave = _grown(old.bend[:, 0]) * torch.sin(5.0 * share + _grown(old.bend[:, 1]))
    edge = _sided(old.edge, canvas) * (1 + _grown(old.slope) * (share - 0.5)).clamp(0.4, 1.8) + wave
    along = soft(share - _grown(old.from_), 0.2) * soft(_grown(old.to) - share, 0.4)
    return canvas.eye - edge, along, soft(-1.5 - canvas.above_eye, 4.0)


def _share(canvas: Canvas) -> Tensor:
    """0 below the eyes' inner corners, 1 below the outer ones, (h, w)."""
    return (canvas.position[..., 0].abs() - _INNER_MM) / (_OUTER_MM - _INNER_MM)


def _grown(values: Tensor) -> Tensor:
    """(B,) as maps of one texel, (B, 1, 1)."""
    return values[:, None, None]


def _sided(values: Tensor, canvas: Canvas) -> Tensor:
    """(B, 2) of the right and the left eye as maps (B, h, w)."""
    left = (canvas.position[..., 0] > 0).to(values.dtype)
    return torch.lerp(_grown(values[:, 0]), _grown(values[:, 1]), left)
