"""Things people hold to their faces, drawn here: microphones, telephones, cups, pens; most with the hand that holds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyface3d.data.synthetic.anchors import FaceFrame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.hands import HANDS, held_hands
from pyface3d.data.synthetic.textures import draw_textures, plain_colors


def held_things(assets: Mapping[str, Tensor], draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
    """One thing per face at mouth, ear or eye; arguments and result as of `hands.hands`."""
    at = torch.arange(size, device=draws.device, dtype=torch.float32) + 0.5
    kind = draws.choice([0.35, 0.25, 0.25, 0.15])  # microphone, telephone, cup, pen or straw
    side = torch.where(draws.chance(0.5), 1.0, -1.0)
    near = torch.stack([draws.normal(0.15), side * draws.uniform(0.4, 1.0), draws.normal(0.12), draws.normal(0.12)], 1)
    low = torch.stack(
        [draws.normal(0.15) + 0.65, draws.normal(0.3), draws.normal(0.12) + 0.6, draws.normal(0.05) + 0.5], 1
    )
    x, y = near.gather(1, kind[:, None])[:, 0], low.gather(1, kind[:, None])[:, 0]
    top = frame.at(x, y)
    lean = torch.stack(
        [side * draws.uniform(-0.2, 1.0), draws.normal(0.4), draws.normal(0.25), side * draws.uniform(0.3, 1.7)], 1
    )
    lean = lean.gather(1, kind[:, None])[:, 0]
    unit = frame.height.maximum(frame.width) / 140.0  # px per mm, about
    direction = torch.cos(lean)[:, None] * frame.down + torch.sin(lean)[:, None] * frame.right
    dx, dy = at - top[:, :1], at - top[:, 1:]
    along = direction[:, 0, None, None] * dx[:, None, :] + direction[:, 1, None, None] * dy[:, :, None]
    across = direction[:, 0, None, None] * dy[:, :, None] - direction[:, 1, None, None] * dx[:, None, :]
    along, across = along / unit[:, None, None], across / unit[:, None, None]  # mm from the thing's top
    ball = draws.uniform(17, 28)[:, None, None]
    head = ball - torch.hypot(along, across)
    grip = torch.minimum(
        draws.uniform(9, 14)[:, None, None] + 0.02 * along - across.abs(), torch.minimum(along, 190 - along)
    )
    microphone = torch.maximum(head, grip)
    half = draws.uniform(33, 42)[:, None, None]
    phone = _box(along, across, half, 2.05 * half, 7.0)
    cup = _box(
        along - 10,
        across - 0.0,
        draws.uniform(30, 48)[:, None, None] - 0.12 * along,
        draws.uniform(40, 75)[:, None, None],
        3.0,
    )
    pen = torch.minimum(draws.uniform(2, 6)[:, None, None] - across.abs(), torch.minimum(along + 5, 130 - along))
    distance = torch.stack([microphone, phone, cup, pen], 1)
    inside = distance.gather(1, kind[:, None, None, None].expand(-1, 1, size, size))[:, 0]
    cover = (inside * unit[:, None, None] + 0.5).clamp(0, 1)
    dark = torch.exp(draws.uniform(-4.5, -1.5))[:, None].expand(-1, 3)
    color = torch.where((draws.chance(0.6) & (kind < 2))[:, None], dark, plain_colors(draws))[:, :, None, None]
    color = torch.where(draws.chance(0.35)[:, None, None, None], draw_textures(draws, size), color)
    width = torch.where(kind == 2, 45.0, torch.where(kind == 1, 200.0, 14.0))[:, None, None]
    round_ = (0.35 + 0.75 * (1 - (across / width).clamp(-1, 1).square()).sqrt())[:, None]
    glint = (draws.uniform(0, 0.5)[:, None, None] * torch.exp(-((across / width + 0.4) * 5).square()))[:, None]
    mesh = 1 + 0.5 * torch.sin(along * 1.6) * torch.sin(across * 1.6)
    round_ = torch.where(
        ((kind == 0)[:, None, None] & (head > 0))[:, None],
        mesh[:, None] * (0.5 + head[:, None] / ball[:, None]),
        round_,
    )
    layer = torch.cat([(color * round_ + glint) * cover[:, None], cover[:, None]], 1)
    if HANDS in assets:
        grasp = torch.stack(
            [draws.uniform(60, 130), draws.uniform(20, 70), draws.uniform(15, 50), draws.uniform(30, 90)], 1
        )
        place = top + direction * (grasp.gather(1, kind[:, None]) * unit[:, None])
        arm = lean * draws.uniform(0.2, 1.0) + side * draws.uniform(0.0, 0.6)
        hand = held_hands(assets, draws, frame, skin, size, place, arm, torch.zeros_like(kind, dtype=torch.bool))
        hand = hand * draws.chance(0.8)[:, None, None, None]
        layer = layer * (1 - hand[:, 3:]) + hand
    return layer


def _box(along: Tensor, across: Tensor, half_width: Tensor, half_length: Tensor, corner: float) -> Tensor:
    """Distance inside a rounded rectangle about (half length / 2 below the top, 0)."""
    x, y = across.abs() - half_width + corner, (along - 0.4 * half_length).abs() - half_length + corner
    outside = torch.hypot(x.clamp_min(0), y.clamp_min(0)) + torch.maximum(x, y).clamp_max(0)
    return corner - outside
