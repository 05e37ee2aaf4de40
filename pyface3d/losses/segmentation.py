"""Losses of label maps."""

from __future__ import annotations

import torch
from torch import Tensor


def class_loss(log_share: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy, averaged over pixels by their weights.

    Args:
        log_share: logarithms of the predicted probabilities, (B, C, H, W).
        labels: (B, H, W) integers in [0, C); any number where ``weight`` is 0.
        weight: (B, H, W), not negative.

    Returns:
        A number; 0 where all weights are.
    """
    chosen = labels.long().clamp(0, log_share.shape[1] - 1)
    error = -log_share.gather(1, chosen[:, None])[:, 0]
    return (error * weight).sum() / weight.sum().clamp_min(1e-6)


def overlap_loss(share: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """1 − Dice of soft masks: 0 where they agree, 1 where nothing does; the mean over B.

    Unlike cross-entropy it counts a pixel by what it does to the overlap, however small the mask (Milletari, Navab,
    Ahmadi, "V-Net", 2016, with sums instead of squares).

    Args:
        share: predicted probabilities of one class, (B, H, W).
        truth: (B, H, W) bool.
        known: pixels that count, (B, H, W) bool.
    """
    share, wanted = share * known, truth & known
    both = (share * wanted).sum((1, 2))
    # One pixel more in both masks: two empty ones agree.
    return (1 - (2 * both + 1) / (share.sum((1, 2)) + wanted.sum((1, 2)) + 1)).mean()


def near_borders(labels: Tensor, reach: int = 2) -> Tensor:
    """Pixels within ``reach`` steps (sideways or up and down) of another label's, (B, H, W) bool."""
    near = torch.zeros_like(labels, dtype=torch.bool)
    for dim in (1, 2):
        first, second = labels.narrow(dim, 0, labels.shape[dim] - 1), labels.narrow(dim, 1, labels.shape[dim] - 1)
        differs = first != second
        near.narrow(dim, 0, labels.shape[dim] - 1).logical_or_(differs)
        near.narrow(dim, 1, labels.shape[dim] - 1).logical_or_(differs)
    for _ in range(reach - 1):
        grown = near.clone()
        for dim in (1, 2):
            length = near.shape[dim] - 1
            grown.narrow(dim, 0, length).logical_or_(near.narrow(dim, 1, length))
            grown.narrow(dim, 1, length).logical_or_(near.narrow(dim, 0, length))
        near = grown
    return near
