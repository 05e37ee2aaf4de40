"""What the part network learns, and how it is measured meanwhile."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyface3d.networks.face_parts import FaceParts
from pyface3d.train.monitor import Monitor
from pyface3d.train.parts.changes import PartChanges, change_parts
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.parts.measures import found_parts, part_measures
from pyface3d.train.parts.objective import class_weights, loss_parts
from pyface3d.train.parts.pictures import part_grid
from pyface3d.train.parts.samples import PartSamples, render_parts

_PICTURES = 24


class PartsTask:
    """Classes of every pixel; a `pyface3d.train.loop.Task`.

    Args:
        config: of the run.
        device: of the network.
        validation: fixed samples to measure on by name, on the CPU: synthetic ones, photos.
    """

    render = staticmethod(render_parts)

    def __init__(self, config: PartsConfig, device: torch.device | str, validation: dict[str, PartSamples]) -> None:
        self.config = config
        self.changes = PartChanges() if config.occluders else PartChanges(covered=0.0)
        self._weights = class_weights(config.balance).to(device)
        self._validation = validation

    def loss_parts(
        self, network: FaceParts, samples: PartSamples, rng: np.random.Generator, step: int
    ) -> dict[str, Tensor]:
        image, labels = change_parts(samples, rng, self.changes)
        logits = network(image.contiguous(memory_format=torch.channels_last))
        return loss_parts(logits, labels, self._weights, self.config)

    def validate(self, network: FaceParts, step: int, monitor: Monitor) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name, samples in self._validation.items():
            found = found_parts(network, samples.image)
            measured = part_measures(found, samples.segments)
            monitor.figures(step, name, measured)
            some = slice(_PICTURES)
            monitor.pictures(step, name, part_grid(samples.image[some], samples.segments[some], found[some]))
            figures |= {f"{name}_{key}": value for key, value in measured.items()}
        return figures
