"""The 320 dense points: vertices of the skin spread over the face, closer together where faces move and differ.

They are the scheme "dense320" of the embedded head. Every point has its mirror image among them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.face_models.base import FaceModel, LandmarkEmbedding

NUM_DENSE = 320
DENSE_SCHEME = "dense320"

# How much closer points stand than on the cheeks; where regions overlap the densest decides.
_DENSITY = {"face": 1.0, "contour": 1.0, "ears": 0.7, "brows": 1.5, "nose": 1.7, "mouth": 1.7, "lids": 2.4, "lips": 2.4}
_FOREHEAD_DENSITY = 0.8
_ABOVE_BROWS_MM = 12.0


def dense_points(model: FaceModel) -> LandmarkEmbedding:
    """Where the 320 dense points lie on ``model``, each a vertex.

    Farthest-point sampling of the skin of face and ears, always a vertex with its mirror image, so that any first n of
    them are spread over the face as well. Distances are those of the mean face in space, times the density wanted.

    Raises:
        InputError: the model has not the named regions that say where points are wanted (the embedded head has).
    """
    embeddings = getattr(model, "embeddings", {})
    if DENSE_SCHEME in embeddings:
        return embeddings[DENSE_SCHEME]
    missing = [name for name in _DENSITY if name not in model.regions]
    if missing:
        raise InputError(f"model {model.name!r} has no regions {', '.join(missing)}; use 'head' for dense points")
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0].cpu().double()
    mirror = model.mirror.cpu().numpy()
    chosen = _spread(verts.numpy(), mirror, _density(model, verts).numpy())
    return _at_vertices(torch.from_numpy(chosen), model.topology.faces.long().cpu()).to(model.topology.device)


def dense_mirror(model: FaceModel) -> Tensor:
    """The dense point on the other side of the face, (320,) int64, its own inverse."""
    embedding = dense_points(model)
    corners = model.topology.faces[embedding.faces].long()
    vertex = corners.gather(1, embedding.barycentrics.argmax(1, keepdim=True))[:, 0]
    return (model.mirror[vertex][:, None] == vertex).int().argmax(1)


def _density(model: FaceModel, verts: Tensor) -> Tensor:
    """Wanted density at each vertex, (V,); 0 where no point may lie."""
    regions = {name: mask.cpu() for name, mask in model.regions.items()}
    density = torch.zeros(len(verts), dtype=torch.float64)
    for name, factor in _DENSITY.items():
        density[regions[name] & regions["skin"]] = factor
    forehead = regions["face"] & (verts[:, 1] > verts[regions["brows"], 1].max() + _ABOVE_BROWS_MM)
    density[forehead] = _FOREHEAD_DENSITY
    return density


def _spread(verts: np.ndarray, mirror: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Vertices (320,): each next one is farthest, in distance times density, from those before and their images."""
    own = mirror == np.arange(len(verts))
    allowed = np.nonzero((density > 0) & (own | (verts[:, 0] > 0)))[0]
    place, weight, single = verts[allowed], density[allowed], own[allowed]
    reach = np.full(len(allowed), np.inf)
    tip = int(np.where(single, place[:, 2], -np.inf).argmax())  # the tip of the nose comes first
    chosen: list[int] = []
    best = tip
    while True:
        vertex = int(allowed[best])
        chosen += [vertex] if single[best] else [vertex, int(mirror[vertex])]
        if len(chosen) == NUM_DENSE:
            return np.array(chosen)
        for spot in {vertex, int(mirror[vertex])}:
            reach = np.minimum(reach, np.linalg.norm(place - verts[spot], axis=1))
        score = reach * weight
        if len(chosen) == NUM_DENSE - 1:
            score = np.where(single, score, -1.0)
        best = int(score.argmax())


def _at_vertices(vertices: Tensor, faces: Tensor) -> LandmarkEmbedding:
    """Each vertex on the first face that has it as a corner."""
    hit = faces[None] == vertices[:, None, None]
    rows = hit.any(2).int().argmax(1)
    corner = hit[torch.arange(len(vertices)), rows]
    return LandmarkEmbedding(rows, corner.float())
