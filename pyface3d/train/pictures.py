"""Maps over crops: mirrored as their crops are, and shown."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LIGHT = (-0.55, -0.55, 0.63)  # from above and the left, towards the viewer


def mirrored(values: Tensor, flip: Tensor) -> Tensor:
    """Values (B, ..., S) mirrored left to right where ``flip`` (B,) is True: relief is a height and keeps its sign."""
    return torch.where(flip.reshape(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)


def clay(relief: Tensor, pitch_mm: float) -> Tensor:
    """Relief (B, H, W) in mm over a plane as grey clay lit from the side, (B, 3, H, W) uint8."""
    padded = functional.pad(relief[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / (2 * pitch_mm)
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / (2 * pitch_mm)
    light = (-across * _LIGHT[0] - down * _LIGHT[1] + _LIGHT[2]) / (1 + across.square() + down.square()).sqrt()
    return (light.clamp(0, 1) * 255).round().byte()[:, None].expand(-1, 3, -1, -1)
