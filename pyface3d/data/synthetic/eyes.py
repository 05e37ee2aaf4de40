"""Colours of eyeballs: iris, pupil, sclera."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import bump, soft
from pyface3d.data.synthetic.draws import Draws

#: Irises, linear RGB: dark brown to hazel, green, grey and blue; and how many people have them.
_IRIS_RGB = (
    (0.016, 0.008, 0.005), (0.040, 0.019, 0.010), (0.085, 0.042, 0.018), (0.11, 0.072, 0.026), (0.070, 0.082, 0.036),
    (0.10, 0.115, 0.115), (0.060, 0.105, 0.16), (0.13, 0.18, 0.23),
)  # fmt: skip
_IRIS_WEIGHTS = (0.42, 0.34, 0.12, 0.05, 0.02, 0.02, 0.02, 0.01)
_FAIR_IRIS_WEIGHTS = (0.08, 0.18, 0.14, 0.12, 0.10, 0.12, 0.16, 0.10)
_SCLERA = (0.29, 0.265, 0.25)
_FIBRES = 48


def paint_eyes(radius: Tensor, around: Tensor, height: Tensor, draws: Draws, melanin: Tensor) -> Tensor:
    """Linear RGB (B, 3, N) of the eyeball's points.

    Args:
        radius: (N,) angle from the optical axis over that of the iris' edge.
        around: (N,) angle about the axis, radians.
        height: (N,) mm above the line of the eye's corners: lid and lashes shade the eye from above.
        melanin: (B,) of the skin: light irises are rare above 0.4.
    """
    size = (len(draws), 1)
    iris_colors = radius.new_tensor(_IRIS_RGB)
    fair = draws.choice(_FAIR_IRIS_WEIGHTS)
    kind = torch.where(melanin < 0.4, fair, draws.choice(_IRIS_WEIGHTS))
    iris = iris_colors[kind] * (draws.normal(0.15, 3) + draws.normal(0.3, 1) - 0.2).exp()
    pupil, limbus = draws.uniform(0.22, 0.55).reshape(size), draws.uniform(0.3, 0.85).reshape(size)
    collar_strength = draws.uniform(0.05, 0.45).reshape(size)
    fibres = draws.normal(0.2, _FIBRES)
    yellow, blood = draws.normal(0.04).abs(), draws.normal(0.10).abs()
    sclera = radius.new_tensor(_SCLERA) * (draws.normal(0.15) - 0.1).exp()[:, None]
    sclera = sclera * torch.stack([torch.ones_like(blood), (-blood).exp(), (-blood - yellow).exp()], 1)
    radius = radius * (1 + draws.normal(0.025)).reshape(size)
    fibre = fibres[:, ((around / (2 * math.pi) + 0.5) * _FIBRES).long().clamp(0, _FIBRES - 1)]
    collar = 1 + collar_strength * bump((radius - pupil - 0.15) / 0.14)
    ring = 1 - limbus * bump((radius - 0.98) / 0.13)
    color = iris[:, :, None] * (collar * ring * (1 + fibre))[:, None]
    color = torch.lerp(color, radius.new_tensor(0.003), torch.sigmoid((pupil - radius) * 30)[:, None])
    white = sclera[:, :, None] * (1 - 0.18 * ((radius - 1) / 1.5).clamp(0, 1))[:, None]
    color = torch.lerp(color, white, torch.sigmoid((radius - 1.0) * 14)[:, None])
    lid = soft(height - draws.uniform(0.5, 3.0).reshape(size), 5.0)
    return color * (1 - draws.uniform(0.35, 0.85).reshape(size) * lid)[:, None]
