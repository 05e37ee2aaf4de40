"""The last rendered batches, from which each step draws: neighbouring steps then share few samples."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch

from pyface3d.train.config import RunConfig
from pyface3d.train.feeding import SampleFeed
from pyface3d.train.samples import SampleSet

_STREAM = 78  # of random numbers for the choice


def first_batch(step: int, config: RunConfig) -> int:
    """Number of the oldest batch that a step may draw from."""
    return max(step // config.reuse - config.pool + 1, 0)


class SamplePool:
    """Samples of a step, a function of its number alone.

    A batch comes in every ``config.reuse`` steps and the oldest goes, so that each sample serves about so many.

    Args:
        feed: starts at `first_batch` of the first step asked for.
        config: of the run.
        device: where the samples are kept.
    """

    def __init__(self, feed: SampleFeed, config: RunConfig, device: torch.device) -> None:
        self._feed, self._config, self._device = feed, config, device
        self._batches: deque[SampleSet] = deque(maxlen=config.pool)
        self._newest = feed.first - 1

    def draw(self, step: int) -> SampleSet:
        """``config.batch`` different samples of the pool as it is at ``step``; steps are asked for in order."""
        config = self._config
        while self._newest < step // config.reuse:
            self._batches.append(self._feed.next().to(self._device))
            self._newest += 1
        if len(self._batches) == 1:
            return self._batches[0]
        rng = np.random.default_rng([config.seed, step, _STREAM])
        chosen = rng.choice(len(self._batches) * config.batch, config.batch, replace=False)
        groups = [
            (k, torch.from_numpy(np.sort(chosen[chosen // config.batch == k] % config.batch)))
            for k in range(config.pool)
        ]
        parts = [self._batches[k].rows(rows.to(self._device)) for k, rows in groups if len(rows)]
        return type(parts[0]).joined(parts)
