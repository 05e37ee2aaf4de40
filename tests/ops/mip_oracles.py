"""Slow float64 twins of the mip-mapped lookups: explicit levels, loops over pixels."""

import itertools
import math

import numpy as np
import torch
from surface_oracles import slow_render_texture, slow_sample_texture
from torch import Tensor

from pyface3d.ops import Fragments, Topology


def overlaps(n: int) -> np.ndarray:
    """(m, n): the share of texel k of n in texel i of m = n // 2 (at least 1), from the intervals they cover."""
    m = max(n // 2, 1)
    shares = np.zeros((m, n))
    for i, k in itertools.product(range(m), range(n)):
        shares[i, k] = max(0.0, min((i + 1) * n / m, k + 1) - max(i * n / m, k)) * m / n
    return shares


def slow_mip_pyramid(texture: Tensor) -> list[Tensor]:
    """The texture and all levels above it, (B, h, w, C) each."""
    levels = [texture]
    while levels[-1].shape[1] * levels[-1].shape[2] > 1:
        below = levels[-1]
        rows, columns = (torch.from_numpy(overlaps(n)).to(below.dtype) for n in below.shape[1:3])
        level = below.new_zeros(len(below), len(rows), len(columns), below.shape[3])
        for i, j in itertools.product(range(len(rows)), range(len(columns))):
            for k, l in itertools.product(range(below.shape[1]), range(below.shape[2])):
                level[:, i, j] += rows[i, k] * columns[j, l] * below[:, k, l]
        levels.append(level)
    return levels


def level_of_detail(footprint: Tensor, height: int, width: int) -> float:
    """log2 of the longer step in texels, at least 0."""
    steps = [math.hypot(float(footprint[0, k]) * width, float(footprint[1, k]) * height) for k in (0, 1)]
    return math.log2(max([1.0, *(step for step in steps if not math.isnan(step))]))


def slow_trilinear(levels: list[Tensor], colours: list[Tensor], footprints: Tensor) -> Tensor:
    """``colours``: bilinear lookups of all pixels in every level; mixes the two levels of each pixel."""
    _, height, width, _ = levels[0].shape
    found = torch.zeros_like(colours[0])
    for pixel in itertools.product(*map(range, found.shape[:3])):
        detail = min(level_of_detail(footprints[pixel], height, width), len(levels) - 1)
        low = math.floor(detail)
        high = min(low + 1, len(levels) - 1)
        found[pixel] = (1 - (detail - low)) * colours[low][pixel] + (detail - low) * colours[high][pixel]
    return found


def slow_sample_trilinear(texture: Tensor, uvs: Tensor, footprints: Tensor, wrap: str) -> Tensor:
    levels = slow_mip_pyramid(texture)
    return slow_trilinear(levels, [slow_sample_texture(level, uvs, "bilinear", wrap) for level in levels], footprints)


def slow_render_trilinear(
    texture: Tensor, fragments: Fragments, topology: Topology, footprints: Tensor, wrap: str
) -> Tensor:
    levels = slow_mip_pyramid(texture)
    colours = [slow_render_texture(level, fragments, topology, "bilinear", wrap) for level in levels]
    return slow_trilinear(levels, colours, footprints)


def slow_uv_footprint(
    verts_image: Tensor, face_index: Tensor, topology: Topology, perspective: bool = True, step: float = 1e-5
) -> Tensor:
    """Central differences of the texture coordinate on the plane of the pixel's face."""
    found = verts_image.new_zeros(*face_index.shape, 2, 2)
    for b, row, column in itertools.product(*map(range, face_index.shape)):
        face = int(face_index[b, row, column])
        if face < 0:
            continue
        corners = verts_image[b, topology.faces[face].long()].double().numpy()
        uvs = topology.uvs[topology.uv_faces[face].long()].double().numpy()
        for axis in (0, 1):
            at = np.array([column + 0.5, row + 0.5])
            ends = []
            for sign in (-1, 1):
                moved = at.copy()
                moved[axis] += sign * step
                ends.append(_uv_at(corners, uvs, moved, perspective))
            found[b, row, column, :, axis] = torch.from_numpy((ends[1] - ends[0]) / (2 * step))
    return found


def _uv_at(corners: np.ndarray, uvs: np.ndarray, pixel: np.ndarray, perspective: bool) -> np.ndarray:
    """Affine barycentrics by a linear solve, then the perspective division."""
    matrix = np.concatenate([corners[:, :2].T, np.ones((1, 3))])
    beta = np.linalg.solve(matrix, [*pixel, 1.0])
    if perspective:
        beta = beta / corners[:, 2]
    return beta @ uvs / beta.sum()
