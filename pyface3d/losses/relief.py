"""Losses of relief maps.

L1 of heights and of their differences between neighbours, as Tran et al., "Extreme 3D Face Reconstruction: Seeing
Through Occlusions" (CVPR 2018) train their bump maps: heights alone blur wrinkles. A relief and one that lies some
tenths of a millimetre higher look the same; what is seen are the slopes.
"""

import torch
from torch import Tensor


def relief_loss(relief: Tensor, truth: Tensor, weight: Tensor, softness: float = 0.0) -> Tensor:
    """Weighted mean of the absolute difference, mm; 0 where nothing counts.

    Args:
        relief, truth: (B, H, W) mm.
        weight: (B, H, W), not negative, how much each pixel counts.
        softness: differences below this many mm are rounded off, √(d² + s²) − s: a pull in proportion to the error
            where it is small, which finds the way out of the flat answer that is the median of most skin.
    """
    return (weight * _soft(relief - truth, softness)).sum() / weight.sum().clamp_min(1e-6)


def relief_slope_loss(relief: Tensor, truth: Tensor, weight: Tensor, step: int = 1, softness: float = 0.0) -> Tensor:
    """Weighted mean |∂x (a − b)| + weighted mean |∂y (a − b)|, mm.

    Args:
        relief, truth: (B, H, W) mm.
        weight: (B, H, W), not negative; a difference counts as the lesser of its two pixels.
        step: pixels between the two; 1 are the forward differences of the paper, more are slopes of broader shapes.
        softness: as of `relief_loss`.
    """
    error = relief - truth
    total = error.new_zeros(())
    for axis in (1, 2):
        length = error.shape[axis] - step
        difference = error.narrow(axis, step, length) - error.narrow(axis, 0, length)
        counts = torch.minimum(weight.narrow(axis, step, length), weight.narrow(axis, 0, length))
        total = total + (counts * _soft(difference, softness)).sum() / counts.sum().clamp_min(1e-6)
    return total


def normal_angle_loss(relief: Tensor, truth: Tensor, weight: Tensor, pitch_mm: float) -> Tensor:
    """Weighted mean of 1 − cos of the angle between the normals of two reliefs; 0 where nothing counts.

    The normal of the height field z(x, y) is along (−∂x z, −∂y z, 1); slopes are forward differences over a pixel.

    Args:
        relief, truth: (B, H, W) mm.
        weight: (B, H, W), not negative; a normal counts as the least of its three pixels.
        pitch_mm: of a pixel on the face.
    """
    one, other = height_normals(relief, pitch_mm), height_normals(truth, pitch_mm)
    counts = torch.minimum(torch.minimum(weight[:, :-1, :-1], weight[:, :-1, 1:]), weight[:, 1:, :-1])
    return (counts * (1 - (one * other).sum(-1))).sum() / counts.sum().clamp_min(1e-6)


def height_normals(relief: Tensor, pitch_mm: float) -> Tensor:
    """Unit normals (B, H - 1, W - 1, 3) of heights (B, H, W) in mm over a plane of pixels ``pitch_mm`` apart."""
    here = relief[:, :-1, :-1]
    across, down = (relief[:, :-1, 1:] - here) / pitch_mm, (relief[:, 1:, :-1] - here) / pitch_mm
    length = (across.square() + down.square() + 1).sqrt()
    return torch.stack([-across, -down, torch.ones_like(across)], -1) / length[..., None]


def _soft(error: Tensor, softness: float) -> Tensor:
    return error.abs() if softness == 0 else (error.square() + softness**2).sqrt() - softness
