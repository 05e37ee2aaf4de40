"""Noise at three scales, made once; every sample takes its own windows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import TEXTURE_SIZE
from pyface3d.data.synthetic.draws import Draws

_SIDE = 1024
#: Widths (standard deviation of the smoothing, in texels): patches, mottle, speckle.
_WIDTHS = (22.0, 6.0, 0.8)


@dataclass(frozen=True, eq=False)
class NoiseBank:
    """``fields`` (3, 1024, 1024): mean 0, variance 1, smooth at the widths of patches, mottle and speckle."""

    fields: Tensor

    def to(self, device: torch.device | str) -> NoiseBank:
        return NoiseBank(self.fields.to(device))

    def draw(self, draws: Draws, scale: int) -> Tensor:
        """A window (B, T, T) of one scale for each sample, in one of eight orientations."""
        corner = draws.integer(_SIDE - TEXTURE_SIZE, 2).tolist()
        turn = draws.integer(8).tolist()
        return torch.stack([self._window(scale, y, x, way) for (y, x), way in zip(corner, turn, strict=True)])

    def windows(self, count: int) -> Tensor:
        """Some fixed windows (count, T, T) of all scales together."""
        step = (_SIDE - TEXTURE_SIZE) // count
        return torch.stack([
            sum((self._window(scale, step * k, step * k, 0) for scale in range(3)), torch.zeros(()))
            for k in range(count)
        ])  # fmt: skip

    def _window(self, scale: int, row: int, column: int, turn: int) -> Tensor:
        window = self.fields[scale, row : row + TEXTURE_SIZE, column : column + TEXTURE_SIZE]
        if turn & 1:
            window = window.flip(0)
        if turn & 2:
            window = window.flip(1)
        return window.T if turn & 4 else window


def make_noise_bank() -> NoiseBank:
    """The same bank every time: white noise, smoothed by Gaussians in the frequency domain."""
    rng = np.random.default_rng(20)
    frequency = np.fft.fftfreq(_SIDE)
    squares = frequency[:, None] ** 2 + np.fft.rfftfreq(_SIDE)[None] ** 2
    fields = []
    for width in _WIDTHS:
        spectrum = np.fft.rfft2(rng.standard_normal((_SIDE, _SIDE))) * np.exp(-2 * (np.pi * width) ** 2 * squares)
        spectrum[0, 0] = 0.0
        field = np.fft.irfft2(spectrum, s=(_SIDE, _SIDE))
        fields.append(field / field.std())
    return NoiseBank(torch.from_numpy(np.stack(fields).astype(np.float32)))
