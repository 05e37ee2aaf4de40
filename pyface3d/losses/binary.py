"""Loss of yes-or-no answers: visibility of points, face or no face."""

from torch import Tensor
from torch.nn import functional

from pyface3d.losses.reduction import masked_mean


def binary_loss(log_odds: Tensor, truth: Tensor, mask: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Mean binary cross-entropy.

    Args:
        log_odds: (B, ...) predicted.
        truth: the same shape, bool.
        mask: (B,) or the shape of ``log_odds``, bool, which answers count.
        smoothing: share of the answers taken as wrong, against overconfidence.
    """
    target = truth.to(log_odds.dtype) * (1 - smoothing) + smoothing / 2
    return masked_mean(functional.binary_cross_entropy_with_logits(log_odds, target, reduction="none"), mask)
