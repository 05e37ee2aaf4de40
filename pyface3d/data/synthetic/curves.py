"""Distances of many points to a curve, and curves through given points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_AT_ONCE = 1 << 14  # points measured together: all pairs of points and segments must fit into memory


def between(x: Tensor, knots: Sequence[float], values: Sequence[float]) -> Tensor:
    """Linear interpolation, constant beyond the ends; ``knots`` rising."""
    at, value = x.new_tensor(knots), x.new_tensor(values)
    right = torch.searchsorted(at, x.contiguous()).clamp(1, len(at) - 1)
    share = ((x - at[right - 1]) / (at[right] - at[right - 1])).clamp(0, 1)
    return value[right - 1] + share * (value[right] - value[right - 1])


def closed_curve(points: Tensor, count: int) -> Tensor:
    """A smooth closed curve (Catmull-Rom) through ``points`` (N, D), sampled (count, D)."""
    n = len(points)
    at = torch.arange(count) * (n / count)
    i, t = at.floor().long(), (at - at.floor())[:, None]
    p0, p1, p2, p3 = (points[(i + k) % n] for k in (-1, 0, 1, 2))
    return p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))


def distance_to(points: Tensor, curve: Tensor, closed: bool = True) -> Tensor:
    """Distance of ``points`` (..., D) to a polygon or an open chain of segments (N, D), (...,)."""
    start, end = (curve, curve.roll(-1, 0)) if closed else (curve[:-1], curve[1:])
    flat = points.reshape(-1, points.shape[-1])
    near = [_to_segments(some, start, end)[0].amin(-1) for some in flat.split(_AT_ONCE)]
    return torch.cat(near).reshape(points.shape[:-1])


def inside_polygon(points: Tensor, polygon: Tensor) -> Tensor:
    """Whether points (..., 2) lie inside a polygon (N, 2), by the crossings of a ray."""
    x, y = points[..., 0:1], points[..., 1:2]
    start, end = polygon, polygon.roll(-1, 0)
    rises = (start[:, 1] > y) != (end[:, 1] > y)
    height = torch.where(end[:, 1] == start[:, 1], torch.ones_like(end[:, 1]), end[:, 1] - start[:, 1])
    crossing = start[:, 0] + (end[:, 0] - start[:, 0]) * (y - start[:, 1]) / height
    return (rises & (x < crossing)).sum(-1) % 2 == 1


def side_of_curve(points: Tensor, chain: Tensor) -> Tensor:
    """Signed distance of points (..., 2) to an open chain (N, 2): positive on its left, going along it."""
    start, end = chain[:-1], chain[1:]
    distance, offset = _to_segments(points, start, end)
    nearest = distance.argmin(-1, keepdim=True)
    step = (end - start)[nearest[..., 0]]
    away = offset.gather(-2, nearest[..., None].expand(*nearest.shape, 2))[..., 0, :]
    left = step[..., 0] * away[..., 1] - step[..., 1] * away[..., 0]
    return torch.where(left > 0, 1.0, -1.0) * distance.gather(-1, nearest)[..., 0]


def _to_segments(points: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (..., N) and offset (..., N, D) of points from the nearest point of every segment."""
    from_start, step = points[..., None, :] - start, end - start
    along = (from_start * step).sum(-1) / step.square().sum(-1).clamp_min(1e-12)
    offset = from_start - along.clamp(0, 1)[..., None] * step
    return offset.norm(dim=-1), offset
