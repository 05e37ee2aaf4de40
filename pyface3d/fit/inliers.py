"""Which pixels the fitted face explains, and which something else: the E-step of an occlusion-aware fit.

Every pixel is either the face plus noise, or an outlier: hair, a hand, a microphone, a mask. Outliers have colours of
their own, learnt from what surrounds the face, or any colour at all. Neighbours mostly agree, which a mean-field
Ising model says. Idea: Egger et al., "Occlusion-aware 3D morphable models and an illumination prior for face image
analysis" (2018); the densities and the smoothing here are our own.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_PRIOR_LOG_ODDS = 1.0  # a pixel of the face's projection shows the face three times in four
_MAX_LOG_ODDS = 5.0  # no single pixel is surer than that
_LEAST_PROBABILITY = 0.002  # of either kind, however sure a mask is: it may be a few pixels off at its edges
_SMOOTHING = 3.0  # log odds that unanimous neighbours are worth
_NEIGHBOUR_SIGMA = 1.5  # px
_ROUNDS = 10
_BINS = 10
_UNKNOWN_SHARE = 0.5  # of outliers that have a colour not found round the face


def outlier_density(colours: Tensor, surroundings: Tensor) -> Tensor:
    """Density of outliers' colours in [0, 1]^3, (H, W).

    Args:
        colours: (H, W, 3) in [0, 1].
        surroundings: pixels that surely are not the face, (H, W) bool.
    """
    scaled = colours.clamp(0, 1) * (_BINS - 1)
    index = scaled.round().long()
    flat = (index[..., 0] * _BINS + index[..., 1]) * _BINS + index[..., 2]
    histogram = torch.bincount(flat[surroundings], minlength=_BINS**3).to(colours)
    # A colour seen once makes its neighbours likely too.
    volume = histogram.view(1, 1, _BINS, _BINS, _BINS)
    for _ in range(2):
        volume = F.avg_pool3d(volume, 3, stride=1, padding=1, count_include_pad=False)
    total = volume.sum()
    density = volume / total * _BINS**3 if total > 0 else torch.ones_like(volume)
    known = density.flatten()[flat]
    return _UNKNOWN_SHARE + (1 - _UNKNOWN_SHARE) * known


def inlier_probability(
    square: Tensor,
    log_normaliser: float,
    outliers: Tensor,
    covered: Tensor,
    valid: Tensor,
    seen: Tensor | None = None,
) -> Tensor:
    """Probability that each pixel shows the face, (H, W); 0 off the face's projection.

    Args:
        square: squared misfit in σ, (H, W).
        log_normaliser: log of the inlier density where the misfit is 0.
        outliers: `outlier_density`, (H, W).
        covered: the face's projection, (H, W) bool.
        valid: pixels whose colour may be looked at, (H, W) bool; others follow their neighbours.
        seen: probability that each pixel shows the face by other means, (H, W); None: three in four.
    """
    prior = _PRIOR_LOG_ODDS if seen is None else torch.logit(seen, _LEAST_PROBABILITY)
    log_odds = log_normaliser - square / 2 - outliers.log() + prior
    log_odds = log_odds.clamp(-_MAX_LOG_ODDS, _MAX_LOG_ODDS)
    log_odds = torch.where(valid, log_odds, torch.zeros_like(log_odds))
    inside = covered.to(square)
    field = log_odds
    for _ in range(_ROUNDS):
        field = log_odds + _SMOOTHING * blur((torch.tanh(field / 2) * inside)[None], _NEIGHBOUR_SIGMA)[0]
    return torch.sigmoid(field) * inside


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (C, H, W), edges repeated."""
    radius = max(1, math.ceil(2.5 * sigma))
    place = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (place / sigma).square())
    kernel = kernel / kernel.sum()
    channels = image[:, None]
    channels = F.conv2d(F.pad(channels, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    channels = F.conv2d(F.pad(channels, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))
    return channels[:, 0]
