"""Slow float64 twins of the rasteriser's ops, straight from their definitions; scenes to try them on."""

import itertools

import numpy as np
import torch
from torch import Tensor

from pyface3d.ops import Fragments, Topology


def slow_rasterize(
    verts_image: Tensor, topology: Topology, height: int, width: int, cull: str = "back", perspective: bool = True
) -> tuple[Fragments, np.ndarray]:
    """Pixel by pixel, face by face: solve for the weights that put the face's corners on the pixel's ray.

    Returns the fragments (float64) and, per pixel, how near to an edge of any face its middle is (in weights): a
    face index is only certain where that is more than rounding. Ties on an edge are not decided here.
    """
    verts = verts_image.detach().cpu().double().numpy()
    faces = topology.faces.cpu().numpy()
    size = (len(verts), height, width)
    index, weights, depth = np.full(size, -1, np.int32), np.zeros((*size, 3)), np.zeros(size)
    margin = np.full(size, np.inf)
    for b, y, x in itertools.product(*map(range, size)):
        ray = np.array([x + 0.5, y + 0.5, 1.0])
        for f, corners in enumerate(faces):
            u, v, z = verts[b, corners].T
            scale = z if perspective else np.ones(3)
            matrix = np.stack([u * scale, v * scale, scale])
            det = np.linalg.det(matrix)
            if not np.isfinite(matrix).all() or not np.isfinite(z).all() or abs(det) < 1e-12:
                continue
            solved = np.linalg.solve(matrix, ray)  # sum_i solved_i corner_i = ray
            beta = solved / solved.sum()
            at = beta @ z
            margin[b, y, x] = min(margin[b, y, x], np.abs(beta).min())
            drawn = (beta >= 0).all() and at > 0 and (det < 0 or cull == "none")
            if drawn and (index[b, y, x] < 0 or at < depth[b, y, x]):
                index[b, y, x], weights[b, y, x], depth[b, y, x] = f, beta, at
    return Fragments(*(torch.from_numpy(a) for a in (index, weights, depth))), margin


def slow_interpolate(attributes: Tensor, fragments: Fragments, topology: Topology) -> Tensor:
    """One pixel at a time."""
    index, weights, _ = fragments
    values = attributes.new_zeros(*index.shape, attributes.shape[-1])
    for b, y, x in itertools.product(*map(range, index.shape)):
        if index[b, y, x] >= 0:
            rows = attributes if attributes.dim() == 2 else attributes[b]
            corners = topology.faces[index[b, y, x]].long()
            values[b, y, x] = weights[b, y, x] @ rows[corners]
    return values


def slow_vertex_visibility(
    verts_image: Tensor, fragments: Fragments, topology: Topology, tolerance_mm: float = 2.5
) -> Tensor:
    """One vertex at a time."""
    batch, height, width = fragments.face_index.shape
    visible = torch.zeros(verts_image.shape[:2], dtype=torch.bool)
    for b, i in itertools.product(range(batch), range(topology.num_verts)):
        u, v, z = verts_image[b, i].tolist()
        if not (0 <= u < width and 0 <= v < height and z > 0):
            continue
        for y, x in itertools.product(range(int(v) - 1, int(v) + 2), range(int(u) - 1, int(u) + 2)):
            if not (0 <= y < height and 0 <= x < width) or fragments.face_index[b, y, x] < 0:
                continue
            own = i in topology.faces[fragments.face_index[b, y, x]].tolist()
            near = abs(verts_image[b, i, 2] - fragments.depth[b, y, x]) <= tolerance_mm
            visible[b, i] = visible[b, i] or own or bool(near)
    return visible


def random_scene(
    seed: int, dtype: torch.dtype = torch.float64, device: str = "cpu", batch: int = 2, behind: float = 0.0
) -> tuple[Tensor, Topology]:
    """Triangles of all sizes over a 9 x 13 picture; the fraction ``behind`` of the vertices is behind the camera."""
    rng = np.random.default_rng(seed)
    num_verts, num_faces = 16, 12
    verts = rng.uniform([-3, -3, 1], [16, 12, 4], (batch, num_verts, 3))
    verts[..., 2] *= np.where(rng.random((batch, num_verts)) < behind, -1, 1)
    faces = np.stack([rng.permutation(num_verts)[:3] for _ in range(num_faces)])
    return torch.tensor(verts, dtype=dtype, device=device), Topology(torch.tensor(faces, device=device), num_verts)


def sphere(rings: int = 9, sectors: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """A closed unit sphere: vertices (V, 3) and faces (F, 3), anticlockwise seen from outside (right-handed)."""
    verts = [(0.0, 0.0, 1.0)]
    for i in range(1, rings):
        t = np.pi * i / rings
        verts += [
            (np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)) for p in 2 * np.pi * np.arange(sectors) / sectors
        ]
    verts.append((0.0, 0.0, -1.0))
    last = len(verts) - 1
    at = lambda ring, k: 1 + (ring - 1) * sectors + k % sectors  # noqa: E731
    faces = []
    for k in range(sectors):
        faces.append((0, at(1, k), at(1, k + 1)))
        for i in range(1, rings - 1):
            faces.append((at(i, k), at(i + 1, k), at(i + 1, k + 1)))
            faces.append((at(i, k), at(i + 1, k + 1), at(i, k + 1)))
        faces.append((last, at(rings - 1, k + 1), at(rings - 1, k)))
    return np.array(verts), np.array(faces)


def seen_from_camera(points: np.ndarray, focal: float, height: int, width: int) -> np.ndarray:
    """Camera frame (x right, y down, z forward) to (u, v, depth), the pinhole formula."""
    z = points[..., 2:]
    return np.concatenate([focal * points[..., :2] / z + np.array([width / 2, height / 2]), z], -1)
