"""What the relief network learns, and how it is measured meanwhile."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyface3d.evaluate.relief_errors import luminance, relief_figures
from pyface3d.losses import relief_loss, relief_slope_loss
from pyface3d.networks.relief import ReliefNet
from pyface3d.train.monitor import Monitor, grid
from pyface3d.train.pictures import clay, mirrored
from pyface3d.train.recolouring import recolour
from pyface3d.train.relief.config import ReliefConfig, ReliefWeights
from pyface3d.train.relief.samples import ReliefSamples, render_relief

_MIRRORED = 0.5  # share of the crops
_BROAD_PX = 4
_PICTURES = 24
_PITCH_MM = 1.0  # about what a pixel of a crop of 256 covers


class ReliefTask:
    """Relief of a crop; a `pyface3d.train.loop.Task`.

    Args:
        config: of the run.
        validation: fixed synthetic samples, on the CPU.
    """

    render = staticmethod(render_relief)

    def __init__(self, config: ReliefConfig, validation: ReliefSamples) -> None:
        self.config, self._validation = config, validation

    def loss_parts(
        self, network: ReliefNet, samples: ReliefSamples, rng: np.random.Generator, step: int
    ) -> dict[str, Tensor]:
        flip = torch.from_numpy(rng.random(len(samples)) < _MIRRORED).to(samples.image.device)
        image, truth, seen = (mirrored(value, flip) for value in (samples.image, samples.relief, samples.seen))
        image = recolour(image.float() / 255, rng)
        found = network(image.contiguous(memory_format=torch.channels_last))
        weights, truth = self.config.weights, truth.float()
        maps, soft = (found, truth, pixel_weights(truth, seen, weights)), weights.softness
        return {
            "height": weights.height * relief_loss(*maps, soft),
            "slope": weights.slope * relief_slope_loss(*maps, 1, soft),
            "broad_slope": weights.broad_slope * relief_slope_loss(*maps, _BROAD_PX, soft),
        }

    def validate(self, network: ReliefNet, step: int, monitor: Monitor) -> dict[str, float]:
        truth = self._validation
        found = reliefs(network, truth.image)
        figures = sample_measures(found, truth)
        monitor.figures(step, "synthetic", figures)
        some = slice(_PICTURES)
        monitor.pictures(step, "synthetic", picture_grid(truth.image[some], found[some], truth.relief[some].float()))
        return figures


def pixel_weights(truth: Tensor, seen: Tensor, weights: ReliefWeights) -> Tensor:
    """How much each pixel counts, (B, S, S); see `ReliefWeights`."""
    deep = 1 + weights.emphasis * (truth.abs() / weights.deep_mm).clamp_max(1)
    return torch.where(seen, weights.seen * deep, weights.unseen)


@torch.no_grad()
def reliefs(network: ReliefNet, image: Tensor, batch: int = 8) -> Tensor:
    """What a network in evaluation mode says of uint8 crops (B, 3, S, S): (B, S, S) mm, on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device).float() / 255).cpu() for part in image.split(batch)])


def sample_measures(found: Tensor, truth: ReliefSamples) -> dict[str, float]:
    """`relief_figures` over seen skin, and beside them the rms in mm where there is none and nothing to be found."""
    light = luminance(truth.image.float() / 255)
    figures = relief_figures(found, truth.relief.float(), truth.seen, light, _PITCH_MM)
    off = ~truth.seen & (truth.relief == 0)
    figures["elsewhere_rms"] = float((found.square() * off).sum() / off.sum().clamp_min(1)) ** 0.5
    return figures


def picture_grid(image: Tensor, found: Tensor, truth: Tensor, columns: int = 4) -> Tensor:
    """Crops (B, 3, S, S) uint8, what was found and what is true (B, S, S) as clay, (3, H, W) uint8."""
    return grid(torch.cat([image, clay(found, _PITCH_MM), clay(truth, _PITCH_MM)], 3), columns)
