"""Which pixels are this person's own skin: statistics of colour learnt from the photo itself.

Every pixel is compared with what the mean albedo shows there: the logarithm of their ratio is one colour of light
for all of the skin, whoever it is and wherever the light comes from. What lies off that colour is hair, cloth,
glass, a microphone, background. There is no training data in here; a prior only says which of several colours in a
face may be skin.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.ops import shade_spherical_harmonics

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

LOG_FLOOR = 0.006
"""Added before every logarithm, linear RGB: below it a camera's noise and rounding are larger than the signal."""

COLOR_VOLUME = 3.0 * 3.0 * 6.0
"""Of the box over which the colour of an unknown occluder is uniform, along the three axes."""

# log(ratio) is turned into these axes: (log r - log g, log b - log g, brightness).
_AXES = np.array([[1.0, -1.0, 0.0], [0.0, -1.0, 1.0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
# Where the ratio of a photo to the mean albedo lies for skin, along the axes: people, white balances, exposures.
_PRIOR_CENTER = np.array([0.0, 0.0, -0.3], np.float32)
_PRIOR_SPREAD = np.array([0.28, 0.38, 1.0], np.float32)
_SIGMA_LOW = np.array([0.09, 0.12, 0.28], np.float32)
_SIGMA_START = np.array([0.13, 0.17, 0.45], np.float32)
_SIGMA_HIGH = np.array([0.18, 0.23, 0.45], np.float32)
_COLOR_SAMPLES = 20_000
_TAIL = 5.0  # degrees of freedom of the skin's t distribution: pimples, gloss, cast shadow
_SHADE_RIDGE = np.array([1e-6, *[0.15] * 3, *[1.0] * 5])  # of all pixels' say, by degree: pulls to an even light
_LOBE = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])  # what a matt surface keeps of each band of light
_SHADE_LIMIT = 0.6  # log units from the even light, for what was not seen
_ROUNDS = 6


@dataclass(frozen=True)
class SkinStatistics:
    """Colour of one person's skin in one light, as log ratio to the mean albedo.

    Attributes:
        sigma: spread along red-green, blue-green and brightness, once the light is taken out, (3,).
        shading: log ratio by direction, in bands of `shading_basis` for each linear RGB channel, (9, 3).
        even: the same without direction, (3,).
        limits: least and greatest log ratio that the skin it was learnt from showed, per channel, (2, 3).
    """

    sigma: Floats
    shading: Floats
    even: Floats
    limits: Floats

    def shade(self, normals: Floats) -> Floats:
        """Log of the light towards unit ``normals`` (..., 3), (..., 3), held within what the skin showed."""
        shade = np.clip(shading_basis(normals) @ self.shading, self.limits[0], self.limits[1])
        return np.asarray(shade, np.float32)

    def distance(self, log_ratio: Floats, normals: Floats) -> Floats:
        """How far pixels are from this skin, in σ along the three axes, signed, (..., 3)."""
        return self.in_sigma(log_ratio - self.shade(normals))

    def in_sigma(self, log_difference: Floats) -> Floats:
        """A difference of log colours (..., 3) along the three axes, in σ."""
        return np.asarray(log_difference @ _AXES.T / self.sigma, np.float32)

    def log_likelihood(self, distance: Floats, slack: Floats | float = 1.0) -> Floats:
        """Log density of skin at ``distance`` (..., 3) σ; ``slack`` (..., 3) widens the spread where needed."""
        wider = np.broadcast_to(np.asarray(slack, np.float32), distance.shape)
        density = _student(((distance / wider) ** 2).sum(-1)) - np.log(wider * self.sigma).sum(-1)
        return np.asarray(density, np.float32)


def shading_basis(normals: Floats) -> Floats:
    """What each of nine bands of light adds at unit ``normals`` (..., 3): (..., 9)."""
    unit = torch.eye(9, dtype=torch.float32)
    towards = torch.from_numpy(np.ascontiguousarray(normals, np.float32))
    shades = [shade_spherical_harmonics(towards, unit[:, k : k + 3].contiguous()) for k in (0, 3, 6)]
    return np.asarray(torch.cat(shades, -1).numpy(), np.float32)


def learn_skin(log_ratio: Floats, normals: Floats, weight: Floats) -> SkinStatistics:
    """Learn the light and the spread of skin from pixels most of which are skin, but by no means all.

    An M-estimate: pixels far from the present guess lose their say. It starts from the prior on chroma, so that a
    mask that covers more than half of the face still does not become "skin".

    Args:
        log_ratio: log of photo over mean albedo, linear RGB, (N, 3).
        normals: unit normals in the camera frame, (N, 3).
        weight: how likely each pixel is skin from where it lies in the face, (N,), not negative.
    """
    basis = shading_basis(normals)
    prior = _prior_weight(log_ratio)
    # Not the densest colour: a mask is more even than any skin.
    center = _weighted_quantile(log_ratio @ _AXES.T, weight * prior, 0.5)
    sigma = _SIGMA_START.copy()
    coefficients = np.zeros((9, 3), np.float32)
    coefficients[0] = np.linalg.solve(_AXES, center) / basis[0, 0]
    for turn in range(_ROUNDS):
        residual = (log_ratio - basis @ coefficients) @ _AXES.T
        believed = weight / (1 + ((residual / sigma) ** 2).sum(1) / _TAIL) ** 2
        if turn < 2:
            believed = believed * prior
        coefficients = _fit_shading(basis, log_ratio, believed)
        residual = (log_ratio - basis @ coefficients) @ _AXES.T
        middle = _weighted_quantile(np.abs(residual), believed, 0.5)
        sigma = np.clip(1.4826 * middle, _SIGMA_LOW, _SIGMA_HIGH)
    shade = basis @ coefficients
    near = believed > 0.25 * believed.max(initial=1e-9)
    even = coefficients[0] * basis[0, 0]
    limits = np.quantile(shade[near], [0.02, 0.98], axis=0) if near.any() else np.stack([even, even])
    return SkinStatistics(
        sigma=sigma.astype(np.float32),
        shading=coefficients,
        even=even,
        limits=np.clip(limits, even - _SHADE_LIMIT, even + _SHADE_LIMIT).astype(np.float32),
    )


@dataclass(frozen=True)
class ColorHistogram:
    """Smoothed histogram of colours (log chroma and brightness): what the photo shows off the head."""

    low: Floats
    step: Floats
    log_density: Floats

    def __call__(self, log_rgb: Floats) -> Floats:
        """Log density at (..., 3) colours; an unseen colour has that of a uniform spread."""
        bins = ((log_rgb @ _AXES.T - self.low) / self.step).astype(np.int64)
        bins = np.clip(bins, 0, np.array(self.log_density.shape) - 1)
        return self.log_density[bins[..., 0], bins[..., 1], bins[..., 2]]


def learn_colors(*samples: tuple[Floats, float]) -> ColorHistogram:
    """Histogram of the colours of pixels that are not the face, mixed with a uniform spread.

    Args:
        samples: log RGB of some pixels (N, 3), and the share of the whole that colours like theirs get. What the
            shares leave of 1 is uniform: an occluder can have any colour.
    """
    from scipy.ndimage import gaussian_filter

    shape = np.array([24, 24, 30])
    low, high = np.array([-1.5, -1.5, -5.2], np.float32), np.array([1.5, 1.5, 0.2], np.float32)
    step = (high - low) / shape
    given = [(log_rgb[:: max(1, len(log_rgb) // _COLOR_SAMPLES)], share) for log_rgb, share in samples if len(log_rgb)]
    density = np.full(shape, (1 - sum(share for _, share in given)) / COLOR_VOLUME, np.float32)
    for log_rgb, share in given:
        bins = np.clip(((log_rgb @ _AXES.T - low) / step).astype(np.int64), 0, shape - 1)
        flat = np.bincount(np.ravel_multi_index(tuple(bins.T), tuple(shape)), minlength=int(shape.prod()))
        smooth = gaussian_filter(flat.reshape(shape).astype(np.float32), 1.0, mode="nearest")
        density += share * smooth / (max(float(smooth.sum()), 1e-9) * float(step.prod()))
    return ColorHistogram(low, step.astype(np.float32), np.log(density).astype(np.float32))


def smooth_along_edges(values: Floats, guide: Floats, radius: int, epsilon: float) -> Floats:
    """Guided filter (He, Sun & Tang 2013, equations 5, 6, 8): local means that stop at the edges of ``guide``.

    Args:
        values, guide: (h, w).
        radius: half the window, px.
        epsilon: variance of the guide below which a window counts as flat.
    """
    import cv2

    def mean(x: Floats) -> Floats:
        window = (2 * radius + 1, 2 * radius + 1)
        return np.asarray(cv2.blur(x, window, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, value_mean = mean(guide), mean(values)
    slope = (mean(guide * values) - guide_mean * value_mean) / (mean(guide * guide) - guide_mean**2 + epsilon)
    offset = value_mean - slope * guide_mean
    return mean(slope) * guide + mean(offset)


def _student(squared: Floats) -> Floats:
    """Log density of a 3-dimensional t distribution with unit spread at squared distance."""
    constant = math.lgamma((_TAIL + 3) / 2) - math.lgamma(_TAIL / 2) - 1.5 * math.log(math.pi * _TAIL)
    return (constant - (_TAIL + 3) / 2 * np.log1p(squared / _TAIL)).astype(np.float32)


def _prior_weight(log_ratio: Floats) -> Floats:
    squared = (((log_ratio @ _AXES.T - _PRIOR_CENTER) / _PRIOR_SPREAD) ** 2).sum(1)
    return np.exp(-0.5 * (squared - squared.min(initial=np.inf))).astype(np.float32)


def _weighted_quantile(values: Floats, weight: Floats, quantile: float) -> Floats:
    order = np.argsort(values, axis=0)
    total = np.cumsum(weight[order], axis=0)
    index = np.argmax(total >= quantile * total[-1], axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, index[None], 0), 0)[0].astype(np.float32)


def _fit_shading(basis: Floats, log_ratio: Floats, weight: Floats) -> Floats:
    """Weighted ridge regression of the log ratio on the 9 terms; the constant term is free."""
    weighted = basis * weight[:, None]
    gram = (weighted.T @ basis).astype(np.float64)
    # A band's mean square over the sphere is lobe² / 4π: with it the pull does not depend on the bands' scale.
    ridge = max(float(weight.sum()), 1e-6) * np.diag(_SHADE_RIDGE * _LOBE**2 / (4 * math.pi))
    return np.linalg.solve(gram + ridge, (weighted.T @ log_ratio).astype(np.float64)).astype(np.float32)
