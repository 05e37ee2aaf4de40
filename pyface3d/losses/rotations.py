"""Losses and distances of rotations."""

import torch
from torch import Tensor

from pyface3d.losses.reduction import masked_mean


def rotation_angle(rotation: Tensor, truth: Tensor) -> Tensor:
    """Angle in radians between rotations (..., 3, 3), accurate near 0 and near half a turn; for measuring.

    Its gradient has no value where the rotations are equal; train with `chordal_loss`.
    """
    # |R - S|_F = 2 sqrt(2) sin(a / 2): unlike the trace it keeps small angles in float32.
    half = ((rotation - truth).flatten(-2).norm(dim=-1) / 8**0.5).clamp(max=1)
    return 2 * torch.asin(half)


def chordal_loss(rotation: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of ``1 - cos`` of the angle between rotations (B, 3, 3): about half its square while small; smooth at 0."""
    return masked_mean((rotation - truth).square().sum((-2, -1)) / 4, mask)
