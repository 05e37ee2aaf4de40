"""How well a mask agrees with the true one: counts of pixels, and the figures made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    """Pixels by what they were said to be and what they are; add those of several pictures to pool them.

    Attributes:
        both: said and true.
        said: said, but not true.
        true: true, but not said.
        neither: neither.
    """

    both: int = 0
    said: int = 0
    true: int = 0
    neither: int = 0

    @classmethod
    def of(cls, predicted: Mask, truth: Mask, region: Mask | None = None) -> Confusion:
        """Counts over a picture, or over the pixels of ``region``; all (H, W) bool."""
        if region is not None:
            predicted, truth = predicted[region], truth[region]
        both, said, true = (int(np.count_nonzero(m)) for m in (predicted & truth, predicted, truth))
        return cls(both, said - both, true - both, predicted.size - said - true + both)

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.both + other.both, self.said + other.said, self.true + other.true, self.neither + other.neither
        )

    @property
    def accuracy(self) -> float:
        """Share of pixels that were judged rightly."""
        return self._share(self.both + self.neither, self.both + self.said + self.true + self.neither)

    @property
    def precision(self) -> float:
        """Share of what was said that is true."""
        return self._share(self.both, self.both + self.said)

    @property
    def recall(self) -> float:
        """Share of what is true that was said."""
        return self._share(self.both, self.both + self.true)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (Dice)."""
        return self._share(2 * self.both, 2 * self.both + self.said + self.true)

    @property
    def iou(self) -> float:
        """Intersection over union (Jaccard)."""
        return self._share(self.both, self.both + self.said + self.true)

    def _share(self, part: int, whole: int) -> float:
        """``part`` of ``whole``; of nothing, 1 where nothing is wrong and 0 where something is."""
        if whole:
            return part / whole
        return float(self.said + self.true == 0)
