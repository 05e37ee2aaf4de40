"""What JPEG does to a picture: 8 x 8 cosine transform, quantisation, chroma at half resolution; no bit stream.

Source: ITU-T T.81 (the transform, A.3.3; the tables, K.1 and K.2); the quality scale is the one of the Independent
JPEG Group's encoder, and chroma is brought back by its triangle filter.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMA = """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""


def jpeg(images: Tensor, quality: Tensor, subsample: Tensor) -> Tensor:
    """Pictures as they come back from a JPEG file.

    Args:
        images: (B, 3, H, W) sRGB in [0, 1].
        quality: (B,) 1…100.
        subsample: (B,) bool, True where chroma is kept at half the resolution on both axes (4:2:0).

    Returns:
        (B, 3, H, W) in [0, 1].

    Not differentiable (rounding).
    """
    height, width = images.shape[-2:]
    padding = (0, -width % 16, 0, -height % 16)
    pixels = (images * 255).round()
    if any(padding):
        pixels = functional.pad(pixels, padding, mode="replicate")
    red, green, blue = pixels.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1).round()  # stored as whole numbers
    luma = luma.round()
    scale = torch.where(quality < 50, 50 / quality.clamp_min(1), 2 - quality / 50)
    tables = (_tables(images.device) * scale[:, None, None, None] + 0.5).floor().clamp(1, 255)
    luma = _quantise(luma[:, None] - 128, tables[:, :1])[:, 0] + 128
    decoded_chroma = torch.empty_like(chroma)
    for halved in (False, True):
        chosen = (subsample == halved).nonzero()[:, 0]
        if not len(chosen):
            continue
        planes = functional.avg_pool2d(chroma[chosen], 2).round() if halved else chroma[chosen]
        planes = _quantise(planes, tables[chosen, 1:])
        decoded_chroma[chosen] = _double(planes) if halved else planes
    blue_difference, red_difference = decoded_chroma.unbind(1)
    decoded = torch.stack(
        [
            luma + 1.402 * red_difference,
            luma - 0.344136 * blue_difference - 0.714136 * red_difference,
            luma + 1.772 * blue_difference,
        ],
        1,
    )
    return decoded[..., :height, :width].round().clamp(0, 255) / 255


def _quantise(planes: Tensor, tables: Tensor) -> Tensor:
    """(B, C, H, W) planes with their 8 x 8 cosine coefficients rounded to multiples of (B, 1, 8, 8)."""
    basis = _basis(planes.device)
    count, channels, height, width = planes.shape
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(count, -1, 64)
    step = tables.reshape(count, 1, 64)
    coefficients = ((blocks @ basis.T) / step).round_() * step
    blocks = (coefficients @ basis).reshape(count, channels, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(planes.shape).round_().clamp_(-128, 127)


def _double(planes: Tensor) -> Tensor:
    """Twice the size by the triangle filter: each new pixel is 3/4 of the nearest and 1/4 of the next."""
    return functional.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)


@cache
def _tables(device: torch.device) -> Tensor:
    numbers = [np.array(text.split(), np.float32).reshape(8, 8) for text in (_LUMA, _CHROMA)]
    return torch.from_numpy(np.stack(numbers)).to(device)


@cache
def _basis(device: torch.device) -> Tensor:
    """(64, 64) orthonormal cosine transform of a block's 64 pixels in reading order, one coefficient per row."""
    frequency, at = np.mgrid[:8, :8]
    rows = np.cos((2 * at + 1) * frequency * np.pi / 16) * np.where(frequency == 0, np.sqrt(1 / 8), 0.5)
    return torch.from_numpy(np.kron(rows, rows).astype(np.float32)).to(device)
