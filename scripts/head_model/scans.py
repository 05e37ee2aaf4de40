"""Real people for the calibration: ICT-FaceKit identities brought into vertex correspondence with our head.

Only their statistics in our parameter space enter the asset, none of their vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from .parameters import ParameterSpace
from .source import Array, Ints, triangulate

# fmt: off
#: The 68 landmark vertices of ICT-FaceKit (`idx_to_landmark_verts` of its vertex_indices.json, MIT licence).
ICT_LANDMARKS = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914,
    2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537,
    1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957,
    5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
])
# fmt: on
#: Vertices below are face, head and neck; behind them come mouth, sockets, teeth and eyes.
ICT_SKIN = 11248
ICT_LEFT_EYEBALL = slice(21451, 23021)
INNER = np.arange(17, 68)


@dataclass(frozen=True)
class Scans:
    """ICT-FaceKit light: neutral (U, 3) and identity (100, U, 3) in mm, triangles (F, 3)."""

    neutral: Array
    identity: Array
    faces: Ints

    def people(self, count: int, generator: np.random.Generator) -> Array:
        """Random identities, skin vertices only, (count, ICT_SKIN, 3) float32 mm."""
        weights = generator.standard_normal((count, len(self.identity)))
        basis = self.identity[:, :ICT_SKIN].reshape(len(self.identity), -1)
        offsets = (weights @ basis).reshape(count, ICT_SKIN, 3)
        return self.neutral[:ICT_SKIN] + offsets


def load_scans(path: Path) -> Scans:
    """Read ``ict_facekit_light.npz`` (centimetres there)."""
    with np.load(path) as data:
        return Scans(
            neutral=data["neutral"].astype(np.float64) * 10.0,
            identity=data["identity"].astype(np.float64) * 10.0,
            faces=data["faces"].astype(np.int64),
        )


def rigid(source: Array, target: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Rotations (…, 3, 3) and translations (…, 3) with ``R @ source + t`` nearest to target (Kabsch, no scale)."""
    weights = np.ones(source.shape[-2]) if weights is None else weights
    share = (weights / weights.sum())[:, None]
    centre_s = (share * source).sum(axis=-2, keepdims=True)
    centre_t = (share * target).sum(axis=-2, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes((source - centre_s) * share, -1, -2) @ (target - centre_t))
    flip = np.ones(u.shape[:-1])
    flip[..., 2] = np.sign(np.linalg.det(u @ vt))
    rotation = np.swapaxes((u * flip[..., None, :]) @ vt, -1, -2)
    return rotation, (centre_t - centre_s @ np.swapaxes(rotation, -1, -2))[..., 0, :]


def align(source: Array, target: Array, points: Array | None = None, weights: Array | None = None) -> Array:
    """``source`` (…, N, 3) moved rigidly so that its ``points`` (default: all of it) lie best on ``target``."""
    rotation, shift = rigid(source if points is None else points, target, weights)
    return source @ np.swapaxes(rotation, -1, -2) + shift[..., None, :]


@dataclass(frozen=True)
class Correspondence:
    """For ``vertices`` (n,) of our head: ICT triangles (n, 3) and barycentrics (n, 3); ``mean_t`` fits ICT's mean."""

    vertices: Ints
    triangles: Ints
    barycentrics: Array
    mean_t: Array

    def of(self, people: Array) -> Array:
        """The corresponding points of ICT meshes (B, U, 3), (B, n, 3)."""
        return np.einsum("bnkc,nk->bnc", people[:, self.triangles], self.barycentrics)


def correspond(space: ParameterSpace, scans: Scans, skin: Ints, landmarks: tuple[Ints, Array], t0: Array) -> Correspondence:
    """Fit our head to ICT's mean: landmarks first, then closest points, then what remains along the normal.

    Args:
        skin: vertices of ours that have a counterpart on a scan (no sockets, mouth bag, teeth).
        landmarks: triangles (68, 3) and barycentrics (68, 3) of our 68 points.
        t0: where the parameter search starts, (K,).
    """
    corners, barycentrics = landmarks
    target_marks = scans.neutral[ICT_LANDMARKS]
    surface = _Surface(scans.neutral, scans.faces[(scans.faces < ICT_SKIN).all(axis=1)])
    faces = triangulate(space.head.quads[space.head.parts == 0])
    t = t0.copy()
    for iteration in range(12):
        shapes = space.linearised(t)
        verts = space.vertices(t[None])[0]
        marks = np.einsum("nkc,nk->nc", verts[corners], barycentrics)
        rotation, shift = rigid(marks[INNER], target_marks[INNER])
        verts, shapes = verts @ rotation.T + shift, shapes @ rotation.T
        marks = marks @ rotation.T + shift
        rows, wanted = [], []
        mark_shapes = np.einsum("lnkc,nk->lnc", shapes[:, corners], barycentrics)
        rows.append(mark_shapes[:, INNER].reshape(len(t), -1))
        wanted.append((target_marks - marks)[INNER].reshape(-1))
        if iteration >= 3:
            found = surface.nearest(verts[skin], _normals(verts, faces)[skin])
            near = found.distance < 15.0
            normal = found.normal[near]
            rows.append(0.5 * np.einsum("lnc,nc->ln", shapes[:, skin[near]], normal))
            wanted.append(0.5 * ((found.point[near] - verts[skin[near]]) * normal).sum(axis=-1))
        design, residual = np.concatenate(rows, axis=1), np.concatenate(wanted)
        ridge = 4.0 * np.eye(len(t))  # (2 mm)^2 against one unit of spread
        t = t + np.linalg.solve(design @ design.T + ridge, design @ residual - ridge @ t)
    found = surface.nearest(verts[skin], _normals(verts, faces)[skin])
    good = found.distance < 6.0
    return Correspondence(skin[good], found.triangle[good], found.barycentrics[good], t)


@dataclass(frozen=True)
class _Nearest:
    point: Array
    normal: Array
    distance: Array
    triangle: Ints
    barycentrics: Array


class _Surface:
    """Nearest points of a fine mesh, among ten samples per triangle; normals must agree within 60 degrees."""

    def __init__(self, verts: Array, faces: Ints) -> None:
        steps = [(i / 3, j / 3, 1 - (i + j) / 3) for i in range(4) for j in range(4 - i)]
        self.barycentrics = np.tile(np.array(steps), (len(faces), 1))
        self.triangles = np.repeat(faces, len(steps), axis=0)
        self.points = np.einsum("nkc,nk->nc", verts[self.triangles], self.barycentrics)
        normals = _normals(verts, faces)
        self.normals = np.einsum("nkc,nk->nc", normals[self.triangles], self.barycentrics)
        self.tree = cKDTree(self.points)

    def nearest(self, points: Array, normals: Array) -> _Nearest:
        distance, index = self.tree.query(points, k=40)
        agree = np.einsum("nkc,nc->nk", self.normals[index], normals) > 0.5
        distance = np.where(agree, distance, np.inf)
        best = distance.argmin(axis=1)
        row = np.arange(len(points))
        chosen = index[row, best]
        return _Nearest(
            self.points[chosen], self.normals[chosen], distance[row, best],
            self.triangles[chosen], self.barycentrics[chosen],
        )  # fmt: skip


def _normals(verts: Array, faces: Ints) -> Array:
    corner = verts[faces]
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(verts)
    for k in range(3):
        np.add.at(total, faces[:, k], face_normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
