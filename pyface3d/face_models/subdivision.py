"""One finer level of a model's mesh: Loop subdivision as one fixed sparse matrix, so that bases subdivide too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.ops import Topology

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class Subdivision:
    """Every triangle cut into four.

    Attributes:
        matrix: fine vertices from coarse ones, (V1, V0) scipy CSR, float64; rows sum to one. The first V0 rows are the
            old vertices, one row per edge of the coarse topology follows.
        topology: the fine mesh; children 4 f … 4 f + 3 of face f are its three corners and its middle.
        edges: coarse vertices of each new vertex, (E, 2) int64.
    """

    matrix: csr_matrix
    topology: Topology
    edges: Tensor


def subdivide(topology: Topology) -> Subdivision:
    """Loop's scheme with Warren's weights: inner edges 3/8, 3/8, 1/8, 1/8; the boundary is a cubic spline.

    Texture coordinates are halved linearly, so every island keeps its outline. Source: Loop, Smooth subdivision
    surfaces based on triangles, 1987; Warren, Subdivision methods for geometric design, 1995.
    """
    faces, edges = topology.faces.long().cpu(), topology.edges.long().cpu()
    count = topology.num_verts
    edge_of_side = _edge_of_side(faces, edges, count)
    matrix = _loop_matrix(faces, edges, edge_of_side, count)
    fine_faces = _children(faces, count + edge_of_side)
    if topology.uvs is None or topology.uv_faces is None:
        return Subdivision(matrix, Topology(fine_faces, count + len(edges)), edges)
    uvs, uv_faces = topology.uvs.cpu(), topology.uv_faces.long().cpu()
    uv_edges, uv_side = _unique_sides(uv_faces)
    fine_uvs = torch.cat([uvs, uvs[uv_edges].mean(dim=1)])
    fine_uv_faces = _children(uv_faces, len(uvs) + uv_side)
    return Subdivision(matrix, Topology(fine_faces, count + len(edges), fine_uvs, fine_uv_faces), edges)


def subdivide_model(model: LinearFaceModel) -> LinearFaceModel:
    """The same model one level finer; coefficients, chart, landmarks, contour and regions keep their meaning.

    What is not of the surface itself is left behind: triangles that close its holes, the publisher's partner table.
    """
    level = subdivide(model.topology)
    count = len(model.template)
    low, high = level.edges.unbind(dim=1)
    mirrored = torch.sort(model.mirror[level.edges], dim=1).values
    key = level.edges @ torch.tensor([count, 1])
    partner = torch.searchsorted(key, mirrored @ torch.tensor([count, 1])).clamp_max(len(key) - 1)
    has_partner = (level.edges[partner] == mirrored).all(dim=1)
    own = torch.arange(len(key))
    edge_mirror = count + torch.where(has_partner, partner, own)  # an unmatched diagonal lies across the midline
    return replace(
        model,
        template=_apply(level.matrix, model.template[None])[0],
        identity_basis=_apply(level.matrix, model.identity_basis),
        expression_basis=_apply(level.matrix, model.expression_basis),
        topology=level.topology,
        mirror=torch.cat([model.mirror, edge_mirror]),
        regions={name: torch.cat([mask, mask[low] & mask[high]]) for name, mask in model.regions.items()},
        embeddings={name: _finer_embedding(embedding) for name, embedding in model.embeddings.items()},
        albedo_mean=_finer_colours(level, model.albedo_mean, count),
        albedo_basis=_finer_colours(level, model.albedo_basis, count),
        closing_faces=None,
        published_mirror=None,
    )


def _apply(matrix: csr_matrix, shapes: Tensor) -> Tensor:
    columns = shapes.double().permute(1, 0, 2).reshape(matrix.shape[1], -1)
    fine = torch.from_numpy(matrix @ columns.numpy()).reshape(matrix.shape[0], len(shapes), 3)
    return fine.permute(1, 0, 2).to(shapes.dtype).contiguous()


def _finer_colours(level: Subdivision, colours: Tensor | None, count: int) -> Tensor | None:
    if colours is None or colours.shape[-2] != count or colours.dim() > 3:
        return colours  # a texture stays as it is
    middles = colours[..., level.edges, :].mean(dim=-2)
    return torch.cat([colours, middles], dim=-2)


def _finer_embedding(embedding: LandmarkEmbedding) -> LandmarkEmbedding:
    weights = embedding.barycentrics
    largest, corner = weights.max(dim=1)
    at_corner = largest > 0.5
    child = torch.where(at_corner, corner, torch.full_like(corner, 3))
    rows = torch.arange(len(weights))
    near = 2.0 * weights
    near[rows, corner] -= 1.0
    fine = torch.where(at_corner[:, None], near, 1.0 - 2.0 * weights).clamp_min(0.0)
    return LandmarkEmbedding(4 * embedding.faces + child, fine / fine.sum(dim=1, keepdim=True))


def _edge_of_side(faces: Tensor, edges: Tensor, count: int) -> Tensor:
    """Row in ``edges`` of the side opposite each corner, (F, 3)."""
    key = edges @ torch.tensor([count, 1])
    sides = torch.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], dim=1).sort(dim=2).values
    return torch.searchsorted(key, sides @ torch.tensor([count, 1]))


def _unique_sides(faces: Tensor) -> tuple[Tensor, Tensor]:
    sides = torch.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], dim=1).sort(dim=2).values
    edges, row = torch.unique(sides.reshape(-1, 2), dim=0, return_inverse=True)
    return edges, row.reshape(-1, 3)


def _children(faces: Tensor, middle: Tensor) -> Tensor:
    """Four triangles per face; ``middle`` (F, 3) is the new vertex opposite each corner. Child k keeps corner order."""
    a, b, c = faces.unbind(dim=1)
    bc, ca, ab = middle.unbind(dim=1)
    rows = [torch.stack(row, dim=1) for row in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (bc, ca, ab))]
    return torch.stack(rows, dim=1).reshape(-1, 3)


def _loop_matrix(faces: Tensor, edges: Tensor, edge_of_side: Tensor, count: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    num_edges = len(edges)
    sides_per_edge = torch.bincount(edge_of_side.reshape(-1), minlength=num_edges)
    on_rim = sides_per_edge != 2
    new = count + torch.arange(num_edges)
    end_weight = torch.where(on_rim, 0.5, 0.375).double()
    rows, columns, values = [new, new], [edges[:, 0], edges[:, 1]], [end_weight, end_weight]
    opposite = edge_of_side.reshape(-1)
    inner = ~on_rim[opposite]
    rows.append(count + opposite[inner])
    columns.append(faces.reshape(-1)[inner])
    values.append(torch.full((int(inner.sum()),), 0.125, dtype=torch.float64))

    rim_vertex = torch.zeros(count, dtype=torch.bool)
    rim_vertex[edges[on_rim]] = True
    ends = torch.cat([edges, edges.flip(1)])
    of_rim = torch.cat([on_rim, on_rim])
    degree = torch.bincount(ends[:, 0], minlength=count).clamp_min(1).double()
    beta = torch.where(degree == 3, 3.0 / 16.0, 3.0 / (8.0 * degree))
    used = torch.where(rim_vertex[ends[:, 0]], of_rim, True)
    neighbour_weight = torch.where(rim_vertex[ends[:, 0]], torch.tensor(0.125).double(), beta[ends[:, 0]])
    rows.append(ends[used, 0])
    columns.append(ends[used, 1])
    values.append(neighbour_weight[used])
    given = torch.zeros(count, dtype=torch.float64).index_add(0, ends[used, 0], neighbour_weight[used])
    own = torch.arange(count)
    rows.append(own)
    columns.append(own)
    values.append(1.0 - given)
    index = torch.cat(rows).numpy(), torch.cat(columns).numpy()
    return csr_matrix((torch.cat(values).numpy(), index), shape=(count + num_edges, count))
