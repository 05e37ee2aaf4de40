"""Where the 68 iBUG points lie on the head: picked once on the base mesh, subject's left side and midline only.

Frontal positions in millimetres on the MakeHuman template. First guesses came from a landmark detector on
renders and from ICT-FaceKit's landmark vertices after alignment; then corrected by eye (lid margins, inner lips,
brows).
"""

from __future__ import annotations

import numpy as np

from pyface3d.face_models import IBUG68_FLIP

from .source import Array, Ints, SourceHead, triangulate

#: iBUG index -> (x, y) on the template, dropped along -z onto the foremost skin.
FRONTAL_PICKS: dict[int, tuple[float, float]] = {
    22: (10.6, 746.6), 23: (22.4, 750.8), 24: (35.0, 751.6), 25: (46.7, 748.9), 26: (55.1, 741.6),
    27: (0.0, 730.3), 28: (0.0, 719.1), 29: (0.0, 708.1), 30: (0.0, 696.6),
    33: (0.0, 680.8), 34: (6.0, 682.0), 35: (12.3, 684.2),
    42: (17.7, 726.6), 43: (26.4, 732.6), 44: (36.0, 733.1), 45: (43.8, 728.4), 46: (36.3, 723.9), 47: (26.7, 723.7),
    51: (0.0, 668.9), 52: (6.7, 670.9), 53: (16.2, 667.9), 54: (25.3, 661.0),
    55: (16.6, 653.9), 56: (7.6, 650.5), 57: (0.0, 649.9),
    62: (0.0, 662.6), 63: (6.9, 662.7), 65: (7.0, 660.6), 66: (0.0, 660.4),
}  # fmt: skip
#: Jaw line (8 = chin), where the frontal view ends the face, and the inner mouth corner, which the lips hide:
#: positions in space, put on the nearest skin.
SPACE_PICKS: dict[int, tuple[float, float, float]] = {
    8: (0.0, 619.4, 142.0), 9: (16.6, 622.2, 134.0), 10: (34.4, 630.6, 110.5), 11: (47.8, 645.2, 96.3),
    12: (57.2, 659.8, 85.5), 13: (63.6, 674.5, 80.5), 14: (67.9, 692.3, 80.5), 15: (69.7, 709.8, 80.5),
    16: (70.2, 726.6, 80.5), 64: (21.6, 661.2, 142.0),
}  # fmt: skip
#: Point on the other side of the face.
FLIP = np.array(IBUG68_FLIP)


def pick_landmarks(head: SourceHead) -> tuple[Ints, Array]:
    """Corner vertices (68, 3) and barycentrics (68, 3) of the iBUG points, exactly symmetric."""
    faces = triangulate(head.quads)[np.tile(head.parts == 0, 2)]
    corners, barycentrics = np.zeros((68, 3), np.int64), np.zeros((68, 3))
    for index, xy in FRONTAL_PICKS.items():
        corners[index], barycentrics[index] = _drop(head.template, faces, np.array(xy))
    for index, point in SPACE_PICKS.items():
        corners[index], barycentrics[index] = _nearest(head.template, faces, np.array(point))
    for index in (*FRONTAL_PICKS, *SPACE_PICKS):
        if FLIP[index] != index:
            corners[FLIP[index]] = head.mirror[corners[index]]
            barycentrics[FLIP[index]] = barycentrics[index]
    return corners, barycentrics


def _drop(verts: Array, faces: Ints, xy: Array) -> tuple[Ints, Array]:
    a, b, c = (verts[faces[:, k]] for k in range(3))
    area = _cross(b - a, c - a)
    weight_b, weight_c = _cross(xy - a[:, :2], c - a), _cross(b - a, xy - a[:, :2])
    facing = area > 1e-9
    bary = np.stack([area - weight_b - weight_c, weight_b, weight_c], axis=1)
    bary = np.where(facing[:, None], bary / np.where(facing, area, 1.0)[:, None], -1.0)
    hit = (bary >= -1e-9).all(axis=1)
    if not hit.any():
        raise ValueError(f"no skin under the landmark picked at {xy.tolist()}")
    depth = np.where(hit, (bary * np.stack([a[:, 2], b[:, 2], c[:, 2]], axis=1)).sum(axis=1), -np.inf)
    best = depth.argmax()
    return _snap(verts, faces[best], bary[best].clip(0.0))


def _nearest(verts: Array, faces: Ints, point: Array) -> tuple[Ints, Array]:
    steps = np.array([(i / 8, j / 8, 1 - (i + j) / 8) for i in range(9) for j in range(9 - i)])
    samples = np.einsum("fkc,sk->fsc", verts[faces], steps)
    face, step = np.unravel_index(np.linalg.norm(samples - point, axis=2).argmin(), samples.shape[:2])
    return _snap(verts, faces[face], steps[step])


def _snap(verts: Array, corners: Ints, bary: Array) -> tuple[Ints, Array]:
    """A midline point is put exactly on the midline: only corners with x = 0 keep weight when all of it lies there."""
    if abs(bary @ verts[corners, 0]) < 1e-6:
        bary = np.where(verts[corners, 0] == 0.0, bary, 0.0)
    return corners, bary / bary.sum()


def _cross(u: Array, v: Array) -> Array:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
