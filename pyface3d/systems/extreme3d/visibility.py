"""Which vertices of the foundation the crop shows, and how far each can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyface3d.ops import occlusion_weights, vertex_visibility
from pyface3d.systems.extreme3d.foundation import Foundation
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
