"""Sharpness on both sides of the seam: the model's albedo as sharp as the photo, and grain where it has none."""

import cv2
import numpy as np
import torch
from torch import Tensor

_GRAIN_LIMIT = 0.025  # log units: a photo noisier than this is not worth imitating
_BANDS = (0.7, 1.8)  # standard deviations of the grain's two bands, in photo pixels
_SEED = 20


def blur_to_resolution(picture: Tensor, texels_per_pixel: float) -> Tensor:
    """A chart (S, S, C) without the detail that a photo of that resolution could not show."""
    sigma = 0.5 * texels_per_pixel
    if sigma < 0.6:  # the chart is no finer than the photo
        return picture
    return torch.from_numpy(cv2.GaussianBlur(picture.numpy(), (0, 0), sigma))


def grain(detail: Tensor, trusted: Tensor, texels_per_pixel: float) -> Tensor:
    """Grain with the strength and size of the photo's, for texels that the photo does not show.

    Args:
        detail: log brightness of the photo less the model's, (S, S).
        trusted: texels of seen skin, (S, S) bool; grain is measured on these.
        texels_per_pixel: chart texels along one photo pixel.

    Returns:
        (S, S), log units; zero where nothing was seen. The same for the same input: its noise has a fixed seed.
    """
    result = np.zeros(detail.shape, np.float32)
    if int(trusted.sum()) < 100:
        return torch.from_numpy(result)
    generator = torch.Generator().manual_seed(_SEED)
    noise = torch.randn(detail.shape, generator=generator).numpy()
    inside = trusted.numpy()
    values = np.where(inside, detail.numpy(), 0).astype(np.float32)
    share = inside.astype(np.float32)
    widths = [max(0.5, band * texels_per_pixel) for band in _BANDS]
    finer = None
    for width in [*widths, 2.5 * widths[-1]]:
        smooth = cv2.GaussianBlur(values, (0, 0), width) / np.maximum(cv2.GaussianBlur(share, (0, 0), width), 1e-3)
        smooth_noise = cv2.GaussianBlur(noise, (0, 0), width)
        if finer is not None:
            # Median of the absolute value: pores and noise count, the few edges of lids and wrinkles do not.
            strength = 1.4826 * float(np.median(np.abs(finer[0] - smooth)[inside]))
            band = finer[1] - smooth_noise
            result += band * (min(strength, _GRAIN_LIMIT) / max(float(band.std()), 1e-9))
        finer = (smooth, smooth_noise)
    return torch.from_numpy(result)
