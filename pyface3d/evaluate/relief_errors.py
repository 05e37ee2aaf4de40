"""How far a relief is from the truth, and whether it only repeats what is dark. Needs torch alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

FLAT_MM = 0.02
"""Skin with less relief than this counts as flat."""
SMOOTHING_MM = 5.0
"""Standard deviation of the Gaussian whose result is taken away before things are correlated: the 8 pixels of 0.6 mm
with which the leakage of published relief maps was measured."""
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def high_pass(values: Tensor, mask: Tensor, sigma_px: float) -> Tensor:
    """What a Gaussian over the mask alone leaves, 0 outside of it.

    Args:
        values: (B, H, W).
        mask: (B, H, W) bool.
        sigma_px: of the Gaussian.
    """
    half = max(math.ceil(3 * sigma_px), 1)
    at = torch.arange(-half, half + 1, device=values.device, dtype=values.dtype)
    kernel = torch.exp(-0.5 * (at / sigma_px) ** 2)
    inside = mask.to(values.dtype)
    both = torch.stack([values * inside, inside], 1)
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        weight = (kernel / kernel.sum()).reshape(shape).expand(2, -1, -1, -1)
        both = functional.conv2d(both, weight, padding="same", groups=2)
    return (values - both[:, 0] / both[:, 1].clamp_min(1e-6)) * inside


def correlation(one: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Pearson correlation over each sample's mask, (B,); NaN where one of the two is constant or nothing is masked."""
    count = mask.sum((1, 2)).clamp_min(1)

    def centred(values: Tensor) -> Tensor:
        mean = (values * mask).sum((1, 2)) / count
        return (values - mean[:, None, None]) * mask

    a, b = centred(one), centred(other)
    squares = a.square().sum((1, 2)) * b.square().sum((1, 2))
    return torch.where(squares > 1e-16, (a * b).sum((1, 2)) / squares.clamp_min(1e-16).sqrt(), math.nan)


def luminance(image: Tensor) -> Tensor:
    """(B, 3, H, W) → (B, H, W)."""
    return (image * image.new_tensor(_LUMINANCE)[:, None, None]).sum(1)


def relief_figures(
    relief: Tensor, truth: Tensor, skin: Tensor, light: Tensor, pitch_mm: float = 1.0
) -> dict[str, float]:
    """Figures of relief maps (B, H, W) in mm where ``skin`` (B, H, W) is seen.

    Args:
        light: luminance of the pictures, (B, H, W).
        pitch_mm: of a pixel on the face, for the smoothing.

    Returns:
        ``flat_rms``: rms in mm where the truth is flat. ``deep_error``: mean absolute error in mm where it is not;
        ``deep``: what a flat answer has there. ``gain``: slope of the answer over the truth, by least squares, of what
        is finer than `SMOOTHING_MM`; ``likeness``: their correlation over all samples; ``light``: mean over the samples
        of the absolute correlation of the answer with the luminance, both so sharpened (0 for a constant answer).
    """
    sigma = SMOOTHING_MM / pitch_mm
    flat, deep = skin & (truth.abs() < FLAT_MM), skin & (truth.abs() >= FLAT_MM)
    error = relief - truth
    fine, fine_truth, fine_light = (high_pass(values, skin, sigma) for values in (relief, truth, light))
    together, own, true = ((a * b).sum() for a, b in ((fine, fine_truth), (fine, fine), (fine_truth, fine_truth)))
    leak = correlation(fine, fine_light, skin).abs().nan_to_num(0.0)
    return {
        "flat_rms": float((error.square() * flat).sum() / flat.sum().clamp_min(1)) ** 0.5,
        "deep_error": float((error.abs() * deep).sum() / deep.sum().clamp_min(1)),
        "deep": float((truth.abs() * deep).sum() / deep.sum().clamp_min(1)),
        "gain": float(together / true.clamp_min(1e-9)),
        "likeness": float(together / (own * true).sqrt().clamp_min(1e-9)),
        "light": float(leak.mean()),
    }
