"""Is a fitted face one that somebody could have?

A low landmark error says little: a free enough model reaches any landmarks with lips that pass through each other.
These checks look at what the landmarks do not: size, distance from the mean, and the triangles of lips and lids.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pyface3d.face_models.lips import joined_vertices
from pyface3d.fit.results import FaceFit

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_MOUTH = range(48, 68)
_EYES = range(36, 48)
_REACH_MM = 6.0  # how far from the landmarks a triangle still belongs to lip or lid
_FACING = 0.2  # least z of a normal: closed lips rest on each other behind what can be seen, in any blendshape model
_LEAST_AREA_MM2 = 1e-3  # the normal of a smaller triangle is noise
_PAIR_CHUNK = 1 << 20


@dataclass(frozen=True)
class Plausibility:
    """What was found for B faces.

    Attributes:
        identity_rms, identity_max: over the identity coefficients, σ, (B,).
        interpupil_mm: between the middles of the two eyes' corners, (B,).
        flipped: lip and lid triangles whose normal turned against the mean face's, (B,) int64.
        crossing: pairs of lip or lid triangles that pass through each other, beyond as many as do where the mean
            face's closed lips rest on each other, (B,) int64.
    """

    identity_rms: Tensor
    identity_max: Tensor
    interpupil_mm: Tensor
    flipped: Tensor
    crossing: Tensor

    @property
    def passed(self) -> Tensor:
        """rms <= 1, max <= 3, 55 to 75 mm between the pupils, nothing flipped, nothing crossing; (B,) bool."""
        size = (self.interpupil_mm >= 55) & (self.interpupil_mm <= 75)
        near = (self.identity_rms <= 1) & (self.identity_max <= 3)
        return near & size & (self.flipped == 0) & (self.crossing == 0)


@dataclass(frozen=True)
class _Patch:
    """Triangles of lips and lids: their corners (T, 3), and how many pairs cross in the mean face already."""

    corners: Tensor
    neutral_normals: Tensor
    neutral_crossings: int


_PATCHES: "WeakKeyDictionary[FaceModel, _Patch]" = WeakKeyDictionary()


def check_plausibility(model: "FaceModel", fit: FaceFit) -> Plausibility:
    """Check the faces of a fit; see `Plausibility`. Takes some milliseconds a face."""
    with torch.no_grad():
        verts = fit.verts(model).double().cpu()
        patch = _patch(model)
        landmarks = model.landmarks("ibug68").to("cpu").points(verts, model.topology.to("cpu"))
        right, left = landmarks[:, [36, 39]].mean(1), landmarks[:, [42, 45]].mean(1)
        normals, areas = _normals(verts[:, patch.corners])
        against = (normals * patch.neutral_normals).sum(-1) < 0
        crossing = [len(crossing_pairs(face, patch.corners)) - patch.neutral_crossings for face in verts]
    identity = fit.identity.double().cpu()
    return Plausibility(
        identity_rms=identity.square().mean(-1).sqrt(),
        identity_max=identity.abs().amax(-1),
        interpupil_mm=(left - right).norm(dim=-1),
        flipped=(against & (areas > _LEAST_AREA_MM2)).sum(-1),
        crossing=torch.tensor(crossing, dtype=torch.int64).clamp_min(0),
    )


def crossing_pairs(verts: Tensor, corners: Tensor) -> Tensor:
    """Pairs of triangles that pass through each other, apart from neighbours.

    Args:
        verts: (V, 3).
        corners: (T, 3) vertex indices.

    Returns:
        (P, 2) indices of triangles, smaller first, in rising order; triangles that share a vertex are not compared.
    """
    triangles = verts[corners]
    low, high = triangles.amin(1), triangles.amax(1)
    count = len(corners)
    rows: list[Tensor] = []
    step = max(1, _PAIR_CHUNK // max(count, 1))
    for start in range(0, count, step):
        part = slice(start, start + step)
        overlap = (low[part, None] <= high).all(-1) & (low <= high[part, None]).all(-1)
        first, second = overlap.nonzero().unbind(1)
        first = first + start
        rows.append(torch.stack([first, second], 1)[first < second])
    pairs = torch.cat(rows) if rows else corners.new_zeros(0, 2)
    shared = (corners[pairs[:, 0], :, None] == corners[pairs[:, 1], None, :]).any((1, 2))
    pairs = pairs[~shared]
    one, two = triangles[pairs[:, 0]], triangles[pairs[:, 1]]
    return pairs[_edges_pierce(one, two) | _edges_pierce(two, one)]


def _edges_pierce(edges_of: Tensor, triangles: Tensor) -> Tensor:
    """Whether an edge of the first triangle goes through the inside of the second, (P,); (P, 3, 3) each.

    Moeller and Trumbore, "Fast, minimum storage ray/triangle intersection" (1997), with the ray cut to the edge.
    """
    origin = edges_of[:, :, None]
    direction = edges_of.roll(-1, 1)[:, :, None] - origin
    base, side, other = triangles[:, None, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    side, other = side[:, None], other[:, None]
    origin, direction = origin.squeeze(2), direction.squeeze(2)
    across = torch.linalg.cross(direction, other.expand_as(direction))
    determinant = (side * across).sum(-1)
    parallel = determinant.abs() < 1e-12
    inverse = 1 / torch.where(parallel, torch.ones_like(determinant), determinant)
    away = origin - base
    u = (away * across).sum(-1) * inverse
    turned = torch.linalg.cross(away, side.expand_as(away))
    v = (direction * turned).sum(-1) * inverse
    along = (other * turned).sum(-1) * inverse
    inside = (u > 0) & (v > 0) & (u + v < 1) & (along > 0) & (along < 1) & ~parallel
    return inside.any(-1)


def _normals(triangles: Tensor) -> tuple[Tensor, Tensor]:
    """Unit normals (..., 3) and areas (...) of triangles (..., 3, 3)."""
    cross = torch.linalg.cross(triangles[..., 1, :] - triangles[..., 0, :], triangles[..., 2, :] - triangles[..., 0, :])
    length = cross.norm(dim=-1)
    return cross / length.clamp_min(1e-12)[..., None], length / 2


def _patch(model: "FaceModel") -> _Patch:
    """Skin triangles round mouth and eyes that face forward in the mean face, so not the mouth's inside."""
    if model not in _PATCHES:
        on_cpu = model.to("cpu")
        like = torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)
        neutral = on_cpu.vertices(*like).double()
        faces = on_cpu.topology.faces.long()
        marks = on_cpu.landmarks("ibug68").points(neutral, on_cpu.topology)[0, [*_EYES, *_MOUTH]]
        near = torch.cdist(neutral[0], marks).amin(1) <= _REACH_MM
        skin = joined_vertices(faces, on_cpu.landmarks("ibug68").faces[[30]])
        normals, areas = _normals(neutral[0, faces])
        wanted = near[faces].all(1) & skin[faces[:, 0]] & (normals[:, 2] > _FACING) & (areas > _LEAST_AREA_MM2)
        corners = faces[wanted]
        _PATCHES[model] = _Patch(corners, normals[wanted], len(crossing_pairs(neutral[0], corners)))
    return _PATCHES[model]
