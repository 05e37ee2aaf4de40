"""Cheap changes that let one rendered batch serve several steps: mirror, turn, shift and zoom, cover, colours.

Every change keeps the labels exact. All random draws come from one generator, so a step depends on its number alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.train.points.samples import Samples
from pyface3d.train.recolouring import recolour


@dataclass(frozen=True)
class MirrorTables:
    """What lies opposite what in the labels.

    Attributes:
        points: (P,) index of the point on the other side of the face.
        expression: (E,) index of the action of the other side.
        identity: (I,) +1 or -1: shape modes of the head are symmetric or antisymmetric.
    """

    points: Tensor
    expression: Tensor
    identity: Tensor

    def to(self, device: torch.device | str) -> MirrorTables:
        return MirrorTables(self.points.to(device), self.expression.to(device), self.identity.to(device))


@dataclass(frozen=True)
class Changes:
    """How much of each change.

    Attributes:
        mirrored: share of mirrored crops.
        turned: standard deviation of the turn in radians; shifted: of the shift in sides of the crop; zoomed: of the
            logarithm of the scale.
        covered: share of crops on which a patch of another crop is laid.
        grey: share of crops without colour.
        noise: highest deviation of added noise.
    """

    mirrored: float = 0.5
    turned: float = 0.08
    shifted: float = 0.03
    zoomed: float = 0.05
    covered: float = 0.15
    grey: float = 0.1
    noise: float = 0.04


def change_samples(
    samples: Samples, mirror: MirrorTables, rng: np.random.Generator, changes: Changes
) -> tuple[Tensor, Samples]:
    """Changed crops and their labels.

    Args:
        samples: as rendered.
        mirror: tables for the labels, on the device of the samples.
        rng: all draws come from it.
        changes: how much of each.

    Returns:
        The crops (B, 3, S, S) float in [0, 1], and samples whose labels fit them (their ``image`` is the old one).
    """
    count, device = len(samples), samples.image.device
    flip = torch.from_numpy(rng.random(count) < changes.mirrored).to(device)
    samples = mirror_samples(samples, mirror, flip)
    turned = rng.normal(0, changes.turned, count)
    zoom = np.exp(rng.normal(0, changes.zoomed, count))
    moved = rng.normal(0, changes.shifted, (count, 2))
    outside = ("zeros", "border", "reflection")[rng.integers(3)]
    turn, scale, shift = (torch.from_numpy(values).float().to(device) for values in (turned, zoom, moved))
    image, samples = _move(samples, turn, scale, shift, outside)
    image, samples = _cover(image, samples, rng, changes.covered)
    return recolour(image, rng, changes.grey, changes.noise), samples


def mirror_samples(samples: Samples, mirror: MirrorTables, flip: Tensor) -> Samples:
    """Mirror the crops where ``flip`` (B,) bool is True, and all that is said of them."""
    points = samples.points[:, mirror.points] * samples.points.new_tensor([-1, 1]) + samples.points.new_tensor([1, 0])
    across = samples.rotation.new_tensor([-1, 1, 1])  # a mirrored head turns in the mirrored frame: M R M
    mirrored = {
        "image": samples.image.flip(3),
        "points": points,
        "visible": samples.visible[:, mirror.points],
        "rotation": samples.rotation * across[:, None] * across,
        "identity": samples.identity * mirror.identity,
        "expression": samples.expression[:, mirror.expression],
    }
    return replace(
        samples,
        **{
            name: torch.where(flip.reshape(-1, *[1] * (value.ndim - 1)), value, getattr(samples, name))
            for name, value in mirrored.items()
        },
    )


def _move(samples: Samples, turn: Tensor, scale: Tensor, shift: Tensor, outside: str) -> tuple[Tensor, Samples]:
    """Turn (clockwise in the picture), scale and shift the crops about their middles.

    The shift's small change of the viewing ray is left out of the rotation: half a degree at most.
    """
    cos, sin = torch.cos(turn), torch.sin(turn)
    turned = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    forward = scale[:, None, None] * turned  # of points about the middle, y down
    points = (samples.points - 0.5) @ forward.transpose(1, 2) + 0.5 + shift[:, None]
    backward = turned.transpose(1, 2) / scale[:, None, None]
    # grid_sample counts from -1 to 1 over the crop: twice our fractions about the middle.
    theta = torch.cat([backward, -backward @ (2 * shift[:, :, None])], dim=2)
    image = samples.image.float() / 255
    grid = functional.affine_grid(theta, list(image.shape), align_corners=False)
    image = functional.grid_sample(image, grid, padding_mode=outside, align_corners=False)
    about_z = torch.zeros_like(samples.rotation)
    about_z[:, :2, :2], about_z[:, 2, 2] = turned, 1
    inside = ((points >= 0) & (points < 1)).all(-1)
    moved = replace(samples, points=points, rotation=about_z @ samples.rotation, visible=samples.visible & inside)
    return image, moved


def _cover(image: Tensor, samples: Samples, rng: np.random.Generator, share: float) -> tuple[Tensor, Samples]:
    """Lay a rectangular or elliptic patch of the next crop, its colours changed, on a share of the crops."""
    count, size = len(samples), image.shape[-1]
    covered = rng.random(count) < share
    middle, half = rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(0.08, 0.28, (count, 2))
    power = np.where(rng.random(count) < 0.5, 2.0, 16.0)  # superellipse: an ellipse, or nearly a rectangle
    gain, offset = rng.uniform(0.3, 1.3, (count, 3)), rng.uniform(-0.2, 0.3, (count, 3))
    if not share:
        return image, samples
    tensors = (torch.from_numpy(x).float().to(image.device) for x in (middle, half, power, gain, offset))
    center, extent, exponent, factor, addend = tensors
    on = torch.from_numpy(covered).to(image.device)

    def inside(points: Tensor) -> Tensor:
        relative = ((points - center[:, None]) / extent[:, None]).abs()
        return (relative.pow(exponent[:, None, None]).sum(-1) < 1) & on[:, None]

    axis = (torch.arange(size, device=image.device) + 0.5) / size
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)
    patch = (image.roll(1, 0) * factor[:, :, None, None] + addend[:, :, None, None]).clamp(0, 1)
    image = torch.where(inside(pixels).reshape(count, 1, size, size), patch, image)
    return image, replace(samples, visible=samples.visible & ~inside(samples.points))
