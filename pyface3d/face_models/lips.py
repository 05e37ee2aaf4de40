"""Which parts of the two lips meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyface3d.ops import vertex_normals

if TYPE_CHECKING:
    from pyface3d.face_models.base import FaceModel

_LIP_REACH_MM = 5.0  # how far from the inner lips' landmarks a vertex still may touch the other lip
_LIP_UNDER_MM = 1.0  # an "upper" vertex so far under its "lower" partner does not face it (a fold, a corner)
_LIP_APART_MM = 1.5  # how far two lip vertices may lie apart in x and z to count as facing each other


def facing_lips(model: FaceModel) -> Tensor:
    """Vertices of the upper and of the lower lip that lie above each other in the mean face, (2, G) int64, CPU."""
    embedding = model.landmarks("ibug68")
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)).cpu()
    topology = model.topology.to("cpu")
    inner = embedding.to("cpu").points(verts, topology)[0, 60:68]
    verts, normals = verts[0], vertex_normals(verts[0], topology)
    # Neither teeth nor tongue: what is joined to the mouth's corners by faces, and looks out rather than in.
    near = (torch.cdist(verts, inner).amin(1) <= _LIP_REACH_MM) & (normals[:, 2] > -0.2)
    near &= joined_vertices(topology.faces.long(), embedding.faces[[48, 54]].cpu())
    middle = inner[:, 1].mean()
    upper = (near & (normals[:, 1] < 0) & (verts[:, 1] > middle - _LIP_REACH_MM)).nonzero()[:, 0]
    lower = (near & (normals[:, 1] > 0) & (verts[:, 1] < middle + _LIP_REACH_MM)).nonzero()[:, 0]
    if len(upper) == 0 or len(lower) == 0:
        return upper.new_zeros(2, 0)
    flat = torch.tensor([0, 2])
    apart, partner = torch.cdist(verts[upper][:, flat], verts[lower][:, flat]).min(1)
    below = verts[lower][partner][:, 1] - verts[upper][:, 1] > _LIP_UNDER_MM
    kept = (apart <= _LIP_APART_MM) & ~below
    return torch.stack([upper[kept], lower[partner[kept]]])


def joined_vertices(faces: Tensor, start: Tensor) -> Tensor:
    """Vertices that are joined by edges to the faces ``start``, (V,) bool."""
    reached = torch.zeros(int(faces.max()) + 1, dtype=torch.bool)
    reached[faces[start].flatten()] = True
    while True:
        grown = reached.clone()
        grown[faces[reached[faces].any(1)].flatten()] = True
        if bool((grown == reached).all()):
            return reached
        reached = grown
