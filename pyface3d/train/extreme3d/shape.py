"""What the shape network of Extreme 3D Faces learns, and how it is measured meanwhile.

Source: Tran, Hassner, Masi, Medioni, "Regressing Robust and Discriminative 3D Morphable Models with a very Deep Neural
Network" (CVPR 2017): ResNet-101 and the asymmetric Euclidean loss. Labels here are exact, of synthetic faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyface3d.losses import asymmetric_loss, masked_mean
from pyface3d.networks.extreme3d import ShapeRegressor
from pyface3d.train.extreme3d.config import ShapeConfig
from pyface3d.train.monitor import Monitor, grid
from pyface3d.train.recolouring import recolour
from pyface3d.train.samples import SampleSet

_PICTURES = 16


@dataclass(frozen=True)
class ShapeSamples(SampleSet):
    """B crops of Extreme 3D Faces.

    Attributes:
        coefficients: (B, C) σ units, shape first and then texture.
        known: (B,) bool, False where they are not to be learnt.
    """

    coefficients: Tensor
    known: Tensor


def render_heads(sampler: Any, start: int, count: int) -> ShapeSamples:
    """Samples ``start`` to ``start + count`` of `SyntheticFaces`: identity of ``head``, no texture."""
    faces = sampler.batch(start, count)
    known = faces.coefficients_known & torch.isfinite(faces.identity).all(1)
    return ShapeSamples(faces.image, torch.nan_to_num(faces.identity.float(), 0.0, 0.0, 0.0), known)


class ShapeTask:
    """Coefficients of a crop; a `pyface3d.train.loop.Task`.

    Args:
        config: of the run.
        render: `render_heads`, or another source of `ShapeSamples`.
        validation: fixed synthetic samples, on the CPU.
    """

    def __init__(self, config: ShapeConfig, render: Any, validation: ShapeSamples) -> None:
        self.config, self.render, self._validation = config, render, validation

    def loss_parts(
        self, network: ShapeRegressor, samples: ShapeSamples, rng: np.random.Generator, step: int
    ) -> dict[str, Tensor]:
        image = recolour(samples.image.float() / 255, rng).contiguous(memory_format=torch.channels_last)
        found = network(as_input(image)).float()
        cost = {"over": self.config.over, "under": self.config.under}
        truth, known, shapes = samples.coefficients, samples.known, network.shapes
        parts = {"shape": asymmetric_loss(found[:, :shapes], truth[:, :shapes], known, **cost)}
        if network.textures:
            parts["texture"] = asymmetric_loss(found[:, shapes:], truth[:, shapes:], known, **cost)
        return parts

    def validate(self, network: ShapeRegressor, step: int, monitor: Monitor) -> dict[str, float]:
        truth = self._validation
        figures = shape_figures(coefficients(network, truth.image), truth, network.shapes)
        monitor.figures(step, "synthetic", figures)
        monitor.pictures(step, "synthetic", grid(truth.image[:_PICTURES], columns=4))
        return figures


def as_input(image: Tensor) -> Tensor:
    """What `ShapeRegressor` takes of crops (B, 3, 224, 224), RGB of 0…1: BGR, 0…255."""
    return 255 * image.flip(1)


def start_network(network: ShapeRegressor, samples: ShapeSamples) -> None:
    """Give the network the mean colour of samples as the mean picture that it takes off."""
    colour = as_input(samples.image.float() / 255).mean((0, 2, 3))
    network.mean.copy_(colour[:, None, None].expand_as(network.mean))


@torch.no_grad()
def coefficients(network: ShapeRegressor, image: Tensor, batch: int = 16) -> Tensor:
    """What a network in evaluation mode says of uint8 crops (B, 3, 224, 224): (B, C), on the CPU."""
    device = next(network.parameters()).device
    return torch.cat([network(as_input(part.to(device).float() / 255)).float().cpu() for part in image.split(batch)])


def shape_figures(found: Tensor, truth: ShapeSamples, shapes: int) -> dict[str, float]:
    """Root mean square errors over known samples, σ units, beside those of the mean face; and how long answers are.

    Returns:
        ``shape`` and ``mean_face``: errors of the answer and of all zeros; ``length``: mean length of the answers over
        that of the truth, 0 for the mean face; the same with ``texture_`` where there are textures.
    """
    figures = {}
    for name, columns in (("shape", slice(None, shapes)), ("texture", slice(shapes, None))):
        said, true = found[:, columns], truth.coefficients[:, columns]
        if not true.shape[1]:
            continue
        prefix = "" if name == "shape" else "texture_"
        figures[name] = float(masked_mean((said - true).square(), truth.known)) ** 0.5
        figures[f"{prefix}mean_face"] = float(masked_mean(true.square(), truth.known)) ** 0.5
        lengths = [float(masked_mean(values.norm(dim=1), truth.known)) for values in (said, true)]
        figures[f"{prefix}length"] = lengths[0] / max(lengths[1], 1e-9)
    return figures
