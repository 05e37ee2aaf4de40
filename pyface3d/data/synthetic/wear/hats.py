"""Hats: a crown over the head's chart and a brim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear import chart as charts
from pyface3d.data.synthetic.wear.chart import MM_PER_UNIT, HeadChart
from pyface3d.data.synthetic.wear.hair import along_columns
from pyface3d.data.synthetic.wear.parts import grid_faces

HATS = ("none", "cap", "beanie", "wide", "helmet")
ROWS, BRIM_ROWS = 16, 6
COLUMNS = charts.COLUMNS


@dataclass(frozen=True, eq=False)
class HatDraws:
    """What is drawn for B hats; floats (B,) unless said otherwise."""

    kind: Tensor  # int64, into HATS
    edge: Tensor  # (B, 3) q of the lower edge in front, at the sides, behind
    thickness: Tensor  # mm
    peak: Tensor  # mm the crown rises
    box: Tensor  # 0 round crown, 1 flat top with straight walls
    cuff: Tensor  # mm of extra thickness of the lowest band
    brim: Tensor  # mm, 0 without
    brim_width: Tensor  # azimuth to which it reaches, radians; beyond pi all around
    brim_drop: Tensor  # mm down per mm out
    brim_bend: Tensor  # mm the sides of the brim hang down
    turn: Tensor  # azimuth of the front of the hat, radians


def draw_one(rng: np.random.Generator, kind: str) -> dict[str, np.ndarray | float | int]:
    u = rng.uniform
    front = {"none": 0.8, "cap": u(0.70, 0.92), "beanie": u(0.68, 0.95), "wide": u(0.72, 0.94)}.get(kind, u(0.68, 0.9))
    side = {"beanie": u(1.0, 1.35), "helmet": u(1.2, 1.7)}.get(kind, front + u(0.06, 0.2))
    back = {"beanie": u(1.2, 1.6), "helmet": u(1.4, 1.9)}.get(kind, front + u(0.15, 0.45))
    cap, wide = kind == "cap", kind == "wide"
    hard = kind == "helmet"
    turned = cap and rng.random() < 0.12
    return {
        "kind": HATS.index(kind),
        "edge": np.array([front, side, back]),
        "thickness": u(20, 38) if hard else u(7, 13),
        "peak": u(20, 60) if kind == "beanie" else u(4, 26),
        "box": u(0.5, 1.0) if wide else u(0, 0.35),
        "cuff": u(2, 7) * (kind == "beanie" and rng.random() < 0.6),
        "brim": u(55, 85) if cap else u(35, 120) if wide else u(10, 40) * (hard and rng.random() < 0.5),
        "brim_width": 9.0 if wide else np.radians(u(48, 62)),
        "brim_drop": u(-0.05, 0.45) if wide else u(0.1, 0.55),
        "brim_bend": u(0, 14) if wide else u(6, 24),
        "turn": (np.pi if turned and rng.random() < 0.6 else rng.normal(0, 0.5)) if turned else rng.normal(0, 0.05),
    }


def hat_edge(draws: HatDraws) -> Tensor:
    """q of the hat's lower edge over each azimuth, (B, COLUMNS); 0 where no hat is worn."""
    azimuth = charts.azimuths().to(draws.thickness)[None]
    front, side, back = draws.edge[:, :, None].unbind(dim=1)
    forwards = azimuth.cos()
    edge = side + (front - side) * forwards.clamp_min(0) ** 2 + (back - side) * (-forwards).clamp_min(0) ** 2
    return edge * (draws.kind > 0)[:, None]


def hat_faces() -> tuple[Tensor, Tensor]:
    return grid_faces(ROWS, COLUMNS, closed=True), grid_faces(BRIM_ROWS, COLUMNS, closed=True)


def place_hat(draws: HatDraws, hanging: Tensor, chart: HeadChart) -> list[tuple[Tensor, Tensor]]:
    """Crown and brim on heads whose hanging surface is (B, ROWS, COLUMNS, 3).

    Returns:
        verts and coordinates of the crown, then of the brim, (B, n, 3) each; see `Wear`.
    """
    edge = hat_edge(draws)
    step = torch.linspace(0, 1, ROWS).to(edge)[None, :, None]
    q = edge[:, None] * step
    azimuth = charts.azimuths().to(edge)
    nodes = along_columns(hanging, q)
    outwards = along_columns(chart.direction[None].expand(len(q), -1, -1, -1), q)
    cuff = draws.cuff[:, None, None] * ((edge[:, None] - q) * MM_PER_UNIT < 45)
    crown = nodes + outwards * (draws.thickness[:, None, None] + cuff)[..., None]
    rise = draws.peak[:, None, None] * (1 - (q / 0.9).clamp(max=1) ** 2)
    # A box-like crown: walls go straight up from the edge, the top is flat.
    middle = crown[:, :1].mean(dim=2, keepdim=True)
    rim = crown[:, -1:]
    straight = rim + (crown[:, :, :, :] - rim) * crown.new_tensor([0.25, 1.0, 0.25])
    top = (step * 2.2).clamp(max=1)[..., None]
    straight = torch.lerp(middle, straight, top)
    straight[..., 1] = torch.maximum(
        straight[..., 1], torch.lerp(rim[..., 1], middle[..., 1], ((1 - step) * 1.8).clamp(max=1))
    )
    crown = torch.lerp(crown, straight, draws.box[:, None, None, None])
    crown[..., 1] += rise
    u_mm = (azimuth * 90)[None, None].expand_as(q)
    coordinates = torch.stack([u_mm, q * MM_PER_UNIT, torch.full_like(q, 50.0)], dim=-1)

    rim = crown[:, -1]
    relative = azimuth[None] - draws.turn[:, None]
    relative = torch.atan2(relative.sin(), relative.cos())
    share = (1 - (relative.abs() / draws.brim_width[:, None]) ** 2).clamp_min(0).sqrt()
    share = torch.where(draws.brim_width[:, None] > 3.2, torch.ones_like(share), share)
    front = torch.stack([draws.turn.sin(), 0 * draws.turn, draws.turn.cos()], dim=-1)[:, None]
    around = torch.stack([azimuth.sin(), 0 * azimuth, azimuth.cos()], dim=-1)[None]
    all_around = (draws.brim_width > 3.2).to(front)[:, None, None]
    heading = torch.nn.functional.normalize(front * (1 - all_around) * 1.2 + around, dim=-1)
    out = torch.linspace(0, 1, BRIM_ROWS).to(edge)[None, :, None] * (share * draws.brim[:, None])[:, None]
    bend = draws.brim_bend[:, None] * relative.sin().square() * (relative.abs() < 2.0)
    down = draws.brim_drop[:, None, None] * out + bend[:, None] * out / draws.brim[:, None, None].clamp_min(1)
    brim = rim[:, None] + heading[:, None] * out[..., None]
    brim = brim - torch.stack([0 * down, down, 0 * down], dim=-1)
    brim_at = torch.stack([u_mm[:, :1].expand_as(out), 200 + out, torch.full_like(out, 50.0)], dim=-1)
    pairs = ((crown, coordinates), (brim, brim_at))
    return [(points.flatten(1, 2), at.flatten(1, 2)) for points, at in pairs]
