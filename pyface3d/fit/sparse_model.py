"""The face model at its landmarks: the few points a landmark fit moves, as one affine map."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pyface3d.face_models.contour import outermost_candidates, outward_directions, padded_candidates
from pyface3d.face_models.dense_points import DENSE_SCHEME
from pyface3d.face_models.lips import facing_lips, joined_vertices
from pyface3d.ops import vertex_normals

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel, LandmarkEmbedding

NUM_POINTS = 68
NUM_JAW = 17
"""The first 17 of the 68 points run along the jaw; they are where the face ends, not fixed spots of the skin."""

GAP_PAIRS = ((61, 67), (62, 66), (63, 65), (37, 41), (38, 40), (43, 47), (44, 46))
"""Landmarks that face each other across the mouth and the eyes, upper first: they may touch but not pass."""

_LID_REACH_MM, _LID_FACING, _LID_UPRIGHT = 8.0, 0.5, 0.7  # skin round the eyes, facing forward; upright edges
_CHUNK = 16  # coefficients evaluated at once: 16 x 27,000 vertices are 5 MB


@dataclass(frozen=True)
class SparseFace:
    """Landmarks and contour candidates of a model without pose: ``mean + identity @ ... + expression @ ...``.

    K points: first 68 landmarks, then the D dense points of a model that has them, then 17 x M contour candidates.
    Everything is float64 in mm.

    Attributes:
        mean: (K, 3).
        basis: change per unit of each coefficient, identity first, (N, K, 3) with N = I + E.
        identity_dim: I.
        candidates: model vertex of each contour candidate, (17, M).
        candidate_mask: False where a row of candidates is padding, (17, M).
        gap_mean, gap_basis: height along the model's y across each of `GAP_PAIRS`, between vertices of the two lips
            that face each other, and along upright edges of the lids' skin (which folds over itself where an upper
            end sinks below the lower), (G,) and (G, N).
        outward: direction out of the face's outline at each jaw point, in the frontal view (right, up), (17, 2).
    """

    mean: Tensor
    basis: Tensor
    identity_dim: int
    candidates: Tensor
    candidate_mask: Tensor
    gap_mean: Tensor
    gap_basis: Tensor
    outward: Tensor

    @property
    def num_observable(self) -> int:
        """How many points a picture may show: 68 + D."""
        return len(self.mean) - self.candidates.numel()

    def points(self, coefficients: Tensor) -> Tensor:
        """All K points for ``coefficients`` (B, N): (B, K, 3)."""
        return self.mean + torch.einsum("bn,nkd->bkd", coefficients, self.basis)


_CACHE: "WeakKeyDictionary[FaceModel, SparseFace]" = WeakKeyDictionary()


def sparse_face(model: "FaceModel") -> SparseFace:
    """The landmarks of ``model``, computed once for each model, on the CPU wherever the model is.

    Relies on what every model here keeps: without pose, vertices are affine in identity and expression.
    """
    if model not in _CACHE:
        _CACHE[model] = _build(model.to("cpu"))
    return _CACHE[model]


def has_dense_points(model: "FaceModel") -> bool:
    """Whether the network's dense points lie on ``model``: they are fixed on the embedded head, at any level."""
    return DENSE_SCHEME in getattr(model, "embeddings", {})


def _build(model: "FaceModel") -> SparseFace:
    embedding = model.landmarks("ibug68")
    fixed = [embedding, model.landmarks(DENSE_SCHEME)] if has_dense_points(model) else [embedding]
    candidates, mask = padded_candidates(model)
    count = sum(len(points.faces) for points in fixed) + candidates.numel()
    apart = torch.cat([facing_lips(model), _lid_edges(model, embedding)], 1)

    def at_landmarks(verts: Tensor) -> Tensor:
        double = verts.double()
        rows = torch.cat([candidates.flatten(), apart.flatten()])
        return torch.cat([*(points.points(double, model.topology) for points in fixed), double[:, rows]], 1)

    with torch.no_grad():
        everything, every_basis = evaluate_affine(model, at_landmarks)
    mean, basis = everything[:count], every_basis[:, :count].contiguous()
    pairs = torch.cat([torch.tensor(GAP_PAIRS), count + torch.arange(apart.numel()).view(2, -1).T])
    upper, lower = pairs.unbind(1)
    return SparseFace(
        mean,
        basis,
        model.identity_dim,
        candidates,
        mask,
        gap_mean=everything[upper, 1] - everything[lower, 1],
        gap_basis=(every_basis[:, upper, 1] - every_basis[:, lower, 1]).T.contiguous(),
        outward=outward_directions(mean[:NUM_JAW, :2]),
    )


def _lid_edges(model: "FaceModel", embedding: "LandmarkEmbedding") -> Tensor:
    """Upper and lower ends of the upright edges in the skin round the eyes, (2, G)."""
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)).cpu()
    topology = model.topology.to("cpu")
    eyes = embedding.to("cpu").points(verts, topology)[0, 36:48]
    verts, normals = verts[0], vertex_normals(verts[0], topology)
    near = (torch.cdist(verts, eyes).amin(1) <= _LID_REACH_MM) & (normals[:, 2] > _LID_FACING)
    near &= joined_vertices(topology.faces.long(), embedding.faces[[30]].cpu())
    edges = topology.edges.long()
    edges = edges[near[edges].all(1)]
    rise = verts[edges[:, 1]] - verts[edges[:, 0]]
    upright = rise[:, 1].abs() > _LID_UPRIGHT * rise.norm(dim=-1)
    edges = torch.where(rise[:, 1:2] > 0, edges.flip(1), edges)
    return edges[upright].T


def evaluate_affine(model: "FaceModel", of_verts: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean (K, 3) and basis (N, K, 3) of a linear function of the vertices, on the CPU.

    Args:
        of_verts: (B, V, 3) to (B, K, 3), linear.
    """
    total = model.identity_dim + model.expression_dim
    mean = of_verts(model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)))
    rows = [
        of_verts(model.vertices(unit[:, : model.identity_dim], unit[:, model.identity_dim :])) - mean
        for unit in torch.eye(total).split(_CHUNK)
    ]
    return mean[0], torch.cat(rows)


def visible_contour(sparse: SparseFace, points: Tensor, rotation: Tensor) -> Tensor:
    """For each jaw point the candidate that ends the face in this pose, as an index into the K points, (B, 17).

    Args:
        points: all points of the face in the camera frame after perspective division, (B, K, 2), any unit.
        rotation: (B, 3, 3).
    """
    rows, count = sparse.candidates.shape
    spots = points[:, -rows * count :].unflatten(1, (rows, count))
    start = points.shape[1] - rows * count + count * torch.arange(rows, device=points.device)
    return outermost_candidates(spots, sparse.candidate_mask, sparse.outward, rotation) + start
