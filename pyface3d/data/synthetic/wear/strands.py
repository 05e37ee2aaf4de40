"""Loose strands of hair that leave the shell and fall over forehead, temples and cheeks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear.chart import MM_PER_UNIT, HeadChart
from pyface3d.data.synthetic.wear.drapes import chart_at
from pyface3d.data.synthetic.wear.parts import grid_faces

COUNT, POINTS = 10, 12


@dataclass(frozen=True, eq=False)
class StrandDraws:
    """What is drawn for B people."""

    worn: Tensor  # (B,) 1 or 0
    start: Tensor  # (B, COUNT, 2) azimuth in radians and q
    end: Tensor  # (B, COUNT, 2)
    half_width: Tensor  # (B, COUNT) mm, 0 for those left out
    bend: Tensor  # (B, COUNT) radians to one side halfway
    off: Tensor  # (B, COUNT) mm off the skin halfway


def draw_one(rng: np.random.Generator, possible: bool) -> dict[str, np.ndarray | float]:
    u = rng.uniform
    worn = possible and rng.random() < 0.22
    count = rng.integers(1, COUNT + 1)
    azimuth = rng.normal(u(-0.6, 0.6), u(0.04, 0.5), COUNT)
    start = np.stack([azimuth, u(0.5, 0.7, COUNT)], axis=1)
    end = np.stack(
        [azimuth + rng.normal(0, 0.3) + rng.normal(0, 0.2, COUNT), u(0.85, 1.15) + u(-0.1, 1.0, COUNT)], axis=1
    )
    width = np.exp(u(np.log(0.25), np.log(2.2), COUNT)) * (np.arange(COUNT) < count)
    return {
        "worn": float(worn),
        "start": start,
        "end": end,
        "half_width": width,
        "bend": rng.normal(0, 0.2, COUNT),
        "off": u(1, 9, COUNT),
    }


def strand_faces() -> Tensor:
    one = grid_faces(POINTS, 2, closed=False)
    return torch.cat([one + number * 2 * POINTS for number in range(COUNT)])


def place_strands(draws: StrandDraws, hanging: Tensor, chart: HeadChart, thickness: Tensor) -> tuple[Tensor, Tensor]:
    """Ribbons over a chart's nodes, from within hair of ``thickness`` (B,) mm to their tips; see `Wear`."""
    t = torch.linspace(0, 1, POINTS).to(hanging)
    place = torch.lerp(draws.start[:, :, None], draws.end[:, :, None], t[:, None])
    azimuth = place[..., 0] + draws.bend[..., None] * (torch.pi * t).sin()
    q = place[..., 1]
    wide = draws.half_width[..., None] * (1 - t**3 * 0.9)
    sides = []
    for side in (-1.0, 1.0):
        at = azimuth + side * wide / 85
        outwards = chart_at(chart.direction[None].expand(len(q), -1, -1, -1), q, at)
        off = thickness[:, None, None] * (1 - t).square() + draws.off[..., None] * (torch.pi * t).sin() + 1.2
        sides.append(chart_at(hanging, q, at) + outwards * off[..., None])
    verts = torch.stack(sides, dim=3)  # (B, COUNT, POINTS, 2, 3)
    u_mm = torch.stack([(azimuth * 90 + side * wide) for side in (-1.0, 1.0)], dim=3)
    v_mm = (q * MM_PER_UNIT)[..., None].expand_as(u_mm)
    coordinates = torch.stack([u_mm, v_mm, torch.full_like(u_mm, 12.0)], dim=-1)
    return verts.flatten(1, 3), coordinates.flatten(1, 3)
