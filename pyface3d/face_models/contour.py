"""Which vertices can end the face in a picture of a turned head: the candidates of each jaw point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyface3d.face_models.landmarks import IBUG68_FLIP, NUM_JAW

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
