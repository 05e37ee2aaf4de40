"""Landmarks that something hides: they are guesses, and count less in a fit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.face_models.landmarks import NUM_JAW

_REACH = 0.05  # of the face's size: radius about a landmark in which the face must be seen
_INWARD = 0.06  # of the way to the nose: jaw points lie on the face's edge, and are judged inside of it
_NOSE = 30
_HIDDEN_SHARE = 0.5
"""What a wholly hidden landmark's deviation is divided by: its predictor says most of the doubt itself."""


def visible_shares(points: Tensor, seen: Tensor) -> Tensor:
    """How much of the face is seen about each of 68 landmarks.

    Args:
        points: (68, 2) px of the picture.
        seen: probability that a pixel shows the face, (H, W) in [0, 1] or bool.

    Returns:
        (68,) in [0, 1]; mean over a disc of a twentieth of the face's size, 0 for what lies outside of the picture.
    """
    points = points.float()
    size = float((points.amax(0) - points.amin(0)).max())
    middles = points.clone()
    middles[:NUM_JAW] += _INWARD * (points[_NOSE] - points[:NUM_JAW])
    # Samples on a grid over the disc, at most a pixel apart on small faces, some dozens on large ones.
    reach = max(_REACH * size, 0.5)
    ticks = torch.linspace(-reach, reach, 9)
    disc = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    disc = disc[disc.norm(dim=1) <= reach * 1.001].to(points)
    spots = middles[:, None] + disc
    height, width = seen.shape
    grid = spots / points.new_tensor([width, height]) * 2 - 1
    plane = seen.to(points)[None, None]
    return functional.grid_sample(plane, grid[None], align_corners=False)[0, 0].mean(1).clamp(0, 1)


def widened(sigma: Tensor, points: Tensor, seen: Tensor) -> Tensor:
    """Deviations (68,) of landmarks (68, 2) px, up to doubled where ``seen`` (H, W) says that the face is hidden."""
    return sigma / (_HIDDEN_SHARE + (1 - _HIDDEN_SHARE) * visible_shares(points, seen).to(sigma))
