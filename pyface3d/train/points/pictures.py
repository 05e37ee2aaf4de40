"""What a run of the landmark network looks like: crops with points."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.train.monitor import grid

_TRUE, _FOUND, _DENSE = (60, 220, 60), (255, 50, 50), (70, 130, 255)
_ENLARGED = 2


def picture_grid(image: Tensor, found: Tensor, truth: Tensor | None = None, columns: int = 8) -> Tensor:
    """Crops (B, 3, S, S) uint8 beside each other with points (B, P, 2) in fractions of the side, (3, H, W) uint8.

    True landmarks are green, found ones red, dense ones blue.
    """
    enlarged = functional.interpolate(image.float(), scale_factor=_ENLARGED, mode="nearest").byte()
    size = enlarged.shape[-1]
    layers = [(found[:, 68:], _DENSE), (found[:, :68], _FOUND)]
    if truth is not None:
        layers.insert(1, (truth[:, :68], _TRUE))
    for points, color in layers:
        _dot(enlarged, (points * size).long(), color)
    return grid(enlarged, columns)


def _dot(image: Tensor, pixels: Tensor, color: tuple[int, int, int]) -> None:
    """Set pixels (B, P, 2) and their right and lower neighbours; those outside the crops are left out."""
    for offset in ((0, 0), (1, 0), (0, 1), (1, 1)):
        moved = pixels + pixels.new_tensor(offset)
        inside = ((moved >= 0) & (moved < image.shape[-1])).all(-1)
        sample, point = inside.nonzero(as_tuple=True)
        x, y = moved[sample, point].unbind(-1)
        image[sample, :, y, x] = torch.tensor(color, dtype=torch.uint8)
