"""Slow float64 twins of the ops of relief, straight from their definitions."""

import itertools
import math

import numpy as np
import torch
from raster_oracles import slow_vertex_visibility
from torch import Tensor

from pyface3d.ops import Fragments, Topology

Array = np.ndarray


def slow_bump_normals(
    positions: Tensor, normals: Tensor, bump: Tensor, mask: Tensor, max_gap_mm: float | None = None
) -> Tensor:
    """Pixel by pixel: the gradient is the tangent vector whose product with either step is the step of the bump."""
    at, coarse, heights, inside = (t.detach().cpu().double().numpy() for t in (positions, normals, bump, mask))
    result = np.zeros_like(coarse)
    for b, y, x in itertools.product(*map(range, heights.shape)):
        length = np.linalg.norm(coarse[b, y, x])
        if not 0 < length < np.inf:
            continue
        n = coarse[b, y, x] / length
        result[b, y, x] = n

        def there(i: int, j: int, b: int = b) -> bool:
            if not (0 <= i < heights.shape[1] and 0 <= j < heights.shape[2]) or not inside[b, i, j]:
                return False
            return bool(np.isfinite(at[b, i, j]).all() and np.isfinite(heights[b, i, j]))

        if not there(y, x):
            continue
        steps, rises = [], []
        for dy, dx in ((0, 1), (1, 0)):
            ends = []
            for sign in (1, -1):
                i, j = y + sign * dy, x + sign * dx
                near = there(i, j) and (max_gap_mm is None or np.linalg.norm(at[b, i, j] - at[b, y, x]) <= max_gap_mm)
                ends.append((b, i, j) if near else (b, y, x))
            steps.append(at[ends[0]] - at[ends[1]])
            rises.append(heights[ends[0]] - heights[ends[1]])
        system = np.stack([*steps, n])
        if abs(np.linalg.det(system)) > 1e-4 * np.linalg.norm(steps[0]) * np.linalg.norm(steps[1]):
            v = n - np.linalg.solve(system, [*rises, 0.0])
            result[b, y, x] = v / np.linalg.norm(v)
    return torch.from_numpy(result)


def slow_displace(verts: Tensor, direction: Tensor, amount: Tensor) -> Tensor:
    return verts + amount[..., None] * direction


# By hand: which corners of a cell have a vertex (top left, top right, bottom left, bottom right), and its triangles.
CELLS: dict[tuple[int, int, int, int], list[tuple[str, str, str]]] = {
    (0, 0, 0, 0): [],
    (1, 0, 0, 0): [],
    (0, 1, 0, 0): [],
    (0, 0, 1, 0): [],
    (0, 0, 0, 1): [],
    (1, 1, 0, 0): [],
    (1, 0, 1, 0): [],
    (1, 0, 0, 1): [],
    (0, 1, 1, 0): [],
    (0, 1, 0, 1): [],
    (0, 0, 1, 1): [],
    (1, 1, 1, 0): [("tr", "tl", "bl")],
    (0, 1, 1, 1): [("tr", "bl", "br")],
    (1, 1, 0, 1): [("tr", "tl", "br")],
    (1, 0, 1, 1): [("tl", "bl", "br")],
    (1, 1, 1, 1): [("tr", "tl", "bl"), ("tr", "bl", "br")],
}
_BITS = {("tr", "tl", "bl"): 1, ("tr", "bl", "br"): 2, ("tr", "tl", "br"): 4, ("tl", "bl", "br"): 8}


def slow_dense_mesh(
    shown: Tensor,
    depth: Tensor,
    bump: Tensor | None,
    mask: Tensor | None,
    focal: float,
    center: tuple[float, float],
    along: str = "axis",
    max_depth_gap_mm: float = 6.0,
    max_view_angle: float = math.radians(85),
) -> tuple[Tensor, Tensor, Tensor]:
    """verts, is_vertex and cells, one pixel and one triangle at a time."""
    z = depth.detach().cpu().double().numpy()
    d = np.zeros_like(z) if bump is None else bump.detach().cpu().double().numpy()
    batch, height, width = z.shape
    verts, is_vertex = np.zeros((*z.shape, 3)), np.zeros(z.shape, bool)
    cells = np.zeros((batch, max(height - 1, 0), max(width - 1, 0)), np.uint8)
    for b, y, x in itertools.product(*map(range, z.shape)):
        if not shown[b, y, x] or (mask is not None and not mask[b, y, x]):
            continue
        ray = np.array([(x + 0.5 - center[0]) / focal, (y + 0.5 - center[1]) / focal, 1.0])
        if along == "axis":
            point = z[b, y, x] * ray - [0, 0, d[b, y, x]]
        else:
            point = z[b, y, x] * ray - d[b, y, x] * ray / np.linalg.norm(ray)
        if z[b, y, x] > 0 and point[2] > 0 and np.isfinite(point).all():
            verts[b, y, x], is_vertex[b, y, x] = point, True
    for b, y, x in itertools.product(*map(range, cells.shape)):
        where = {"tl": (b, y, x), "tr": (b, y, x + 1), "bl": (b, y + 1, x), "br": (b, y + 1, x + 1)}
        present = tuple(int(is_vertex[p]) for p in where.values())
        for names in CELLS[present]:
            p, q, r = (verts[where[name]] for name in names)
            normal, view = np.cross(q - p, r - p), -(p + q + r)
            if np.ptp([p[2], q[2], r[2]]) > max_depth_gap_mm or np.linalg.norm(normal) == 0:
                continue
            cosine = normal @ view / (np.linalg.norm(normal) * np.linalg.norm(view))
            if cosine >= math.cos(max_view_angle):
                cells[b, y, x] |= _BITS[names]
    return torch.from_numpy(verts), torch.from_numpy(is_vertex), torch.from_numpy(cells)


def slow_counts(
    verts_image: Tensor,
    fragments: Fragments,
    frontal: Fragments,
    topology: Topology,
    tolerance_mm: float = 2.5,
    perspective: bool = True,
) -> Array:
    """(B, H, W): how many frontal pixels land on each pixel, one at a time."""
    verts, depth = verts_image.double().numpy(), fragments.depth.double().numpy()
    shown = (fragments.face_index >= 0).numpy()
    counts = np.zeros(shown.shape, np.int64)
    _, height, width = shown.shape
    for b, y, x in itertools.product(*map(range, frontal.face_index.shape)):
        if frontal.face_index[b, y, x] < 0:
            continue
        u, v, z = verts[b, topology.faces[frontal.face_index[b, y, x]].long()].T
        beta = frontal.barycentrics[b, y, x].double().numpy()
        at = beta @ z
        if perspective:  # the point in space is mixed, then projected; the focal length cancels
            px, py = beta @ (u * z) / at, beta @ (v * z) / at
        else:
            px, py = beta @ u, beta @ v
        if not (at > 0 and 0 <= px < width and 0 <= py < height):
            continue
        j, i = int(px), int(py)
        around = np.s_[b, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        counts[b, i, j] += bool((shown[around] & (np.abs(depth[around] - at) <= tolerance_mm)).any())
    return counts


def slow_occlusion_weights(
    verts_image: Tensor,
    fragments: Fragments,
    frontal: Fragments,
    topology: Topology,
    tolerance_mm: float = 2.5,
    perspective: bool = True,
    compat: bool = False,
) -> Tensor:
    """Counts, a plain 5 x 5 blur, the least weight of each vertex's window."""
    counts = slow_counts(verts_image, fragments, frontal, topology, tolerance_mm, perspective)
    excess = np.maximum(counts - 1, 0).astype(np.float64)
    if compat:
        excess = np.minimum(excess, 255)
    line = np.array([1, 4, 6, 4, 1]) / 16
    weights = np.zeros(verts_image.shape[:2])
    seen = slow_vertex_visibility(verts_image, fragments, topology, tolerance_mm).numpy()
    for b in range(len(weights)):
        padded = np.pad(excess[b], 2, mode="reflect")
        blurred = np.zeros_like(excess[b])
        for i, j in itertools.product(range(5), range(5)):
            blurred += line[i] * line[j] * padded[i : i + blurred.shape[0], j : j + blurred.shape[1]]
        if compat:
            blurred = np.floor(blurred + 0.5)
        kept = np.exp(-0.2 * blurred)
        for v in np.flatnonzero(seen[b]):
            x, y = (int(c) for c in verts_image[b, v, :2])
            weights[b, v] = kept[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6].min()
    return torch.from_numpy(weights)
