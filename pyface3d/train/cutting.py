"""Squares of photos, cut without the packages that installations have."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.errors import InputError


def cut_square(image: Tensor, middle: Tensor, side: float, size: int) -> Tensor:
    """A square of a picture, averaged down or interpolated; black beyond the border.

    Args:
        image: (3, H, W) uint8.
        middle: (2,) px, first pixel's middle at (0.5, 0.5).
        side: of the square in px.
        size: of the result.

    Returns:
        (3, size, size) uint8.
    """
    if not side > 0:
        raise InputError(f"side must be positive, got {side}")
    fine = max(int(np.ceil(side / size)), 1)  # samples per pixel and axis, so that none of the picture is skipped
    axis = (torch.arange(size * fine) + 0.5) / (size * fine) - 0.5
    x, y = middle[0] + side * axis, middle[1] + side * axis
    height, width = image.shape[1:]
    grid = torch.stack(torch.meshgrid(2 * x / width - 1, 2 * y / height - 1, indexing="xy"), -1)
    cut = functional.grid_sample(image[None].float(), grid[None], align_corners=False)
    return functional.avg_pool2d(cut, fine)[0].round().clamp(0, 255).byte()
