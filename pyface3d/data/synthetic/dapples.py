"""Light in spots: what leaves, blinds or the weave of a straw hat let through of a lamp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.lights import Lights
from pyface3d.data.synthetic.shading import light_axes
from pyface3d.data.synthetic.wear.detail import noise_tile
from pyface3d.data.synthetic.wear.noise import CLOUD, GRAIN, look_up


@dataclass(frozen=True, eq=False)
class Dapples:
    """Spots in the first lamp's light of B samples, floats (B,).

    Attributes:
        leaves: share of the light that leaves keep where they are, 0 without.
        leak: share of the light that a hat's weave lets through where it is, 0 for a dense one.
        size: mm of a spot, of leaves and of the weave (B, 2).
        level: how rare spots are, in standard deviations of the noise, (B, 2).
        edge: softness of the spots' edges, likewise.
        seed: (B, 2) place in the noise, tiles.
    """

    leaves: Tensor
    leak: Tensor
    size: Tensor
    level: Tensor
    edge: Tensor
    seed: Tensor


def draw_dapples(draws: Draws, wanted: Tensor) -> Dapples:
    """Draw the spots of B samples; none where not ``wanted`` (B,) bool."""
    leafy, woven = draws.chance(0.35) & wanted, draws.chance(0.6) & wanted
    size = torch.stack([draws.uniform(2.3, 4.4).exp(), draws.uniform(0.7, 2.4).exp()], 1)
    return Dapples(
        leaves=leafy * draws.uniform(0.3, 0.9),
        leak=woven * draws.uniform(0.2, 0.9),
        size=size,
        level=torch.stack([draws.normal(0.5), draws.uniform(0.0, 1.4)], 1),
        edge=draws.uniform(0.3, 1.5),
        seed=draws.random(2),
    )


def dappled(shadow: Tensor, lights: Lights, positions: Tensor, dapples: Dapples) -> Tensor:
    """Shares of the lamps that reach every pixel, (B, R, R, 2), with the spots in the first one's.

    Args:
        shadow: (B, R, R, 2) from `shading.cast_shadows`.
        lights: of the B samples.
        positions: (B, R, R, 3) surface points, camera frame, mm.
        dapples: of the B samples.
    """
    tile = noise_tile(shadow.device)
    result = shadow.clone()
    for b in torch.nonzero((dapples.leaves > 0) | (dapples.leak > 0)).flatten().tolist():
        across = positions[b] @ light_axes(lights.directions[b : b + 1, 0])[0, :2].T
        reach = shadow[b, ..., 0]
        leaf, weave = (_spots(tile, across, dapples, b, which, channel) for which, channel in ((0, CLOUD), (1, GRAIN)))
        reach = reach + (1 - reach) * dapples.leak[b] * weave
        result[b, ..., 0] = reach * (1 - dapples.leaves[b] * (1 - leaf))
    return result


def _spots(tile: Tensor, across: Tensor, dapples: Dapples, b: int, which: int, channel: int) -> Tensor:
    """1 in the spots, 0 between them, (R, R)."""
    # A period of the tile holds about 5 clouds and 40 grains.
    period = dapples.size[b, which] * (5.0, 40.0)[which]
    u, v = (across / period + dapples.seed[b]).unbind(-1)
    noise = look_up(tile, u, v)[..., channel]
    return torch.sigmoid((noise - dapples.level[b, which]) * (4.4 / dapples.edge[b]))
