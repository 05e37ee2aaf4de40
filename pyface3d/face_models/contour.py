"""Which vertices can end the face in a picture of a turned head: the candidates of each jaw point, and which of them
does in a given view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.face_models.landmarks import IBUG68_FLIP, NUM_JAW

if TYPE_CHECKING:
    from pyface3d.face_models.base import FaceModel

_STEPS = 16
_STEP_MM = 4.0
_BACKWARD_MM = 14.0
_FIRST_BACKWARD_ROW = 11  # below it, backwards leads under the chin and down the neck
_LEAST_FORWARD = -0.4  # z of the normal: skin that looks further away from a frontal viewer is left out


def contour_candidates(
    verts: NDArray[np.floating],
    faces: NDArray[np.integer],
    skin: NDArray[np.bool_],
    mirror: NDArray[np.int64],
    marks: NDArray[np.floating],
) -> NDArray[np.int64]:
    """Vertices over which each jaw point may slide.

    A row starts at the jaw point and runs forwards over the skin, in the half plane through the line of sight and the
    direction from the middle of the face to that point, one vertex every 4 mm, as far as half way to that middle: on
    the side turned away the cheek ends the face. From the angle of the jaw upwards it then also runs a little
    backwards, for the side turned to the viewer.

    Args:
        verts: mean head, (V, 3) mm, model frame.
        faces: triangles, (F, 3).
        skin: vertices that may serve: no ears, eyes, mouth bag, (V,).
        mirror: (V,); rows of the right side mirror those of the left.
        marks: the 68 iBUG points on ``verts``, (68, 3).

    Returns:
        (17, M) int64, padded with -1.
    """
    normals = _vertex_normals(verts, faces)
    usable = np.nonzero(skin & (normals[:, 2] > _LEAST_FORWARD))[0]
    centre = np.array([0.0, 0.5 * (marks[30, 1] + marks[33, 1])])
    rows: dict[int, list[int]] = {}
    for index in range(8, NUM_JAW):
        row = _row(verts, usable, marks[index], centre, backward=index >= _FIRST_BACKWARD_ROW)
        rows[index] = row
        if index > 8:
            rows[IBUG68_FLIP[index]] = mirror[row].tolist()
    table = np.full((NUM_JAW, max(map(len, rows.values()))), -1, np.int64)
    for index, row in rows.items():
        table[index, : len(row)] = row
    return table


def padded_candidates(model: FaceModel) -> tuple[Tensor, Tensor]:
    """The vertices over which each jaw point may slide, (17, M) int64, and which entries are real, (17, M) bool."""
    candidates = torch.as_tensor(model.contour()).long()
    mask = candidates >= 0
    first = candidates[:, :1].expand_as(candidates)
    return torch.where(mask, candidates, first), mask


def outward_directions(jaw: Tensor) -> Tensor:
    """Unit normals of the open polyline through the jaw points (17, 2) of a frontal face: (17, 2), out of the face.

    The points run from the picture's left ear over the chin to the right: outward is on the right hand of the
    tangent (x right, y up).
    """
    padded = torch.cat([jaw[:1], jaw, jaw[-1:]])
    tangent = padded[2:] - padded[:-2]
    normal = torch.stack([tangent[:, 1], -tangent[:, 0]], -1)
    return normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def outermost_candidates(spots: Tensor, mask: Tensor, outward: Tensor, rotation: Tensor) -> Tensor:
    """For each jaw point the candidate that ends the face in this pose, (B, 17) int64 in [0, M).

    A jaw point lies where the face ends: among its candidates the one farthest along the outline's outward
    direction in the picture. On the side turned away that is the cheek's silhouette, on the near side the jaw line.

    Args:
        spots: candidates in the picture (camera axes: x right, y down), (B, 17, M, 2), any unit.
        mask: False for padding, (17, M).
        outward: of `outward_directions`, (17, 2).
        rotation: model to camera, (B, 3, 3).
    """
    up = rotation[:, :2, 1]
    up = up / up.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    right = torch.stack([-up[:, 1], up[:, 0]], -1)  # the picture's up is -y: a quarter turn clockwise as seen
    directions = outward[:, :1] * right[:, None] + outward[:, 1:] * up[:, None]  # (B, 17, 2)
    reach = (spots * directions[:, :, None]).sum(-1).masked_fill(~mask, -torch.inf)
    return reach.argmax(-1)


def _row(
    verts: NDArray[np.floating],
    usable: NDArray[np.int64],
    start: NDArray[np.floating],
    centre: NDArray[np.floating],
    backward: bool,
) -> list[int]:
    outward = start[:2] - centre
    reach = float(np.linalg.norm(outward))
    outward = outward / reach
    offset = verts[usable, :2] - centre
    radius, aside = offset @ outward, np.abs(offset @ np.array([-outward[1], outward[0]]))
    distance, depth = np.linalg.norm(verts[usable] - start, axis=1), verts[usable, 2] - start[2]
    row = [int(usable[distance.argmin()])]
    near_plane = (aside < 6.0) & (radius < 1.25 * reach)
    directions = [near_plane & (radius > 0.5 * reach) & (depth > -2.0)]
    if backward:
        directions.append(near_plane & (radius > 0.8 * reach) & (depth < 0.0) & (depth > -_BACKWARD_MM))
    for allowed in directions:
        for step in range(1, _STEPS):
            ring = allowed & (np.abs(distance - step * _STEP_MM) < 0.5 * _STEP_MM)
            if ring.any():
                row.append(int(usable[ring][aside[ring].argmin()]))
    return list(dict.fromkeys(row))


def _vertex_normals(verts: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.floating]:
    corner = verts[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(verts)
    for k in range(3):
        np.add.at(total, faces[:, k], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
