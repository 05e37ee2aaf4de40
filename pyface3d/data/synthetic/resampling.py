"""Blurring and resizing of square pictures, each by its own amount: one matrix per sample, applied to both axes."""

from __future__ import annotations

import torch
from torch import Tensor

KERNELS = ("nearest", "box", "triangle", "cubic", "gaussian")


def separable(images: Tensor, matrix: Tensor) -> Tensor:
    """(B, C, S, S) pictures with (B, S, S) ``matrix`` applied to their rows and to their columns."""
    count, channels, size, _ = images.shape
    # One product over all channels; as a broadcast product torch would copy the matrix for every channel.
    across = images.reshape(count, channels * size, size) @ matrix.mT
    turned = across.reshape(images.shape).mT.reshape(count, channels * size, size)
    return (turned @ matrix.mT).reshape(images.shape).mT


def gaussian_matrix(size: int, sigma: Tensor) -> Tensor:
    """Blur by a normal distribution.

    Args:
        size: S px.
        sigma: (B,) px; below about 0.2 nothing happens.

    Returns:
        (B, S, S); rows add up to 1, so that the border keeps its brightness.
    """
    at = torch.arange(size, device=sigma.device, dtype=sigma.dtype)
    weights = torch.exp(-0.5 * ((at[:, None] - at) / sigma.clamp_min(0.05)[:, None, None]) ** 2)
    return weights / weights.sum(2, keepdim=True)


def shrink_matrix(size: int, small: Tensor, kernel: Tensor) -> Tensor:
    """Resize S pixels to ``small`` ones, left in the first rows; the rows after them repeat the last.

    Args:
        size: S px.
        small: (B,) whole numbers in 1…S as floats.
        kernel: (B,) int64 into ``KERNELS``; each is widened by the factor of reduction, except "nearest".

    Returns:
        (B, S, S).
    """
    at = torch.arange(size, device=small.device, dtype=small.dtype)
    step = (size / small)[:, None, None]
    row = torch.minimum(at, small[:, None] - 1)[..., None]
    offset = at + 0.5 - (row + 0.5) * step
    width = torch.where((kernel == 0)[:, None, None], torch.ones_like(step), step)
    return _weights(offset / width, kernel)


def enlarge_matrix(size: int, small: Tensor, kernel: Tensor) -> Tensor:
    """Resize the first ``small`` pixels back to S; arguments as of ``shrink_matrix``. (B, S, S)."""
    at = torch.arange(size, device=small.device, dtype=small.dtype)
    step = (size / small)[:, None, None]
    offset = (at[:, None] + 0.5) / step - (at + 0.5)
    inside = at < small[:, None, None]
    return _weights(torch.where(inside, offset, 9.0), kernel)


def _weights(x: Tensor, kernel: Tensor) -> Tensor:
    """Kernel values at ``x``, rows normalised. Cubic: Keys 1981 with a = -1/2."""
    x = x.abs()
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    cubic = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    nearest = torch.zeros_like(x).scatter_(2, x.argmin(2, keepdim=True), 1.0)
    which = kernel[:, None, None]
    weights = torch.where(which == 0, nearest, torch.where(x <= 0.5, 1.0, 0.0))
    weights = torch.where(which == 2, (1 - x).clamp_min(0), weights)
    weights = torch.where(which == 3, cubic, weights)
    weights = torch.where(which == 4, torch.exp(-2 * x * x) * (x < 3), weights)
    total = weights.sum(2, keepdim=True)
    return torch.where(total.abs() > 1e-6, weights / total.where(total.abs() > 1e-6, torch.ones_like(total)), nearest)
