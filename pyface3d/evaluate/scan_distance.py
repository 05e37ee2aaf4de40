"""How far a face scan lies from a predicted mesh, by the protocol of the NoW benchmark.

The prediction is moved onto the scan by a similarity (or rigid motion), from seven landmarks and then by the
distances themselves; what counts are the unsigned distances from the scan's points around the face's middle to the
nearest point of the surface, in mm. Source: Sanyal et al., "Learning to regress 3D face shape and expression from an
image without 3D supervision" (2019), section 4, and the benchmark's published protocol. Unlike its code, a reflection
is never taken for an alignment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pyface3d.errors import InputError
from pyface3d.geometry import Similarity, align_similarity, rotation_from_axis_angle

Array = NDArray[np.float64]

NOW_LANDMARKS = (36, 39, 42, 45, 33, 48, 54)
"""The benchmark's seven points among the iBUG 68: the four eye corners, the nose's bottom, the mouth's corners."""

_NEAREST = 8  # triangles looked at first; their distance bounds the search for the rest
_BATCH = 8192  # points at a time: bounds the memory of the candidate lists
_SOFT_MM = 0.1  # below this a distance counts squared, so that the sum has a slope at 0
_ALIGN_POINTS = 2000  # of the scan, enough for seven unknowns
_ALIGN_STEPS = 60
_ALIGN_STEP_MM = 1e-3  # the largest move of a point, and ...
_ALIGN_TOLERANCE = 1e-5  # ... the relative gain, that count as standing still


class TriangleSurface:
    """Nearest points on a set of triangles, exact; built once, asked often.

    Triangles are sorted by size into classes of a factor two, each with a tree of its middles, so that one large
    triangle does not make every search wide.

    Args:
        verts: (V, 3), any unit.
        faces: (F, 3) integers; triangles of no area count as the segment or point they are.

    Raises:
        InputError: wrong shapes, values that are not finite, indices out of range, no triangle.
    """

    def __init__(self, verts: NDArray, faces: NDArray) -> None:
        points = _checked_points("verts", verts)
        index = np.asarray(faces)
        if index.ndim != 2 or index.shape[1] != 3 or not len(index):
            raise InputError(f"faces must have shape (F, 3) with at least one row, got {index.shape}")
        if index.min() < 0 or index.max() >= len(points):
            raise InputError(f"faces must hold indices in [0, {len(points)}), got {index.min()} to {index.max()}")
        self.corners = points[index]
        middles = self.corners.mean(1)
        reach = np.linalg.norm(self.corners - middles[:, None], axis=2).max(1)
        floor = max(float(reach.max()), 1e-30) * 1e-3
        size = np.ceil(np.log2(np.maximum(reach, floor) / floor)).astype(int)
        self._middles = cKDTree(middles)
        self._classes: list[tuple[NDArray[np.int64], cKDTree, float]] = []
        for value in np.unique(size):
            members = np.flatnonzero(size == value).astype(np.int64)
            self._classes.append((members, cKDTree(middles[members]), float(reach[members].max())))

    def nearest(self, points: NDArray) -> tuple[Array, Array, NDArray[np.int64]]:
        """The surface's nearest point to each of ``points`` (N, 3).

        Returns:
            distances (N,), positions (N, 3) and the triangle of each (N,); of equally near ones, one of them.
        """
        points = _checked_points("points", points)
        distance, position = np.empty(len(points)), np.empty((len(points), 3))
        triangle = np.empty(len(points), np.int64)
        for start in range(0, len(points), _BATCH):
            part = slice(start, start + _BATCH)
            distance[part], position[part], triangle[part] = self._nearest(points[part])
        return distance, position, triangle

    def _nearest(self, points: Array) -> tuple[Array, Array, NDArray[np.int64]]:
        count = min(_NEAREST, len(self.corners))
        first = self._middles.query(points, k=count)[1].reshape(len(points), count)
        owner = np.repeat(np.arange(len(points)), count)
        near = nearest_on_triangles(points[owner], self.corners[first.ravel()])
        away = np.linalg.norm(near - points[owner], axis=1).reshape(-1, count)
        chosen = np.arange(len(points)), away.argmin(1)
        distance, triangle = away[chosen], first[chosen].astype(np.int64)
        position = near.reshape(-1, count, 3)[chosen]
        for members, tree, reach in self._classes:
            # A triangle nearer than the best so far has its middle within that distance plus its own reach.
            lists = tree.query_ball_point(points, (distance + reach) * (1 + 1e-12))
            lengths = np.fromiter(map(len, lists), np.int64, len(lists))
            owners = np.flatnonzero(lengths)
            if not len(owners):
                continue
            lengths = lengths[owners]
            owner = np.repeat(owners, lengths)
            candidate = members[np.concatenate([lists[index] for index in owners]).astype(np.int64)]
            near = nearest_on_triangles(points[owner], self.corners[candidate])
            away = np.linalg.norm(near - points[owner], axis=1)
            least = np.minimum.reduceat(away, np.cumsum(lengths) - lengths)
            winners = np.flatnonzero((away == np.repeat(least, lengths)) & (away < distance[owner]))
            distance[owner[winners]] = away[winners]
            position[owner[winners]], triangle[owner[winners]] = near[winners], candidate[winners]
        return distance, position, triangle


def nearest_on_triangles(points: Array, corners: Array) -> Array:
    """The point of triangle i nearest to point i, (N, 3), for points (N, 3) and corners (N, 3, 3).

    The foot of the perpendicular where it falls inside, else the best of the three edges' nearest points: one
    formula without cases, which holds for triangles of no area too.
    """
    a = corners[:, 0]
    u, v, w = corners[:, 1] - a, corners[:, 2] - a, points - a
    normal = np.cross(u, v)
    area = np.einsum("ij,ij->i", normal, normal)
    # Barycentric coordinates of the foot, from areas of the triangles it spans with the edges.
    with np.errstate(divide="ignore", invalid="ignore"):
        gamma = np.einsum("ij,ij->i", np.cross(u, w), normal) / area
        beta = np.einsum("ij,ij->i", np.cross(w, v), normal) / area
    inside = (area > 0) & (beta >= 0) & (gamma >= 0) & (beta + gamma <= 1)
    best = a + np.where(inside, beta, 0)[:, None] * u + np.where(inside, gamma, 0)[:, None] * v
    outside = np.flatnonzero(~inside)
    square = np.full(len(outside), np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        near = _nearest_on_segments(points[outside], corners[outside, start], corners[outside, end])
        away = np.einsum("ij,ij->i", near - points[outside], near - points[outside])
        nearer = away < square
        best[outside[nearer]] = near[nearer]
        square = np.where(nearer, away, square)
    return best


def _nearest_on_segments(points: Array, start: Array, end: Array) -> Array:
    along = end - start
    square = np.einsum("ij,ij->i", along, along)
    share = np.einsum("ij,ij->i", points - start, along) / np.where(square > 0, square, 1)
    return start + np.clip(share, 0, 1)[:, None] * along


def face_region(scan_points: NDArray, scan_landmarks: NDArray) -> NDArray[np.bool_]:
    """Which points of a scan count: those in a ball about the face's middle.

    Args:
        scan_points: (N, 3).
        scan_landmarks: the seven `NOW_LANDMARKS` on the scan, (7, 3).

    Returns:
        (N,) bool. The middle lies 0.3 of the way from the nose's bottom to between the inner eye corners; the
        radius is 0.7 times (that way's length + the distance of the outer eye corners).
    """
    points, marks = _checked_points("scan_points", scan_points), _checked_landmarks(scan_landmarks)
    between, bottom = (marks[1] + marks[2]) / 2, marks[4]
    middle = bottom + 0.3 * (between - bottom)
    radius = 0.7 * (np.linalg.norm(marks[0] - marks[3]) + np.linalg.norm(between - bottom))
    return np.linalg.norm(points - middle, axis=1) <= radius


@dataclass(frozen=True)
class ScanDistance:
    """Distances of a scan's points from a prediction that was moved onto it.

    Attributes:
        distances: mm, (N,), of the points in the region.
        alignment: prediction to scan, batch of 1, float64; ``scale`` is 1 in the metrical variant.
        start: the alignment from the landmarks alone.
    """

    distances: Array
    alignment: Similarity
    start: Similarity

    @property
    def median(self) -> float:
        return float(np.median(self.distances))

    @property
    def mean(self) -> float:
        return float(self.distances.mean())

    @property
    def std(self) -> float:
        return float(self.distances.std())


def scan_distance(
    scan_points: NDArray,
    scan_landmarks: NDArray,
    verts: NDArray,
    faces: NDArray,
    landmarks: NDArray,
    *,
    metrical: bool = False,
) -> ScanDistance:
    """Scan-to-mesh distance after alignment.

    Args:
        scan_points: vertices of the scan, mm, (N, 3).
        scan_landmarks: the `NOW_LANDMARKS` on the scan, mm, (7, 3).
        verts, faces: predicted mesh, (V, 3) in any unit and frame, (F, 3).
        landmarks: the `NOW_LANDMARKS` on the predicted mesh, (7, 3).
        metrical: keep the prediction's scale (it must then be in mm); otherwise scale is fitted too.

    Returns:
        `ScanDistance` over the points inside `face_region`.

    Raises:
        InputError: wrong shapes, values that are not finite, no scan point in the region.
    """
    points, marks = _checked_points("scan_points", scan_points), _checked_landmarks(scan_landmarks)
    points = points[face_region(points, marks)]
    if not len(points):
        raise InputError("scan_points has no point near scan_landmarks; both must be in one frame, in mm")
    surface = TriangleSurface(verts, faces)
    source = torch.from_numpy(_checked_landmarks(landmarks))[None]
    start = align_similarity(source, torch.from_numpy(marks)[None], scale=1.0 if metrical else None)
    # A coarse subset in a fixed order settles the alignment; every point is measured.
    subset = points[:: max(1, len(points) // _ALIGN_POINTS)]
    alignment = _refine(surface, subset, start, metrical)
    return ScanDistance(nearest_in_scan_frame(surface, points, alignment)[0], alignment, start)


def nearest_in_scan_frame(
    surface: TriangleSurface, points: Array, alignment: Similarity
) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """What the aligned surface has nearest to points (N, 3) of the scan.

    The scan is taken to the mesh, not the mesh to the scan: so the search trees are built once.

    Returns:
        Distances (N,), positions (N, 3), unit normals of their triangles (N, 3), all in the scan's frame, and the
        triangles (N,).
    """
    scale, rotation, translation = (value[0].numpy() for value in alignment)
    distance, near, triangle = surface.nearest((points - translation) @ rotation / scale)
    a, b, c = surface.corners[triangle].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1), 1e-30)[:, None]
    return distance * scale, scale * near @ rotation.T + translation, normal @ rotation.T, triangle


def _refine(surface: TriangleSurface, points: Array, alignment: Similarity, metrical: bool) -> Similarity:
    """Levenberg-Marquardt on the summed distances (softened below `_SOFT_MM`)."""
    middle = points.mean(0)
    unknowns = 6 if metrical else 7
    damping = 1e-3
    distance, near, normal, _ = nearest_in_scan_frame(surface, points, alignment)
    cost = _soft(distance).sum()
    for _ in range(_ALIGN_STEPS):
        slope = distance_slope(points, distance, near, normal, middle)[1][:, :unknowns]
        weight = 1 / _soft(distance)
        hessian = slope.T @ (weight[:, None] * slope)
        gradient = slope.T @ (weight * distance)
        while damping < 1e6:
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian) + 1e-12), gradient)
            tried = moved_by(alignment, step, middle)
            result = nearest_in_scan_frame(surface, points, tried)
            tried_cost = _soft(result[0]).sum()
            if tried_cost <= cost:
                break
            damping *= 10
        else:
            return alignment
        gain = 1 - tried_cost / cost
        alignment, cost = tried, tried_cost
        distance, near, normal, _ = result
        damping = max(damping / 10, 1e-9)
        radius = np.linalg.norm(points - middle, axis=1).max()
        turn_and_growth = np.abs(np.delete(step, [3, 4, 5])).max() * radius
        if gain < _ALIGN_TOLERANCE or max(turn_and_growth, np.abs(step[3:6]).max()) < _ALIGN_STEP_MM:
            break
    return alignment


def distance_slope(points: Array, distance: Array, near: Array, normal: Array, middle: Array) -> tuple[Array, Array]:
    """How distances change as the surface moves.

    d = |x - y| changes with its nearest point y only along n = (x - y) / d, so its slope by a turn ω, a shift τ and a
    growth g about the middle c is -n . (ω x (y - c) + τ + g (y - c)); a point on the surface takes its normal for n.

    Returns:
        n (N, 3) and the slopes (N, 7).
    """
    far = distance > 1e-9
    direction = np.where(far[:, None], (points - near) / np.where(far, distance, 1)[:, None], normal)
    arm = near - middle
    growth = np.einsum("ij,ij->i", arm, direction)[:, None]
    return direction, -np.concatenate([np.cross(arm, direction), direction, growth], 1)


def _soft(distance: Array) -> Array:
    return np.sqrt(distance**2 + _SOFT_MM**2)


def moved_by(alignment: Similarity, step: NDArray, middle: Array) -> Similarity:
    """``alignment`` followed by a turn, a shift and (a seventh value) a growth about ``middle``."""
    turn = rotation_from_axis_angle(torch.from_numpy(step[:3]))
    growth = float(np.exp(step[6])) if len(step) == 7 else 1.0
    about = torch.from_numpy(middle)
    translation = growth * (turn @ (alignment.translation[0] - about)) + about + torch.from_numpy(step[3:6])
    return Similarity(alignment.scale * growth, turn @ alignment.rotation, translation[None])


def _checked_points(name: str, points: NDArray) -> Array:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(f"{name} must have shape (N, 3), got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{name} must be finite, got NaN or infinite values")
    return array


def _checked_landmarks(landmarks: NDArray) -> Array:
    array = _checked_points("landmarks", landmarks)
    if len(array) != len(NOW_LANDMARKS):
        raise InputError(
            f"landmarks must be the seven points {NOW_LANDMARKS} of the iBUG 68, (7, 3), got {array.shape}"
        )
    return array
