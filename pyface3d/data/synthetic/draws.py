"""Random numbers of a batch, one stream per sample, so that a sample is the same in whatever batch it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BLOCK = 64  # numbers drawn per sample at a time


class Draws:
    """Columns of random numbers for B samples; every call takes the next columns of each sample's own stream."""

    def __init__(self, rngs: Sequence[np.random.Generator], device: torch.device | str) -> None:
        """Args:
        rngs: one generator per sample; their states move on by whole blocks.
        device: of the numbers handed out.
        """
        self._rngs = rngs
        self.device = torch.device(device)
        self._block = torch.zeros(len(rngs), 0, device=self.device)
        self._used = 0

    def __len__(self) -> int:
        return len(self._rngs)

    def of(self, index: Tensor) -> Draws:
        """Draws of some of the samples only, (n,) int64; those left out do not move on."""
        return Draws([self._rngs[i] for i in index.tolist()], self.device)

    def random(self, *shape: int) -> Tensor:
        """(B, *shape) uniform in [0, 1)."""
        count = int(np.prod(shape)) if shape else 1
        if self._used + count > self._block.shape[1]:
            rows = [rng.random(max(_BLOCK, count), dtype=np.float32) for rng in self._rngs]
            array = np.stack(rows) if rows else np.zeros((0, max(_BLOCK, count)), np.float32)
            self._block, self._used = torch.from_numpy(array).to(self.device), 0
        numbers = self._block[:, self._used : self._used + count]
        self._used += count
        return numbers.reshape(len(self), *shape)

    def uniform(self, low: float | Tensor, high: float | Tensor, *shape: int) -> Tensor:
        """(B, *shape) uniform in [low, high)."""
        return low + (high - low) * self.random(*shape)

    def normal(self, sigma: float | Tensor, *shape: int) -> Tensor:
        """(B, *shape) normal about 0, by the inverse of the distribution function, so cut at 5 sigma."""
        uniform = self.random(*shape).clamp(3e-7, 1 - 3e-7)
        return sigma * (2**0.5) * torch.erfinv(2 * uniform - 1)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """(B, *shape) bool, True with this probability."""
        return self.random(*shape) < probability

    def integer(self, count: int, *shape: int) -> Tensor:
        """(B, *shape) int64, uniform in [0, count)."""
        return (self.random(*shape) * count).long().clamp_max(count - 1)

    def choice(self, weights: Sequence[float]) -> Tensor:
        """(B,) int64: which of the alternatives, in proportion to their weights."""
        edges = torch.tensor(np.cumsum(weights) / np.sum(weights), dtype=torch.float32, device=self.device)
        return torch.bucketize(self.random().contiguous(), edges[:-1], right=True)
