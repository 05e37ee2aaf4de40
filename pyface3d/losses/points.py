"""Losses of image points.

The likelihood of a point with a deviation of its own follows Wood et al., "3D Face Reconstruction with Dense
Landmarks" (2022); its weighting by the deviation Seitzer et al., "On the Pitfalls of Heteroscedastic Uncertainty
Estimation with Probabilistic Neural Networks" (2022).
"""

import math

import torch
from torch import Tensor

from pyface3d.losses.reduction import masked_mean


def gaussian_nll(
    points: Tensor, truth: Tensor, log_sigma: Tensor, mask: Tensor | None = None, beta: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of points under isotropic Gaussians around the predictions.

    Args:
        points, truth: (B, P, 2), one unit.
        log_sigma: (B, P) logarithm of the deviation per axis, same unit.
        mask: (B,) or (B, P) bool, which points count.
        beta: 0 is the likelihood itself. Above it each point's term is weighted by its deviation to the power
            2 beta (taken as a constant), so that points known to be hard still pull on the prediction.

    Returns:
        Scalar; per point ``d² / (2 σ²) + 2 log σ + log 2π`` (times σ^(2 beta)).
    """
    square = (points - truth).square().sum(-1)
    nll = 0.5 * square * (-2 * log_sigma).exp() + 2 * log_sigma + math.log(2 * math.pi)
    if beta:
        nll = nll * (2 * beta * log_sigma.detach()).exp()
    return masked_mean(nll, mask)


def distance_loss(points: Tensor, truth: Tensor, mask: Tensor | None = None, softness: float = 0.01) -> Tensor:
    """Mean distance of points, rounded off below ``softness`` so that its slope ends at zero.

    Args:
        points, truth: (B, P, 2), one unit.
        mask: (B,) or (B, P) bool, which points count.
        softness: in the same unit.
    """
    square = (points - truth).square().sum(-1)
    return masked_mean((square + softness**2).sqrt() - softness, mask)


def shape_loss(points: Tensor, truth: Tensor, mask: Tensor | None = None, softness: float = 0.003) -> Tensor:
    """Mean distance of points after the similarity that lays them best on the truth (taken as a constant).

    All points of a face share the error of its place, size and turn, which is many times what a mouth opens. Their
    distances alone pull them towards the common error; this loss leaves it out, and with it what shape there is shows.

    Args:
        points, truth: (B, P, 2), one unit.
        mask: (B,) bool, which samples count.
        softness: as of `distance_loss`.
    """
    here, there = points - points.mean(1, keepdim=True), truth - truth.mean(1, keepdim=True)
    # A similarity of the plane is a complex factor: conj(p) t, summed, over the sum of |p|².
    with torch.no_grad():
        size = here.square().sum((1, 2)).clamp_min(1e-12)
        along = (here * there).sum((1, 2)) / size
        across = (here[..., 0] * there[..., 1] - here[..., 1] * there[..., 0]).sum(1) / size
        matrix = torch.stack([along, -across, across, along], 1).view(-1, 1, 2, 2)
    return distance_loss((matrix * here[:, :, None]).sum(-1), there, mask, softness)
