"""Slow float64 twins of the ops on normals, light and textures, straight from their definitions."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pyface3d.ops import Fragments, Topology


def slow_face_normals(verts: Tensor, topology: Topology) -> Tensor:
    """One triangle at a time."""
    normals = verts.new_zeros(len(verts), topology.num_faces, 3)
    for b, f in itertools.product(range(len(verts)), range(topology.num_faces)):
        a, p, q = verts[b, topology.faces[f].long()]
        normals[b, f] = F.normalize(torch.linalg.cross(p - a, q - a), dim=-1)
    return normals


def slow_vertex_normals(verts: Tensor, topology: Topology) -> Tensor:
    """One triangle at a time, its cross product on each of its corners."""
    sums = torch.zeros_like(verts)
    for b, face in itertools.product(range(len(verts)), topology.faces.long()):
        a, p, q = verts[b, face]
        sums[b, face] += torch.linalg.cross(p - a, q - a)
    return F.normalize(sums, dim=-1)


# The constants as the systems' descriptions print them, not derived from ours.
_BASIS = {
    "irradiance": lambda x, y, z: (
        0.282095, 0.325735 * y, 0.325735 * z, 0.325735 * x,
        0.273137 * x * y, 0.273137 * y * z, 0.078848 * (3 * z * z - 1), 0.273137 * x * z, 0.136569 * (x * x - y * y),
    ),
    "deng": lambda x, y, z: (
        0.886227, -1.772454 * y, 1.772454 * z, -1.772454 * x,
        2.427032 * x * y, -2.427032 * y * z, 0.700624 * (3 * z * z - 1), -2.427032 * x * z, 1.213516 * (x * x - y * y),
    ),
    "deca": lambda x, y, z: (
        0.282095, 1.023327 * x, 1.023327 * y, 1.023327 * z,
        0.858086 * x * y, 0.858086 * x * z, 0.858086 * y * z, 0.429043 * (x * x - y * y), 0.247708 * (3 * z * z - 1),
    ),
    "focus": lambda x, y, z: (
        0.282095, -0.488603 * y, 0.488603 * z, -0.488603 * x,
        1.092548 * x * y, -1.092548 * y * z, 0.315392 * (3 * z * z - 1), -1.092548 * x * z, 0.546274 * (x * x - y * y),
    ),
}  # fmt: skip


def slow_shade(normals: Tensor, light: Tensor, albedo: Tensor | None = None, convention: str = "irradiance") -> Tensor:
    """One normal at a time; the constants have six figures."""
    shaded = torch.zeros_like(normals)
    for index in itertools.product(*map(range, normals.shape[:-1])):
        bands = torch.tensor(_BASIS[convention](*normals[index].tolist()), dtype=normals.dtype)
        shaded[index] = bands @ light[index[0]]
    return shaded if albedo is None else shaded * albedo


def slow_sample_texture(texture: Tensor, uvs: Tensor, filter: str = "bilinear", wrap: str = "clamp") -> Tensor:
    """One pixel at a time: weights of the texels around, each index brought into the texture on its own."""
    _, height, width, channels = texture.shape
    colours = texture.new_zeros(*uvs.shape[:-1], channels)

    def texel(b: int, row: int, column: int) -> Tensor:
        if wrap == "repeat":
            row, column = row % height, column % width
        else:
            row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        return texture[b if len(texture) > 1 else 0, row, column]

    for b, i, j in itertools.product(*map(range, uvs.shape[:-1])):
        u, v = uvs[b, i, j].tolist()
        if not (math.isfinite(u) and math.isfinite(v)):
            continue
        if filter == "nearest":
            colours[b, i, j] = texel(b, math.floor(v * height), math.floor(u * width))
            continue
        x, y = u * width - 0.5, v * height - 0.5
        left, top = math.floor(x), math.floor(y)
        for row, column in itertools.product((top, top + 1), (left, left + 1)):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            colours[b, i, j] += weight * texel(b, row, column)
    return colours


def slow_render_texture(
    texture: Tensor, fragments: Fragments, topology: Topology, filter: str = "bilinear", wrap: str = "clamp"
) -> Tensor:
    """The uv image first, then its colours."""
    index = fragments.face_index.long()
    corners = topology.uvs.to(texture.dtype)[topology.uv_faces[index.clamp(min=0)].long()]
    uvs = (corners * fragments.barycentrics[..., None]).sum(-2)
    uvs[index < 0] = torch.nan
    return slow_sample_texture(texture, uvs, filter, wrap)


def slow_rasterize_uvs(topology: Topology, height: int, width: int) -> Fragments:
    """Texel by texel, face by face: the nearest point of the face, found edge by edge."""
    uvs = topology.uvs.double().numpy() * [width, height]
    index = np.full((1, height, width), -1, np.int32)
    weights, distance = np.zeros((1, height, width, 3)), np.zeros((1, height, width))
    for row, column in itertools.product(range(height), range(width)):
        best = math.sqrt(2) - 1e-12
        for f, face in enumerate(topology.uv_faces.numpy()):
            beta, d = _nearest_on_triangle(uvs[face], np.array([column + 0.5, row + 0.5]))
            if d < best - 1e-9 or (index[0, row, column] < 0 and d < best):
                best = d
                index[0, row, column], weights[0, row, column], distance[0, row, column] = f, beta, d
    return Fragments(torch.from_numpy(index), torch.from_numpy(weights), torch.from_numpy(distance))


def _nearest_on_triangle(corners: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, float]:
    """Barycentrics of the triangle's point nearest to ``point`` and its distance."""
    matrix = np.concatenate([corners.T, np.ones((1, 3))])
    if abs(np.linalg.det(matrix)) < 1e-12:
        return np.zeros(3), math.inf
    inside = np.linalg.solve(matrix, [*point, 1.0])
    if (inside >= 0).all():
        return inside, 0.0
    found = []
    for k in range(3):
        a, b = corners[k], corners[(k + 1) % 3]
        t = float(np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1))
        beta = np.zeros(3)
        beta[k], beta[(k + 1) % 3] = 1 - t, t
        found.append((float(np.linalg.norm(a + t * (b - a) - point)), k, beta))
    d, _, beta = min(found, key=lambda item: item[:2])
    return beta, d


def slow_bake_texture(
    image: Tensor,
    verts_image: Tensor,
    topology: Topology,
    texture_size: tuple[int, int],
    visibility: Fragments | Tensor | None,
    tolerance: float,
    perspective: bool,
) -> tuple[Tensor, Tensor]:
    """Texel by texel in space: corners to a pinhole camera of focal length 1 and back."""
    chart = slow_rasterize_uvs(topology, *texture_size)
    batch, height, width, _ = image.shape
    uvs = torch.full((batch, *texture_size, 2), torch.nan, dtype=image.dtype)
    weight = image.new_zeros(batch, *texture_size)
    for b, i, j in itertools.product(range(batch), *map(range, texture_size)):
        f = int(chart.face_index[0, i, j])
        if f < 0:
            continue
        corners = topology.faces[f].long()
        p = verts_image[b, corners].detach().double().numpy()
        space = np.stack([p[:, 0] * p[:, 2], p[:, 1] * p[:, 2], p[:, 2]], 1) if perspective else p
        beta = chart.barycentrics[0, i, j].numpy()
        x, y, z = beta @ space
        u, v = (x / z, y / z) if perspective else (x, y)
        (x0, y0), (x1, y1), (x2, y2) = p[:, :2]
        facing = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0) < 0  # anticlockwise to the eye, y down
        if not (facing and 0 <= u < width and 0 <= v < height and (p[:, 2] > 0).all()):
            continue
        seen = 1.0
        if isinstance(visibility, Fragments):
            seen = _share_that_shows(visibility, b, u, v, space, tolerance, perspective)
        elif visibility is not None:
            seen = float(beta @ visibility[b, corners].numpy())
        if seen > 0:
            uvs[b, i, j] = torch.tensor([u / width, v / height])
            weight[b, i, j] = seen
    return slow_sample_texture(image, uvs), weight


def _share_that_shows(
    fragments: Fragments, b: int, u: float, v: float, space: np.ndarray, tolerance: float, perspective: bool
) -> float:
    """Weights of the four pixels around (u, v) whose depth is that of the face's plane there."""
    height, width = fragments.depth.shape[1:]
    share = 0.0
    left, top = math.floor(u - 0.5), math.floor(v - 0.5)
    normal = np.cross(space[1] - space[0], space[2] - space[0])
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        weight = (1 - abs(v - 0.5 - row)) * (1 - abs(u - 0.5 - column))
        row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        x, y = column + 0.5, row + 0.5
        # The plane normal . (q - corner) = 0 met by the pixel's ray q = z (x, y, 1), or by the line (x, y, any).
        if perspective:
            plane = normal @ space[0] / (normal @ [x, y, 1.0])
        else:
            plane = space[0][2] - (normal[:2] @ ([x, y] - space[0][:2])) / normal[2]
        drawn = float(fragments.depth[b, row, column])
        if drawn > 0 and abs(plane - drawn) <= tolerance:
            share += weight
    return share
