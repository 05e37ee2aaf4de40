"""Which vertices of the foundation the crop shows, and how far each can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyface3d.ops import occlusion_weights, vertex_visibility
from pyface3d.systems.extreme3d.foundation import HALF_PIXEL, Foundation
from pyface3d.systems.extreme3d.relief import Relief

TOLERANCE_MM = 2.5


class Visibility(NamedTuple):
    """seen (V,) bool; weights (V,) in [0, 1]: 1 as well as from the front, 0 not seen."""

    seen: Tensor
    weights: Tensor


def look(foundation: Foundation, relief: Relief, *, compat: bool = False) -> Visibility:
    """Visibility and occlusion weights of the foundation's vertices.

    A vertex is seen where it lies in the crop, the picture shows its depth to 2.5 mm nearby and the pixel under it is
    face. Its weight then says how much surface the turned head squeezes around it, by counting the pixels of a frontal
    view there.

    Args:
        compat: counts rounded to bytes, as published.
    """
    spots = foundation.verts_image
    rows, inside = pixels_under(spots, *relief.mask.shape)
    seen = vertex_visibility(spots[None], foundation.fragments, foundation.closed, TOLERANCE_MM)[0]
    seen = seen & inside & relief.face.flatten()[rows]
    frontal = foundation.seen_from_the_front()
    weights = occlusion_weights(
        spots[None],
        foundation.fragments,
        frontal.fragments,
        foundation.closed,
        tolerance_mm=TOLERANCE_MM,
        compat=compat,
    )[0]
    return Visibility(seen, weights * seen)


def pixels_under(spots: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index of the pixel under each point (V, ≥2) px, and whether there is one with neighbours right and below."""
    x, y, depth = spots[:, 0], spots[:, 1], spots[:, 2]
    inside = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1) & (depth > 0)  # False for NaN
    column = torch.where(inside, x, torch.zeros_like(x)).floor().long()
    row = torch.where(inside, y, torch.zeros_like(y)).floor().long()
    return row * width + column, inside


class Between(NamedTuple):
    """The four pixels around each point: flat indices (V, 4), their bilinear shares (V, 4), and whether there are four
    (V,) bool; where not, the indices are 0."""

    pixels: Tensor
    shares: Tensor
    inside: Tensor

    def read(self, values: Tensor) -> Tensor:
        """``values`` (H, W) or (H, W, C) between the pixels: (V,) or (V, C)."""
        flat = values.flatten(0, 1)[self.pixels]
        return (flat * self.shares.view(*self.shares.shape, *(1,) * (flat.dim() - 2))).sum(1)


def between_pixels(spots: Tensor, height: int, width: int, *, compat: bool = False) -> Between:
    """Where points (V, ≥3) px lie between the middles of pixels.

    Args:
        compat: the first pixel's middle is 0 here, as published, though it is 0.5 where the foundation is drawn.
    """
    shifted = spots.clone()
    shifted[:, :2] -= 0.0 if compat else HALF_PIXEL
    index, inside = pixels_under(shifted, height, width)
    pixels = index[:, None] + torch.tensor([0, 1, width, width + 1])
    x, y = (torch.where(inside, shifted[:, k], torch.zeros_like(shifted[:, k])) for k in (0, 1))
    x, y = x - x.floor(), y - y.floor()
    shares = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], 1)
    return Between(torch.where(inside[:, None], pixels, torch.zeros_like(pixels)), shares, inside)
