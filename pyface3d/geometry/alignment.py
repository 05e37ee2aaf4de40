"""Weighted alignment of two point sets by rotation, translation and scale."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.geometry.checks import check_finite, check_floating, check_shape


class Similarity(NamedTuple):
    """``target = scale * rotation @ source + translation``.

    scale (B,), rotation (B, D, D), translation (B, D).
    """

    scale: Tensor
    rotation: Tensor
    translation: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Moved points (B, N, D)."""
        turned = points @ self.rotation.transpose(-1, -2)
        return self.scale[:, None, None] * turned + self.translation[:, None]


def align_similarity(
    source: Tensor, target: Tensor, weights: Tensor | None = None, *, scale: float | Tensor | None = None
) -> Similarity:
    """The similarity that takes ``source`` closest to ``target`` in weighted least squares.

    Args:
        source, target: corresponding points, (B, N, D) with D of 2 or 3.
        weights: non-negative weight of each point, (B, N) or (N,); None weighs all alike.
        scale: None fits it; a number or (B,) keeps it fixed (1 gives a rigid motion).

    Returns:
        `Similarity`; the rotation is proper (determinant +1), never a reflection. Where the points leave it
        open (fewer than D independent directions) it is one of the best; no extent keeps scale 1.

    Raises:
        InputError: wrong shapes, values that are not finite, negative weights or none above zero.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
    (1991), equations 38-43, with weights in every mean.
    """
    check_floating("source", source)
    check_floating("target", target)
    check_shape("source", source, ("B", "N", "D"))
    check_shape("target", target, tuple(source.shape))
    check_finite("source", source)
    check_finite("target", target)
    size, count, dim = source.shape
    if dim not in (2, 3):
        raise InputError(f"source must hold points of 2 or 3 coordinates, got {dim}")
    if weights is None:
        weights = source.new_ones(size, count)
    check_shape("weights", weights, ("...", count))
    weights = weights.to(source).expand(size, count)
    check_finite("weights", weights)
    total = weights.sum(-1)
    if bool((weights < 0).any()) or not bool((total > 0).all()):
        raise InputError("weights must not be negative and must have one above zero in every set")

    weights = (weights / total[:, None])[..., None]
    source_mean = (weights * source).sum(1)
    target_mean = (weights * target).sum(1)
    from_source = source - source_mean[:, None]
    from_target = target - target_mean[:, None]
    covariance = (weights * from_target).transpose(-1, -2) @ from_source
    left, singular, right = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[:, -1] = torch.where(torch.linalg.det(left @ right) < 0, -1.0, 1.0)
    rotation = (left * sign[:, None]) @ right
    if scale is None:
        variance = (weights * from_source.square()).sum((1, 2))
        flat = variance <= 0
        fitted = (singular * sign).sum(-1) / torch.where(flat, torch.ones_like(variance), variance)
        factor = torch.where(flat, torch.ones_like(variance), fitted)
    else:
        factor = torch.as_tensor(scale, dtype=source.dtype, device=source.device).expand(size)
        check_finite("scale", factor)
    moved = (rotation @ source_mean[..., None]).squeeze(-1)
    return Similarity(factor, rotation, target_mean - factor[:, None] * moved)
