"""A tile of band-limited noise, looked up by the garments for strands, weave, folds and ragged edges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

TILE = 256  # texels along each side
FINE, COARSE, CLOUD, GRAIN = range(4)


def make_noise_tile(device: torch.device | str = "cpu") -> Tensor:
    """(1, 4, TILE + 1, TILE + 1) of zero mean and unit variance, periodic, always the same.

    Channels: fine streaks along v, coarse streaks along v, clouds (1/f), grain. The last row and column repeat the
    first, so that bilinear lookups wrap.
    """
    rng = np.random.default_rng(20261120)
    frequency = np.fft.fftfreq(TILE) * TILE
    v, u = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(u, v)

    def band(weights: np.ndarray) -> np.ndarray:
        weights = weights.copy()
        weights[0, 0] = 0.0
        field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((TILE, TILE))) * weights).real
        return np.asarray(field / field.std())

    def streaks(center: float, along: float) -> np.ndarray:
        across = np.exp(-(((np.abs(u) - center) / (0.5 * center)) ** 2))
        return band(across * np.exp(-((v / along) ** 2)))

    clouds = band(1.0 / np.maximum(radius, 1.0) ** 1.5 * (radius < 40))
    grain = band(np.exp(-((radius / 60.0) ** 2)))
    tile = np.stack([streaks(40.0, 3.0), streaks(10.0, 2.0), clouds, grain]).astype(np.float32)
    tile = np.pad(tile, ((0, 0), (0, 1), (0, 1)), mode="wrap")
    return torch.from_numpy(tile)[None].to(device)


def look_up(tile: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Noise at points: u, v (...) in tiles (1 = one period) → (..., 4)."""
    points = torch.stack([u - u.floor(), v - v.floor()], dim=-1).reshape(1, 1, -1, 2)
    # align_corners: -1 and 1 are the middles of the first texel and of its repetition.
    values = torch.nn.functional.grid_sample(tile, points * 2 - 1, mode="bilinear", align_corners=True)
    return values[0, :, 0].T.reshape(*u.shape, tile.shape[1])
