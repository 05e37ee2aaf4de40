"""Things people hold to their faces, drawn here: microphones, telephones, cups, pens; most with the hand that holds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyface3d.data.synthetic.anchors import FaceFrame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.hands import HANDS, held_hands
from pyface3d.data.synthetic.textures import draw_textures, plain_colors

_SHARES = (0.35, 0.25, 0.25, 0.15)
_MICROPHONE, _TELEPHONE, _CUP, _PEN = range(4)
_FACE_MM = 140.0  # larger side of the box of an adult's 68 points, about
_GRASP_MM = ((60.0, 130.0), (20.0, 70.0), (15.0, 50.0), (30.0, 90.0))  # where the hand is, from the thing's top
_SHADING_MM = (14.0, 200.0, 45.0, 14.0)  # half the width over which light falls off towards the sides


def held_things(assets: Mapping[str, Tensor], draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
    """One thing per face at mouth, ear or eye; arguments and result as of `hands.hands`."""
    kind = draws.choice(_SHARES)
    side = torch.where(draws.chance(0.5), 1.0, -1.0)
    top, lean = _pose(draws, frame, kind, side)
    pixels_per_mm = frame.height.maximum(frame.width) / _FACE_MM
    direction = torch.cos(lean)[:, None] * frame.down + torch.sin(lean)[:, None] * frame.right
    along, across = _thing_mm(top, direction, pixels_per_mm, size)
    inside, ball = _inside_mm(draws, kind, along, across)
    cover = (inside * pixels_per_mm[:, None, None] + 0.5).clamp(0, 1)
    layer = torch.cat([_paint(draws, kind, along, across, ball) * cover[:, None], cover[:, None]], 1)
    if HANDS not in assets:
        return layer
    low, high = skin.new_tensor(_GRASP_MM)[kind].unbind(1)
    place = top + direction * (draws.uniform(low, high) * pixels_per_mm)[:, None]
    arm = lean * draws.uniform(0.2, 1.0) + side * draws.uniform(0.0, 0.6)
    palm = torch.zeros_like(kind, dtype=torch.bool)
    hand = held_hands(assets, draws, frame, skin, size, place, arm, palm) * draws.chance(0.8)[:, None, None, None]
    return layer * (1 - hand[:, 3:]) + hand


def _pose(draws: Draws, frame: FaceFrame, kind: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Where the top is, (B, 2) px, and how far the thing leans from the face's down to its right, (B,) rad."""
    at_mouth = draws.normal(0.14)
    across = torch.where(kind == _TELEPHONE, side * draws.uniform(0.4, 1.0), at_mouth)
    down = torch.where(kind == _TELEPHONE, draws.normal(0.3), draws.normal(0.12) + 0.6)
    leans = torch.stack(
        [side * draws.uniform(-0.2, 1.0), draws.normal(0.4), draws.normal(0.25), side * draws.uniform(0.3, 1.7)], 1
    )
    return frame.at(across, down), leans.gather(1, kind[:, None])[:, 0]


def _thing_mm(top: Tensor, direction: Tensor, pixels_per_mm: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """(B, S, S) twice: how far down the thing from its top, and how far from its axis, every pixel lies, mm."""
    at = torch.arange(size, device=top.device, dtype=torch.float32) + 0.5
    x, y = (at - top[:, :1])[:, None, :], (at - top[:, 1:])[:, :, None]
    unit = (direction / pixels_per_mm[:, None])[..., None, None]
    return unit[:, 0] * x + unit[:, 1] * y, unit[:, 0] * y - unit[:, 1] * x


def _inside_mm(draws: Draws, kind: Tensor, along: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, S) twice: distance from the outline, positive inside; and from the microphones' ball, in its radii."""
    radius, handle, half, cup, depth, pen = (
        draws.uniform(low, high)[:, None, None]
        for low, high in ((17, 28), (9, 14), (33, 42), (30, 48), (40, 75), (2, 6))
    )
    ball = radius - torch.hypot(along, across)
    stick = torch.minimum(handle + 0.02 * along - across.abs(), torch.minimum(along, 190 - along))
    outlines = [
        torch.maximum(ball, stick),
        _box(along, across, half, 2.05 * half, 7.0),
        _box(along - 10, across, cup - 0.12 * along, depth, 3.0),
        torch.minimum(pen - across.abs(), torch.minimum(along + 5, 130 - along)),
    ]
    rows = torch.arange(len(kind), device=kind.device)
    return torch.stack(outlines, 1)[rows, kind], ball / radius


def _paint(draws: Draws, kind: Tensor, along: Tensor, across: Tensor, ball: Tensor) -> Tensor:
    """(B, 3, S, S) linear RGB: dark, coloured or printed; round but for telephones; a mesh on the microphones' ball."""
    dark = torch.exp(draws.uniform(-4.5, -1.5))[:, None].expand(-1, 3)
    electric = (kind == _MICROPHONE) | (kind == _TELEPHONE)
    color = torch.where((draws.chance(0.6) & electric)[:, None], dark, plain_colors(draws))[:, :, None, None]
    color = torch.where(draws.chance(0.35)[:, None, None, None], draw_textures(draws, along.shape[-1]), color)
    sideways = across / across.new_tensor(_SHADING_MM)[kind][:, None, None]
    light = 0.35 + 0.75 * (1 - sideways.clamp(-1, 1).square()).sqrt()
    mesh = (1 + 0.5 * torch.sin(along * 1.6) * torch.sin(across * 1.6)) * (0.5 + ball)
    light = torch.where((kind == _MICROPHONE)[:, None, None] & (ball > 0), mesh, light)
    glint = draws.uniform(0, 0.5)[:, None, None] * torch.exp(-((sideways + 0.4) * 5).square())
    return color * light[:, None] + glint[:, None]


def _box(along: Tensor, across: Tensor, half_width: Tensor, half_length: Tensor, corner: float) -> Tensor:
    """Distance inside a rounded rectangle whose middle is 0.4 half lengths below the top."""
    x, y = across.abs() - half_width + corner, (along - 0.4 * half_length).abs() - half_length + corner
    outside = torch.hypot(x.clamp_min(0), y.clamp_min(0)) + torch.maximum(x, y).clamp_max(0)
    return corner - outside
