"""The head as a surface over azimuth and height, without ears, on which hair and hats are laid.

Rays leave a vertical axis inside the head: down to the axis' middle they fan out from one point (the skull's cap),
below they are level (temples, nape, neck). Where a ray meets the mean head is stored as a combination of vertices, so
that the surface of any other head costs one gather.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.face_models.linear import LinearFaceModel

COLUMNS = 64  # azimuths, the first straight ahead, then towards +x
ROW_STEP = 0.05
ROWS = 81  # heights q = 0 … 4: q <= 1 the cap from the crown to CENTER, then 100 mm down for each unit
CENTER = (0.0, 15.0, -68.0)
LOWEST_RAY = 2.75  # q below which the head's mesh ends; from here on the surface goes straight down
NARROWEST = 35.0  # mm from the axis; nearer hits belong to the rim under the neck
MM_PER_UNIT = 110.0  # of q, about, along the surface


@dataclass(frozen=True, eq=False)
class HeadChart:
    """Where the chart's nodes lie on a head.

    Attributes:
        index: (ROWS, COLUMNS, 6) int64 head vertices.
        weight: (ROWS, COLUMNS, 6), summing to one.
        drop: how far below that combination the node lies, (ROWS, COLUMNS) mm (rows beyond the head's mesh).
        direction: unit, away from the axis, (ROWS, COLUMNS, 3).
    """

    index: Tensor
    weight: Tensor
    drop: Tensor
    direction: Tensor

    def surface(self, verts: Tensor) -> Tensor:
        """Nodes on heads ``verts`` (B, V, 3): (B, ROWS, COLUMNS, 3) mm, model frame."""
        corners = verts.index_select(1, self.index.flatten()).unflatten(1, self.index.shape)
        points = torch.einsum("brckd,rck->brcd", corners, self.weight)
        points[..., 1] -= self.drop
        return points

    def reach(self, surface: Tensor) -> Tensor:
        """Distance of nodes from the axis along their rays, (B, ROWS, COLUMNS) mm."""
        return ((surface - axis_points().to(surface)[:, None]) * self.direction).sum(dim=-1)


def axis_points() -> Tensor:
    """Where the rays of each row start, (ROWS, 3)."""
    q = torch.arange(ROWS, dtype=torch.float32) * ROW_STEP
    points = torch.tensor(CENTER).repeat(ROWS, 1)
    points[:, 1] -= 100.0 * (q - 1.0).clamp_min(0)
    return points


def azimuths() -> Tensor:
    """(COLUMNS,) radians in [-π, π), 0 straight ahead, positive towards +x."""
    angle = torch.arange(COLUMNS, dtype=torch.float32) * (2 * torch.pi / COLUMNS)
    return torch.where(angle >= torch.pi - 1e-4, angle - 2 * torch.pi, angle)


def directions() -> Tensor:
    """Unit rays, (ROWS, COLUMNS, 3)."""
    q = torch.arange(ROWS, dtype=torch.float32) * ROW_STEP
    polar = q.clamp(0, 1)[:, None] * (torch.pi / 2)
    azimuth = azimuths()[None]
    up = polar.cos().expand(ROWS, COLUMNS)
    return torch.stack([polar.sin() * azimuth.sin(), up, polar.sin() * azimuth.cos()], dim=-1)


def make_head_chart(model: LinearFaceModel) -> HeadChart:
    """The chart of ``model``'s head, bound to its skin; rays that would meet the ears are bridged from both sides."""
    verts = model.template.double().cpu().numpy()
    skin = (model.regions["skin"] & ~model.regions["ears"]).cpu().numpy()
    faces = model.topology.faces.long().cpu().numpy()
    faces = faces[skin[faces].all(axis=1)]
    origins = axis_points().double().numpy()
    rays = directions().double().numpy()
    last = round(LOWEST_RAY / ROW_STEP)
    index = np.zeros((ROWS, COLUMNS, 3), dtype=np.int64)
    weight = np.zeros((ROWS, COLUMNS, 3))
    found = np.zeros((ROWS, COLUMNS), dtype=bool)
    for column in range(COLUMNS):
        # A column's rays share a half-plane through the axis: only faces that cross it can be met.
        ahead = rays[last, column]
        across = np.array([ahead[2], 0.0, -ahead[0]])
        side = (verts - origins[0]) @ across
        crossing = (side[faces].min(axis=1) <= 1e-6) & (side[faces].max(axis=1) >= -1e-6)
        near = faces[crossing & (((verts[faces] - origins[0]) @ ahead).max(axis=1) > -1e-6)]
        face, barycentric = _outermost_hits(origins[: last + 1], rays[: last + 1, column], verts[near])
        points = (verts[near[face]] * barycentric[..., None]).sum(axis=1)
        far = ((points - origins[: last + 1]) * rays[: last + 1, column]).sum(axis=1) > NARROWEST
        found[: last + 1, column] = (face >= 0) & far
        index[: last + 1, column] = near[face]
        weight[: last + 1, column] = barycentric
    return _bridge(index, weight, found)


def _outermost_hits(origins: np.ndarray, rays: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Farthest triangle (F, 3, 3) along each of N rays: index (N,) or -1, barycentrics (N, 3). Möller and Trumbore."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    h = np.cross(rays[:, None], ac[None])
    determinant = (h * ab).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / determinant
        s = origins[:, None] - a
        v = (s * h).sum(axis=-1) * inverse
        k = np.cross(s, ab[None])
        w = (rays[:, None] * k).sum(axis=-1) * inverse
        t = (ac * k).sum(axis=-1) * inverse
    slack = 1e-6
    hit = (np.abs(determinant) > 1e-12) & (v >= -slack) & (w >= -slack) & (v + w <= 1 + slack) & (t > 0)
    distance = np.where(hit, t, -np.inf)
    face = distance.argmax(axis=1)
    row = np.arange(len(rays))
    v, w = v[row, face].clip(0, 1), w[row, face].clip(0, 1)
    barycentric = np.stack([1 - v - w, v, w], axis=-1)
    return np.where(hit.any(axis=1), face, -1), barycentric


def _bridge(index: np.ndarray, weight: np.ndarray, found: np.ndarray) -> HeadChart:
    """Gives every node six vertices: its own triangle twice, or the nearest met ones to both sides in its row."""
    rows, columns = found.shape
    out_index = np.zeros((rows, columns, 6), dtype=np.int64)
    out_weight = np.zeros((rows, columns, 6))
    drop = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            source = row
            while not found[source].any() or (source > 40 and not _near(found[source], column, 10)):
                source -= 1
            met = np.flatnonzero(found[source])
            left = met[np.argmin((column - met) % columns)]
            right = met[np.argmin((met - column) % columns)]
            gap_left, gap_right = (column - left) % columns, (right - column) % columns
            share = 0.5 if gap_left + gap_right == 0 else gap_left / (gap_left + gap_right)
            out_index[row, column] = np.concatenate([index[source, left], index[source, right]])
            out_weight[row, column] = np.concatenate(
                [weight[source, left] * (1 - share), weight[source, right] * share]
            )
            drop[row, column] = (row - source) * ROW_STEP * 100.0
    return HeadChart(
        torch.from_numpy(out_index),
        torch.from_numpy(out_weight).float(),
        torch.from_numpy(drop).float(),
        directions(),
    )


def _near(found: np.ndarray, column: int, within: int) -> bool:
    """Whether a row was met at a column or close to it."""
    return bool(found.take(np.arange(column - within, column + within + 1), mode="wrap").any())
