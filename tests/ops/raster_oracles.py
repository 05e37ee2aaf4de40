"""Slow float64 twins of the rasteriser's ops, straight from their definitions; scenes to try them on."""

import itertools
from typing import NamedTuple

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


class Rays(NamedTuple):
    """What the rays of a picture hit: face (H, W) or -1, depth (H, W) or 0, margin (H, W): how near the nearest two
    answers are, in barycentrics to an edge or relatively in depth to the next face."""

    face: np.ndarray
    depth: np.ndarray
    margin: np.ndarray


def cast_rays(
    verts_image: Tensor, topology: Topology, height: int, width: int, cull_back: bool = True, reach: float | None = None
) -> Rays:
    """The ray of every pixel against the faces in 3D, by the method of Moeller and Trumbore (1997), in float64.

    The camera stands at the origin; its focal length is the longer side. With ``reach`` only the faces whose corners'
    box comes that near to the pixel's middle are tried; without it all are. All corners must lie in front.
    """
    verts = verts_image.detach().cpu().double().numpy()
    faces = topology.faces.cpu().numpy()
    focal = max(height, width)
    points = np.concatenate([verts[:, :2] * verts[:, 2:] / focal, verts[:, 2:]], -1)[faces]
    corners = verts[faces][..., :2]
    if reach is None:
        low, high = np.zeros((len(faces), 2), int), np.broadcast_to([width - 1, height - 1], (len(faces), 2))
    else:
        low = np.clip(np.floor(corners.min(1) - 0.5 - reach), 0, None).astype(int)
        high = np.clip(np.ceil(corners.max(1) - 0.5 + reach), None, [width - 1, height - 1]).astype(int)
    extent = np.clip(high - low + 1, 0, None)
    count = extent.prod(1)
    face = np.repeat(np.arange(len(faces)), count)
    k = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[face, 0] + k % extent[face, 0], low[face, 1] + k // extent[face, 0]

    ray = np.stack([(x + 0.5) / focal, (y + 0.5) / focal, np.ones(len(face))], -1)
    a, first, second = points[face, 0], (points[:, 1] - points[:, 0])[face], (points[:, 2] - points[:, 0])[face]
    p = np.cross(ray, second)
    det = (p * first).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        b1 = -(p * a).sum(-1) / det
        q = np.cross(-a, first)
        b2, t = (ray * q).sum(-1) / det, (second * q).sum(-1) / det
    least = np.minimum(np.minimum(b1, b2), 1 - b1 - b2)
    wanted = (det > 0) | (not cull_back and det < 0)  # det > 0: the ray comes from outside

    pixel = y * width + x
    margin = np.full(height * width, np.inf)
    np.minimum.at(margin, pixel[np.isfinite(least)], np.abs(least[np.isfinite(least)]))
    hit = np.flatnonzero(wanted & (least >= 0) & (t > 0))
    hit = hit[np.lexsort((face[hit], t[hit], pixel[hit]))]
    new = np.r_[True, pixel[hit][1:] != pixel[hit][:-1]]
    index, depth = np.full(height * width, -1), np.zeros(height * width)
    index[pixel[hit[new]]], depth[pixel[hit[new]]] = face[hit[new]], t[hit[new]]
    gap = t[hit[1:]] / t[hit[:-1]] - 1  # to the face behind
    np.minimum.at(margin, pixel[hit[1:]][~new[1:]], gap[~new[1:]])
    size = (height, width)
    return Rays(index.reshape(size), depth.reshape(size), margin.reshape(size))
