"""Pose from landmarks under weak perspective: the start of every fit.

The search over head turns is exhaustive (a grid over yaw and pitch) and the rest, in-plane turn, scale and shift,
is a closed form for each turn. Nothing iterates from a guess, so a profile or an upside-down head cannot lead it
into a wrong valley.
"""

import math

import torch
from torch import Tensor

from pyface3d.fit.sparse_model import NUM_JAW, SparseFace, visible_contour
from pyface3d.geometry import align_similarity, rotation_from_euler

_YAWS = tuple(range(-90, 91, 15))
_PITCHES = (-40, -20, 0, 20, 40)
_REWEIGHTINGS = 4
_ROBUST_SCALE_MM = 12.0  # mean-face misfit at which a landmark counts a quarter


def weak_perspective_start(sparse: SparseFace, points: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean face's best pose on a grid of turns.

    Args:
        sparse: the model's landmarks.
        points: (B, P, 2) px, float64: the 68 landmarks, and the dense points where they are known.
        sigma: (B, P) px.

    Returns:
        rotation (B, 3, 3) model to camera, scale (B,) in px per mm, origin (B, 2): where the model's origin is, px.
    """
    size = len(points)
    yaw, pitch = (
        torch.tensor([[math.radians(y), math.radians(p)] for y in _YAWS for p in _PITCHES]).to(points).unbind(-1)
    )
    turns = rotation_from_euler(yaw, pitch, torch.zeros_like(yaw))  # (T, 3, 3)
    flat = (sparse.mean @ turns.transpose(1, 2))[..., :2]  # (T, K, 2)
    jaw = visible_contour(sparse, flat, turns)
    index = torch.cat([jaw, torch.arange(NUM_JAW, points.shape[1], device=jaw.device).expand(len(jaw), -1)], 1)
    source = torch.take_along_dim(flat, index[..., None], 1)  # (T, P, 2)

    count = len(turns)
    source = source.expand(size, -1, -1, -1).flatten(0, 1)
    target = points[:, None].expand(-1, count, -1, -1).flatten(0, 1)
    base = sigma.pow(-2)[:, None].expand(-1, count, -1).flatten(0, 1)
    weights = base
    for _ in range(_REWEIGHTINGS):
        motion = align_similarity(source, target, weights)
        # Misfit in mm of the face: pixels over the found scale, so that shrinking it away gains nothing.
        misfit = (motion.apply(source) - target).norm(dim=-1) / motion.scale.clamp_min(1e-9)[:, None]
        belief = 1 / (1 + (misfit / _ROBUST_SCALE_MM).square())
        weights = base * belief.square()
    cost = (base * (1 - belief)).sum(-1).view(size, count)
    best = cost.argmin(1) + count * torch.arange(size, device=cost.device)

    scale, plane, origin = motion.scale[best], motion.rotation[best], motion.translation[best]
    roll = torch.zeros(size, 3, 3).to(points)
    roll[:, :2, :2], roll[:, 2, 2] = plane, 1
    return roll @ turns[best % count], scale, origin
