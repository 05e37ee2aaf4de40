"""Cheap changes that let one rendered crop serve several steps of the part network; labels change alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.part_labels import FacePart
from pyface3d.train.parts.samples import UNKNOWN, PartSamples
from pyface3d.train.recolouring import recolour


@dataclass(frozen=True)
class PartChanges:
    """How much of each change.

    Attributes:
        mirrored: share of mirrored crops; no class is of one side only.
        turned: standard deviation of the turn in radians; shifted: of the shift in sides of the crop; zoomed: of the
            logarithm of the scale.
        covered: share of crops on which a patch of another crop is laid, upside down.
        grey: share of crops without colour.
        noise: highest deviation of added noise.
    """

    mirrored: float = 0.5
    turned: float = 0.08
    shifted: float = 0.03
    zoomed: float = 0.1
    covered: float = 0.12
    grey: float = 0.1
    noise: float = 0.04


def change_parts(samples: PartSamples, rng: np.random.Generator, changes: PartChanges) -> tuple[Tensor, Tensor]:
    """Changed crops (B, 3, S, S) float in [0, 1] and their label maps (B, S, S) uint8; all draws come from ``rng``."""
    count, device = len(samples), samples.image.device
    flip = torch.from_numpy(rng.random(count) < changes.mirrored).to(device)
    image = torch.where(flip[:, None, None, None], samples.image.flip(-1), samples.image).float() / 255
    segments = torch.where(flip[:, None, None], samples.segments.flip(-1), samples.segments)
    turned = rng.normal(0, changes.turned, count)
    zoom = np.exp(rng.normal(0, changes.zoomed, count))
    moved = rng.normal(0, changes.shifted, (count, 2))
    mirrored_edge = bool(rng.random() < 0.5)
    image, segments = _move(image, segments, _backward(turned, zoom, moved).to(device), mirrored_edge)
    image, segments = _cover(image, segments, rng, changes.covered)
    return recolour(image, rng, changes.grey, changes.noise), segments


def _backward(turn: np.ndarray, zoom: np.ndarray, shift: np.ndarray) -> Tensor:
    """New places to old ones, both from -1 to 1 over the crop: (B, 2, 3)."""
    cos, sin = np.cos(turn) / zoom, np.sin(turn) / zoom
    back = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    return torch.from_numpy(np.concatenate([back, -back @ (2 * shift[:, :, None])], 2)).float()


def _move(image: Tensor, segments: Tensor, backward: Tensor, mirrored_edge: bool) -> tuple[Tensor, Tensor]:
    """Turn, scale and shift; beyond the edge the mirror image, or black of which nothing is to be learnt."""
    padding = "reflection" if mirrored_edge else "zeros"
    grid = functional.affine_grid(backward, list(image.shape), align_corners=False)
    moved = functional.grid_sample(image, grid, padding_mode=padding, align_corners=False)
    # Shifted by one, so that what comes from outside can be told: grid_sample fills it with 0.
    above = functional.grid_sample(
        segments[:, None].float() + 1, grid, mode="nearest", padding_mode=padding, align_corners=False
    )[:, 0]
    return moved, torch.where(above > 0, above - 1, float(UNKNOWN)).to(torch.uint8)


def _cover(image: Tensor, segments: Tensor, rng: np.random.Generator, share: float) -> tuple[Tensor, Tensor]:
    """Lay an elliptic or nearly rectangular patch of the next crop, upside down and recoloured, on a share of them."""
    count, size = len(image), image.shape[-1]
    covered = torch.from_numpy(rng.random(count) < share).to(image.device)
    numbers = np.concatenate(
        [rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(0.06, 0.22, (count, 2)), rng.uniform(0.3, 1.3, (count, 3))], 1
    )
    power = torch.from_numpy(np.where(rng.random(count) < 0.5, 2.0, 16.0)).float().to(image.device)
    middle, half, gain = torch.from_numpy(numbers).float().to(image.device).split([2, 2, 3], 1)
    axis = (torch.arange(size, device=image.device) + 0.5) / size
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    relative = ((pixels - middle[:, None, None]) / half[:, None, None]).abs()
    inside = (relative.pow(power[:, None, None, None]).sum(-1) < 1) & covered[:, None, None]
    patch = (image.roll(1, 0).flip(2) * gain[:, :, None, None]).clamp(0, 1)
    labels = torch.where(inside & (segments != UNKNOWN), int(FacePart.OCCLUDER), segments)
    return torch.where(inside[:, None], patch, image), labels
