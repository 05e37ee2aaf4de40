"""Noise at three scales, made once; every sample takes its own windows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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

    def draw(self, draws: Draws, scale: int, height: int, width: int) -> Tensor:
        """A window (B, height, width) of one scale for each sample, in one of four orientations."""
        rows, columns = draws.integer(_SIDE - height).tolist(), draws.integer(_SIDE - width).tolist()
        turns = draws.integer(4).tolist()
        windows = [
            self.fields[scale, row : row + height, column : column + width].flip(
                [axis for axis in (0, 1) if turn >> axis & 1]
            )
            for row, column, turn in zip(rows, columns, turns, strict=True)
        ]
        return torch.stack(windows)

    def laid_on(self, draws: Draws, scale: int, row: Tensor, column: Tensor) -> Tensor:
        """One scale where the caller's map says, (B, *shape): the field goes on for ever, each sample's from elsewhere.

        Args:
            row, column: (*shape) int64, place of every point in texels of the bank.
        """
        down, right = draws.integer(_SIDE).tolist(), draws.integer(_SIDE).tolist()
        field = self.fields[scale].flatten()
        places = [((row + y) & (_SIDE - 1)) * _SIDE + ((column + x) & (_SIDE - 1)) for y, x in zip(down, right)]
        return torch.stack([field[place] for place in places])

    def windows(self, count: int, height: int, width: int) -> Tensor:
        """Some fixed windows (count, height, width) of all scales together."""
        field, step = self.fields.sum(0), (_SIDE - max(height, width)) // count
        return torch.stack([field[step * k : step * k + height, step * k : step * k + width] for k in range(count)])


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
