"""Brow points where annotators set them: along the middle of the hairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.landmarks import IBUG68_FLIP

if TYPE_CHECKING:
    from pyface3d.face_models.linear import LinearFaceModel

# The files of the embedded head and of ICT-FaceKit have them along the upper edge, 5 mm above the ridge that brows grow
# on. How far the points of the subject's left brow go from there, inner end first: outwards and upwards, mm on the mean
# face. (Measured on the head; by the registration of the two meshes the same places lie within 1.8 mm on ICT's.)
_MOVES_MM = ((0.8, -5.5), (0.8, -5.2), (1.0, -5.0), (1.8, -5.0), (2.2, -5.0))
_LEFT_BROW = range(22, 27)


def middle_of_brows(model: LinearFaceModel) -> LandmarkEmbedding:
    """``model``'s scheme "ibug68" with its brow points moved down to the middle of the brows, exactly symmetric."""
    embedding = model.landmarks("ibug68")
    faces, barycentrics = embedding.faces.clone(), embedding.barycentrics.clone()
    start = embedding.points(model.template[None], model.topology)[0].double()
    corners = model.topology.faces.long()
    row_of = {tuple(sorted(corner)): row for row, corner in enumerate(corners.tolist())}
    for index, move in zip(_LEFT_BROW, _MOVES_MM, strict=True):
        face, weights = _under(model, start[index, :2] + torch.tensor(move, dtype=torch.float64))
        faces[index], barycentrics[index] = face, weights
        mirrored = model.mirror[corners[face]].tolist()
        other = row_of[tuple(sorted(mirrored))]
        faces[IBUG68_FLIP[index]] = other
        order = [mirrored.index(corner) for corner in corners[other].tolist()]
        barycentrics[IBUG68_FLIP[index]] = weights[order].to(barycentrics)
    return LandmarkEmbedding(faces, barycentrics)


def _under(model: LinearFaceModel, spot: Tensor) -> tuple[int, Tensor]:
    """The foremost face of the mean head's skin under a frontal position (2,), and the barycentrics there."""
    corners = model.template[model.topology.faces.long()].double()
    skin = model.regions["skin"][model.topology.faces.long()].all(1)
    a, u, v = corners[:, 0, :2], corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    at = spot - a
    second = (at[:, 0] * v[:, 1] - at[:, 1] * v[:, 0]) / area
    third = (u[:, 0] * at[:, 1] - u[:, 1] * at[:, 0]) / area
    weights = torch.stack([1 - second - third, second, third], 1)
    inside = skin & (area > 0) & (weights >= 0).all(1)
    depth = (weights * corners[:, :, 2]).sum(1).where(inside, torch.tensor(-torch.inf, dtype=torch.float64))
    face = int(depth.argmax())
    return face, weights[face].float()
