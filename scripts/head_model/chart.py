"""A texture chart of our own: one face-centred skin island with its seam at the back, small islands for the rest.

Every island is a convex-combination map (Tutte/Floater) of a disk onto a convex outline, which cannot fold; the
weights are then corrected by the local stretch (Yoshizawa, Belyaev & Seidel 2004) until every part of the island has
about the texels its importance asks for. The chart is symmetric: mirrored vertices have mirrored u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from .source import PARTS, Array, Ints, SourceHead, triangulate

#: Island -> (u0, v0, u1, v1). Left/right pairs are laid out for the left (u > 0.5) and mirrored.
BOXES: dict[str, tuple[float, float, float, float]] = {
    "skin": (0.008, 0.008, 0.992, 0.812),
    "left_eye": (0.815, 0.820, 0.985, 0.990),
    "left_eye_back": (0.752, 0.940, 0.802, 0.990),
    "left_eye_socket": (0.752, 0.876, 0.802, 0.932),
    "left_upper_lashes": (0.752, 0.848, 0.802, 0.868),
    "left_lower_lashes": (0.752, 0.820, 0.802, 0.840),
    "upper_teeth": (0.26, 0.820, 0.74, 0.856),
    "lower_teeth": (0.26, 0.864, 0.74, 0.900),
    "tongue": (0.38, 0.908, 0.62, 0.938),
    "mouth_bag": (0.30, 0.946, 0.70, 0.970),
    "tongue_below": (0.40, 0.977, 0.60, 0.994),
}


#: Below one, the iris gets more of the eye island than its angle's share.
EYE_POWER = 0.7


@dataclass(frozen=True)
class Chart:
    """Texture coordinates (T, 2), v down, and triangles into them (F, 3), in the order of the head's triangles."""

    uvs: Array
    uv_faces: Ints


def eye_radius(angle: Array) -> Array:
    """Distance from the middle of an eye island, in widths of it, of a point at ``angle`` from the optical axis."""
    return 0.5 * (angle / (0.5 * np.pi)) ** EYE_POWER


def eye_angle(radius: Array) -> Array:
    """Inverse of `eye_radius`."""
    return 0.5 * np.pi * (2.0 * radius) ** (1.0 / EYE_POWER)


def build_chart(head: SourceHead, verts: Array, density: Array) -> Chart:
    """Lay out the whole head.

    Args:
        verts: the mean head, symmetric, (V, 3) mm; lengths are measured on it.
        density: texels per millimetre wanted at each vertex, up to a common factor, (V,).
    """
    faces = triangulate(head.quads)
    parts = np.tile(head.parts, 2)
    layout = _Layout(verts, density, head.mirror, np.zeros((0, 2)), np.full((len(faces), 3), -1))
    skin_rows = np.nonzero(parts == list(PARTS).index("skin"))[0]
    cut, split_faces = _cut_open(verts, faces[skin_rows])
    layout.place_disk("skin", skin_rows, split_faces, cut)
    for name in PARTS:
        rows = np.nonzero(parts == list(PARTS).index(name))[0]
        if name == "skin" or name.startswith("right"):
            continue
        if name == "left_eye":
            centre = 0.5 * (
                verts[faces[rows]].reshape(-1, 3).max(axis=0) + verts[faces[rows]].reshape(-1, 3).min(axis=0)
            )
            quad_middle = verts[head.quads[rows[: len(rows) // 2]]].mean(axis=1)
            front = np.tile(quad_middle[:, 2] > centre[2], 2)
            layout.place_hemisphere("left_eye", rows[front], faces[rows[front]], centre, 1.0)
            layout.place_hemisphere("left_eye_back", rows[~front], faces[rows[~front]], centre, -1.0)
        elif name == "tongue":
            above = np.tile(_faces_up(verts, head.quads[rows[: len(rows) // 2]]), 2)
            layout.place_disk("tongue", rows[above], faces[rows[above]], None)
            layout.place_disk("tongue_below", rows[~above], faces[rows[~above]], None)
        else:
            layout.place_disk(name, rows, faces[rows], None)
    layout.mirror_right_parts(faces, parts)
    return layout.finished()


@dataclass
class _Layout:
    verts: Array
    density: Array
    mirror: Ints
    uvs: Array
    uv_faces: Ints

    def place_disk(self, box: str, rows: Ints, faces: Ints, split: Ints | None) -> None:
        """Flatten a disk of triangles; ``split`` maps vertex copies (index >= V) of an opened seam to originals."""
        used, local = np.unique(faces, return_inverse=True)
        local = local.reshape(faces.shape)
        source = used if split is None else np.append(np.arange(len(self.verts)), split)[used]
        symmetric = np.abs(self.verts[source, 0].sum()) < 1e-3 * len(source) and (self.verts[source, 0] < -1e-6).any()
        outline = _outline(self.verts[source], local, self.density[source])
        points = flatten(self.verts[source], local, outline, self.density[source], BOXES[box])
        if symmetric:
            partner = _partner(points, source, self.mirror, split)
            points = 0.5 * (points + (points[partner] * [-1.0, 1.0] + [1.0, 0.0]))
        self.uv_faces[rows] = local + len(self.uvs)
        self.uvs = np.concatenate([self.uvs, points])

    def place_hemisphere(self, box: str, rows: Ints, faces: Ints, centre: Array, facing: float) -> None:
        """Azimuthal map of half an eyeball about its optical axis, with the iris enlarged (`eye_radius`)."""
        used, local = np.unique(faces, return_inverse=True)
        arm = self.verts[used] - centre
        polar = np.arctan2(np.hypot(arm[:, 0], arm[:, 1]), facing * arm[:, 2])
        around = np.arctan2(arm[:, 1], arm[:, 0] * facing)
        radius = eye_radius(polar)
        u0, v0, u1, v1 = BOXES[box]
        disk = np.stack([0.5 + radius * np.cos(around), 0.5 - radius * np.sin(around)], axis=1)
        self.uv_faces[rows] = local.reshape(faces.shape) + len(self.uvs)
        self.uvs = np.concatenate([self.uvs, disk * [u1 - u0, v1 - v0] + [u0, v0]])

    def mirror_right_parts(self, faces: Ints, parts: Ints) -> None:
        """Copy every left island to the right: mirrored triangle, mirrored u."""
        corner_sets = {tuple(sorted(row)): i for i, row in enumerate(faces.tolist())}
        for index, name in enumerate(PARTS):
            if not name.startswith("right"):
                continue
            for row in np.nonzero(parts == index)[0]:
                partner = corner_sets.get(tuple(sorted(self.mirror[faces[row]].tolist())))
                if partner is None:
                    raise ValueError(f"triangle {row} of {name} has no mirror image")
                left_corner = dict(zip(faces[partner].tolist(), self.uv_faces[partner].tolist()))
                self.uv_faces[row] = [left_corner[v] for v in self.mirror[faces[row]].tolist()]
            rows = np.nonzero(parts == index)[0]
            used, local = np.unique(self.uv_faces[rows], return_inverse=True)
            self.uv_faces[rows] = local.reshape(-1, 3) + len(self.uvs)
            self.uvs = np.concatenate([self.uvs, self.uvs[used] * [-1.0, 1.0] + [1.0, 0.0]])

    def finished(self) -> Chart:
        assert (self.uv_faces >= 0).all()
        return Chart(self.uvs, self.uv_faces)


def flatten(verts: Array, faces: Ints, outline: Ints, density: Array, box: tuple[float, float, float, float]) -> Array:
    """Disk of triangles -> points in ``box``, (n, 2), v down; ``outline`` is clockwise on the page from its top."""
    filled_verts, filled_faces, filled_density = _fill_holes(verts, faces, outline, density)
    rim = _on_superellipse(verts[outline], density[outline], box)
    weights = _mean_value_weights(filled_verts, filled_faces)
    best, best_stretch = np.zeros((0, 2)), np.inf
    for _ in range(12):
        points = _solve(weights, outline, rim)
        stretch, total = _stretch(filled_verts, filled_faces, points, filled_density)
        if total >= best_stretch:
            break
        best, best_stretch = points, total
        weights = weights @ sparse.diags(1.0 / stretch)
    return best[: len(verts)]


def _solve(weights: sparse.csr_matrix, rim_index: Ints, rim: Array) -> Array:
    """Every inner point at the weighted mean of its neighbours."""
    count = weights.shape[0]
    inner = np.setdiff1d(np.arange(count), rim_index)
    rows = sparse.diags(1.0 / np.asarray(weights.sum(axis=1)).ravel()) @ weights
    rows = rows.tocsr()[inner]
    points = np.zeros((count, 2))
    points[rim_index] = rim
    system = (sparse.identity(len(inner)) - rows[:, inner]).tocsc()
    points[inner] = splu(system).solve(rows[:, rim_index] @ rim)
    return points


def _mean_value_weights(verts: Array, faces: Ints) -> sparse.csr_matrix:
    """Floater 2003: w_ij = (tan(a/2) + tan(b/2)) / |ij|, a and b the angles at i beside the edge; always positive."""
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, l = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        to_j, to_l = verts[j] - verts[i], verts[l] - verts[i]
        len_j, len_l = np.linalg.norm(to_j, axis=1), np.linalg.norm(to_l, axis=1)
        cosine = (to_j * to_l).sum(axis=1) / (len_j * len_l)
        half = np.tan(0.5 * np.arccos(cosine.clip(-0.9999, 0.9999)))
        rows += [i, i]
        columns += [j, l]
        values += [half / len_j, half / len_l]
    shape = (len(verts), len(verts))
    return sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape)


def _stretch(verts: Array, faces: Ints, points: Array, density: Array) -> tuple[Array, float]:
    """Root mean square stretch (mm wanted per unit of the page) around every vertex, and over all."""
    a, b, c = (verts[faces[:, k]] for k in range(3))
    p, q, r = (points[faces[:, k]] for k in range(3))
    double = (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (r[:, 0] - p[:, 0]) * (q[:, 1] - p[:, 1])
    double = np.where(np.abs(double) < 1e-12, 1e-12, double)[:, None]
    along_u = (a * (q - r)[:, 1:] + b * (r - p)[:, 1:] + c * (p - q)[:, 1:]) / double
    along_v = (a * (r - q)[:, :1] + b * (p - r)[:, :1] + c * (q - p)[:, :1]) / double
    wanted = density[faces].mean(axis=1)
    square = 0.5 * ((along_u**2).sum(axis=1) + (along_v**2).sum(axis=1)) * wanted**2
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * wanted**2
    total, share = np.zeros(len(verts)), np.zeros(len(verts))
    for k in range(3):
        np.add.at(total, faces[:, k], area * square)
        np.add.at(share, faces[:, k], area)
    return np.sqrt(total / share), float(np.sqrt((area * square).sum() / area.sum()))


def _fill_holes(verts: Array, faces: Ints, outline: Ints, density: Array) -> tuple[Array, Ints, Array]:
    """A fan in every inner hole (eye openings, mouth), so that the map cannot fold there."""
    on_outline = set(outline.tolist())
    for loop in _loops(faces):
        if on_outline & set(loop):
            continue
        middle = len(verts)
        verts = np.concatenate([verts, verts[loop].mean(axis=0, keepdims=True)])
        density = np.append(density, density[loop].mean())
        fan = [[a, middle, b] for a, b in zip(loop, np.roll(loop, -1).tolist())]
        faces = np.concatenate([faces, np.array(fan)])
    return verts, faces, density


def _loops(faces: Ints) -> list[list[int]]:
    """Boundary loops; each runs in the direction of its triangles' half-edges."""
    edges = {(int(f[k]), int(f[(k + 1) % 3])) for f in faces for k in range(3)}
    step = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while step:
        start = min(step)
        loop = [start]
        while (following := step.pop(loop[-1])) != start:
            loop.append(following)
        loops.append(loop)
    return loops


def _outline(verts: Array, faces: Ints, density: Array) -> Ints:
    """The longest boundary loop, clockwise on the page, starting at its top: the highest point nearest the midline."""
    loop = max(_loops(faces), key=lambda ring: np.linalg.norm(np.diff(verts[ring], axis=0), axis=1).sum())
    ring = np.array(loop[::-1])  # half-edges run anticlockwise seen from outside, and so on the page
    score = verts[ring, 1] - 10.0 * np.abs(verts[ring, 0] - verts[ring, 0].mean())
    return np.roll(ring, -int(score.argmax()))


def _on_superellipse(ring: Array, density: Array, box: tuple[float, float, float, float]) -> Array:
    """Points of the ring spread by length over |x|^p + |y|^p = 1 in the box, clockwise from the top middle.

    The skin fills its box (p = 4); small islands are rounder (p = 2.5), lest a triangle with all corners on a nearly
    straight stretch of the rim become flat.
    """
    power = 2.0 / (4.0 if box == BOXES["skin"] else 2.5)
    angles = np.linspace(0.0, 2 * np.pi, 4001)
    width, height = box[2] - box[0], box[3] - box[1]
    x, y = np.sin(angles), np.cos(angles)
    rounded = np.stack([np.sign(x) * np.abs(x) ** power, -np.sign(y) * np.abs(y) ** power], axis=1)
    curve = 0.5 * rounded * [width, height]
    curve_length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1)))
    steps = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1) * 0.5 * (density + np.roll(density, -1))
    place = np.append(0.0, np.cumsum(steps))[:-1] / steps.sum() * curve_length[-1]
    middle = np.array([0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])])
    return middle + np.stack([np.interp(place, curve_length, curve[:, k]) for k in range(2)], axis=1)


def _cut_open(verts: Array, faces: Ints) -> tuple[Ints, Ints]:
    """Open the skin along the midline from the nape to the crown; (originals of the copies), faces with copies."""
    midline = {int(v) for v in np.unique(faces) if verts[v, 0] == 0.0}
    neighbours: dict[int, set[int]] = {v: set() for v in midline}
    for face in faces.tolist():
        for a, b in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0])):
            if a in midline and b in midline:
                neighbours[a].add(b)
                neighbours[b].add(a)
    rim = {v for loop in _loops(faces) for v in loop}
    path = [min(midline & rim, key=lambda v: verts[v, 2])]
    crown = max(midline, key=lambda v: verts[v, 1])
    while path[-1] != crown:
        path.append(next(v for v in neighbours[path[-1]] if v not in path))
    opened = np.array(path[:-1])
    copy = {v: len(verts) + i for i, v in enumerate(opened.tolist())}
    right = verts[faces].mean(axis=1)[:, 0] < 0
    split = faces.copy()
    for v, new in copy.items():
        split[right[:, None] & (faces == v)] = new
    return opened, split


def _partner(points: Array, source: Ints, mirror: Ints, split: Ints | None) -> Ints:
    """Row of the mirrored vertex; the two copies of a cut vertex are each other's mirror images."""
    rows: dict[int, list[int]] = {}
    for row, vertex in enumerate(source.tolist()):
        rows.setdefault(vertex, []).append(row)
    partner = np.zeros(len(source), np.int64)
    for row, vertex in enumerate(source.tolist()):
        options = rows[int(mirror[vertex])]
        partner[row] = options[0] if len(options) == 1 else next(o for o in options if o != row)
    return partner


def _faces_up(verts: Array, quads: Ints) -> np.ndarray:
    a, b, c = verts[quads[:, 0]], verts[quads[:, 1]], verts[quads[:, 2]]
    normal = np.cross(b - a, c - a)
    return normal[:, 1] > 0
