"""Slow changes of colour over the head: measured where the photo shows it, carried on over the mesh where not.

Working on the mesh and not in the chart keeps the chart's seams and gaps out of it, and gives the mirror for free.
"""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sparse
import torch
from scipy.sparse.linalg import splu
from torch import Tensor

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_DATA_WEIGHT = 3.0  # of a fully seen vertex, against the pull of its about six neighbours
_REACH_MM = 35.0  # after which a colour carried on from the rim of the photo has faded to the prior
_LIGHT_REACH_MM = 60.0  # the same for the difference between the two sides' light

_CACHE: "WeakKeyDictionary[FaceModel, tuple[sparse.csc_matrix, np.ndarray]]" = WeakKeyDictionary()


def extend_over_mesh(
    model: "FaceModel", values: Tensor, weight: Tensor, prior: Tensor, reach_mm: float = _REACH_MM
) -> Tensor:
    """Smooth per-vertex field through weighted samples, fading to a prior away from them.

    Minimises  Σ w (x − values)²  +  Σ_edges (x_i − x_j)²  +  Σ area / reach² (x − prior)²  over the mesh: a membrane
    on springs, whose steps fade as exp(−distance / reach).

    Args:
        values: (V, C), any value where ``weight`` is 0.
        weight: (V,), in [0, 1].
        prior: (V, C) or (C,).
        reach_mm: length of the fading, mm.

    Returns:
        (V, C).
    """
    laplacian, area = _mesh_matrices(model)
    spring = area / reach_mm**2
    data = _DATA_WEIGHT * weight.double().numpy()
    system = (laplacian + sparse.diags(data + spring)).tocsc()
    right = data[:, None] * values.double().numpy() + spring[:, None] * prior.expand_as(values).double().numpy()
    factor = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)
    return torch.from_numpy(factor.solve(right)).to(values)


def extend_colors(model: "FaceModel", offset: Tensor, seen: Tensor, prior: Tensor) -> Tensor:
    """Colour offsets of the whole head from those of the seen part of it.

    Unseen vertices first take the offset of their mirror image, corrected by how the two sides differ where both
    are seen; the rest is carried on from the rim.

    Args:
        offset: log colour of the photo less that of the model in the photo's light, (V, 3).
        seen: how far each vertex was seen, (V,), in [0, 1].
        prior: offset where nothing is known, (3,).

    Returns:
        (V, 3).
    """
    mirror = model.mirror.cpu().long()
    other, other_seen = offset[mirror], seen[mirror]
    both = torch.minimum(seen, other_seen)
    sides = extend_over_mesh(model, offset - other, both, torch.zeros_like(prior), _LIGHT_REACH_MM)
    borrowed = other_seen * (1 - seen)
    weight = seen + borrowed
    values = (seen[:, None] * offset + borrowed[:, None] * (other + sides)) / weight.clamp_min(1e-6)[:, None]
    return extend_over_mesh(model, values, weight, prior)


def _mesh_matrices(model: "FaceModel") -> tuple[sparse.csc_matrix, np.ndarray]:
    """Graph Laplacian (V, V) and area per vertex, mm², (V,), of the mean head.

    Unit weights stand for the cotangent ones: the same on an even mesh, and never negative.
    """
    if model not in _CACHE:
        with torch.no_grad():
            verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0]
        points, faces = verts.double().numpy(), model.topology.faces.cpu().numpy().astype(np.int64)
        edges = model.topology.edges.cpu().numpy().astype(np.int64)
        count = len(points)
        ones = np.ones(len(edges))
        adjacency = sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
        adjacency = adjacency + adjacency.T
        laplacian = sparse.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency
        corner = points[faces]
        doubled = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
        area = np.bincount(faces.ravel(), np.repeat(doubled / 6, 3), minlength=count)
        # A vertex of no face would leave the system without a solution.
        _CACHE[model] = (laplacian.tocsc(), np.maximum(area, 1e-3))
    return _CACHE[model]
