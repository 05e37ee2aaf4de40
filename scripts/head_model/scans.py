"""Real people for the calibration: ICT-FaceKit identities brought into vertex correspondence with our head.

Only their statistics in our parameter space enter the asset, none of their vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from pyface3d.face_models.ict import LANDMARK_VERTS, PART_RANGES

from .parameters import ParameterSpace
from .source import Array, Ints, triangulate

#: Vertices below are face, head and neck; behind them come mouth, sockets, teeth and eyes.
ICT_SKIN = PART_RANGES["skin"][1]
ICT_LANDMARKS = np.array(LANDMARK_VERTS)
INNER = np.arange(17, 68)


@dataclass(frozen=True)
class Scans:
    """ICT-FaceKit light: neutral (U, 3) and identity (100, U, 3) in mm, triangles (F, 3)."""

    neutral: Array
    identity: Array
    faces: Ints

    def people(self, count: int, generator: np.random.Generator) -> Array:
        """Random identities: skin vertices and, as last two rows, eyeball centres (left, right); (count, …, 3) mm."""
        weights = generator.standard_normal((count, len(self.identity)))
        basis = np.concatenate([self.identity[:, :ICT_SKIN], self._eye_offsets()], axis=1)
        mean = np.concatenate([self.neutral[:ICT_SKIN], self.eye_centres()])
        return mean + (weights @ basis.reshape(len(basis), -1)).reshape(count, *mean.shape)

    def eye_centres(self) -> Array:
        """Middle of the left and right eyeball of the mean, (2, 3)."""
        eyes = [self.neutral[slice(*PART_RANGES[side])] for side in ("left_eye", "right_eye")]
        return np.stack([0.5 * (eye.max(axis=0) + eye.min(axis=0)) for eye in eyes])

    def _eye_offsets(self) -> Array:
        sides = [self.identity[:, slice(*PART_RANGES[side])].mean(axis=1) for side in ("left_eye", "right_eye")]
        return np.stack(sides, axis=1)


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
    """For ``vertices`` (n,) of our head, skin first and then both eyeballs, where they lie on a scan.

    Attributes:
        triangles, barycentrics: of the skin vertices, (n_skin, 3) each.
        eye_arms: our eyeball vertices from the scans' mean eyeball centres, left and right, (2, n_eye, 3). Our eyeballs
            keep their place between our lids and take over how much the scans' move.
        mean_t: the parameters that fit the scans' mean, (K,).
    """

    vertices: Ints
    triangles: Ints
    barycentrics: Array
    eye_arms: Array
    mean_t: Array

    def of(self, people: Array) -> Array:
        """The corresponding points of people from `Scans.people`, (B, n, 3)."""
        skin = np.einsum("bnkc,nk->bnc", people[:, self.triangles], self.barycentrics)
        eyes = people[:, -2:, None] + self.eye_arms
        return np.concatenate([skin, eyes.reshape(len(people), -1, 3)], axis=1)


def correspond(
    space: ParameterSpace, scans: Scans, skin: Ints, landmarks: tuple[Ints, Array], t0: Array
) -> Correspondence:
    """Fit our head to ICT's mean: landmarks first, then closest points, then what remains along the normal.

    Args:
        skin: vertices of ours that have a counterpart on a scan (no sockets, mouth bag, teeth).
        landmarks: triangles (68, 3) and barycentrics (68, 3) of our 68 points.
        t0: where the parameter search starts, (K,).
    """
    corners, barycentrics = landmarks
    target_marks = scans.neutral[ICT_LANDMARKS]
    surface = Surface(scans.neutral, scans.faces[(scans.faces < ICT_SKIN).all(axis=1)])
    faces = triangulate(space.head.quads[space.head.parts == 0])
    eye_vertices = np.stack([np.nonzero(space.head.part(side))[0] for side in ("left_eye", "right_eye")])
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
            found = surface.nearest(verts[skin], vertex_normals(verts, faces)[skin])
            near = found.distance < 15.0
            normal = found.normal[near]
            rows.append(0.5 * np.einsum("lnc,nc->ln", shapes[:, skin[near]], normal))
            wanted.append(0.5 * ((found.point[near] - verts[skin[near]]) * normal).sum(axis=-1))
        design, residual = np.concatenate(rows, axis=1), np.concatenate(wanted)
        ridge = 16.0 * np.eye(len(t))  # (4 mm)^2 against one unit of spread
        t = t + np.linalg.solve(design @ design.T + ridge, design @ residual - ridge @ t)
    found = surface.nearest(verts[skin], vertex_normals(verts, faces)[skin])
    good = found.distance < 6.0
    arms = verts[eye_vertices] - scans.eye_centres()[:, None]
    vertices = np.concatenate([skin[good], eye_vertices.ravel()])
    return Correspondence(vertices, found.triangle[good], found.barycentrics[good], arms, t)


@dataclass(frozen=True)
class Nearest:
    point: Array
    normal: Array
    distance: Array
    triangle: Ints
    barycentrics: Array


class Surface:
    """Nearest points of a fine mesh, among ten samples per triangle; normals must agree within 60 degrees."""

    def __init__(self, verts: Array, faces: Ints) -> None:
        steps = [(i / 3, j / 3, 1 - (i + j) / 3) for i in range(4) for j in range(4 - i)]
        self.verts = verts
        self.barycentrics = np.tile(np.array(steps), (len(faces), 1))
        self.triangles = np.repeat(faces, len(steps), axis=0)
        self.points = np.einsum("nkc,nk->nc", verts[self.triangles], self.barycentrics)
        normals = vertex_normals(verts, faces)
        self.normals = np.einsum("nkc,nk->nc", normals[self.triangles], self.barycentrics)
        self.tree = cKDTree(self.points)

    def nearest(self, points: Array, normals: Array) -> Nearest:
        distance, index = self.tree.query(points, k=40)
        agree = np.einsum("nkc,nc->nk", self.normals[index], normals) > 0.5
        distance = np.where(agree, distance, np.inf)
        best = distance.argmin(axis=1)
        row = np.arange(len(points))
        chosen = index[row, best]
        return Nearest(
            self.points[chosen], self.normals[chosen], distance[row, best],
            self.triangles[chosen], self.barycentrics[chosen],
        )  # fmt: skip


def vertex_normals(verts: Array, faces: Ints) -> Array:
    corner = verts[faces]
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(verts)
    for k in range(3):
        np.add.at(total, faces[:, k], face_normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
