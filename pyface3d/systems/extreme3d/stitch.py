"""Pixels in the place of triangles without a seam: the hole that the triangles leave is triangulated anew.

The hole's border stays, edge for edge, so whatever the mesh was around it, it is as watertight as before: an edge of
the border has its triangle on the hole's side again, every new edge has two. Delaunay's triangles over the border's
vertices and the pixels inside, in the picture, hold all edges of the border if no pixel lies in the circle over any of
them; where an edge is missing all the same (the picture shows the hole folded, or narrow), the hole gives way until
none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, QhullError, cKDTree
from torch import Tensor

from pyface3d.ops import Topology, rasterize
from pyface3d.systems.extreme3d.foundation import Foundation

_ROUNDS = 40
_LEAST_PART = 12  # triangles: smaller holes are not worth their border
_LEAST_AREA = 0.5  # px²: smaller triangles, and those that are turned away, stay
_SHEAR = 1e-3  # of the pixels' squares, whose diagonals would else be drawn by rounding
_CLEARANCE = 1.02  # of the circle over a border's edge
_BORDER, _ALONG, _ALL = range(3)  # which points are tried
_ALONG_PX = 3.0

Indices = NDArray[np.int64]
Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Patch:
    """New triangles for a hole.

    Attributes:
        replaced: (F,) bool, the triangles that make way.
        faces: (T, 3) int64: vertices of the mesh, and pixels counted on from there.
        pixels: (P, 2) int64, x and y.
    """

    replaced: Tensor
    faces: Tensor
    pixels: Tensor


def pixel_patch(foundation: Foundation, places: Tensor, hole: Tensor, usable: Tensor) -> Patch:
    """Put pixels into the place of triangles.

    Args:
        places: (V,) int64, at whose place in the picture each vertex stands: its own, or its partner's.
        hole: (F,) bool, triangles that shall make way.
        usable: (H, W) bool, pixels to take.
    """
    faces = foundation.topology.faces.long().numpy()
    spots = foundation.verts_image[places, :2].double().numpy()
    # In this plane the triangles of the hole turn anticlockwise: the picture's x axis is turned where they do not.
    turn = float(np.sign(_areas(spots, faces[hole.numpy()]).sum()))

    def laid(points: NDArray[Any]) -> Points:
        return np.stack([turn * points[:, 0] + _SHEAR * points[:, 1], points[:, 1]], 1)

    flat = laid(spots)
    areas = _areas(flat, faces)
    chosen = hole.numpy() & (areas > 2 * _LEAST_AREA)
    corners = places.numpy()[faces]
    chosen[_doubled(foundation, corners, chosen)] = False
    # First the border alone, then with the pixels along it, which is quick; only a border that can be had so is tried
    # with all of them.
    trial = _BORDER
    for _ in range(_ROUNDS):
        chosen = _without_small_parts(faces, chosen)
        if not chosen.any():
            break
        border, pixels = _border(faces[chosen]), np.zeros((0, 2), np.int64)
        if trial != _BORDER:
            pixels = _inside(foundation, corners[chosen], usable)
            pixels = pixels[~_around(flat, border, laid(pixels + 0.5), _CLEARANCE)]
        if trial == _ALONG:
            pixels = pixels[_around(flat, border, laid(pixels + 0.5), _CLEARANCE, _ALONG_PX)]
        found, wrong = _triangulated(flat, border, laid(pixels + 0.5))
        if found is not None and not len(wrong):
            area = areas[chosen].sum()
            points = np.concatenate([flat, laid(pixels + 0.5)])
            if abs(_areas(points, found).sum() - area) > 1e-6 * abs(area):
                wrong = border  # folded, and no edge says where: all of the border gives way
            elif trial == _ALL:
                return Patch(torch.from_numpy(chosen), torch.from_numpy(found), torch.from_numpy(pixels))
            else:
                trial += 1
                continue
        touched = np.zeros(len(flat), np.bool_)
        touched[wrong.ravel()] = True
        chosen &= ~touched[faces].any(1)
    nothing = torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 2, dtype=torch.int64)
    return Patch(torch.zeros(len(faces), dtype=torch.bool), *nothing)


def _triangulated(flat: Points, border: Indices, pixels: Points) -> tuple[Indices | None, Indices]:
    """Triangles on the inner, left side of directed border edges (E, 2), anticlockwise, and the edges that cannot be
    had: they are missing, or have the inside on both sides."""
    own = np.unique(border)
    number = np.full(len(flat) + len(pixels), -1)
    back = np.concatenate([own, len(flat) + np.arange(len(pixels))])
    number[back] = np.arange(len(back))
    try:
        drawn = Delaunay(np.concatenate([flat[own], pixels]))
    except (QhullError, ValueError):
        return None, border
    triangles, beside = drawn.simplices.astype(np.int64), drawn.neighbors
    turned = _areas(drawn.points, triangles) < 0
    triangles[turned] = triangles[turned][:, ::-1]
    beside = np.where(turned[:, None], beside[:, ::-1], beside)
    count = len(back)

    # Edge k of a triangle leads from corner k + 1 to k + 2, with neighbour k behind it.
    start, end = triangles[:, [1, 2, 0]], triangles[:, [2, 0, 1]]
    keys = (start * count + end).ravel()
    ahead, behind = (
        number[border[:, 0]] * count + number[border[:, 1]],
        number[border[:, 1]] * count + number[border[:, 0]],
    )
    order = np.argsort(keys)
    at = order[np.searchsorted(keys, ahead, sorter=order).clip(0, len(keys) - 1)]
    missing = keys[at] != ahead
    if missing.any():
        return None, border[missing]
    walls = np.isin(keys, np.concatenate([ahead, behind])).reshape(-1, 3)
    one, side = np.nonzero(~walls & (beside >= 0))
    links = sparse.coo_matrix((np.ones(len(one)), (one, beside[one, side])), (len(triangles),) * 2)
    _, part = connected_components(links, directed=False)
    inside = np.zeros(part.max() + 1, np.bool_)
    inside[part[at // 3]] = True
    opposite = order[np.searchsorted(keys, behind, sorter=order).clip(0, len(keys) - 1)]
    both = (keys[opposite] == behind) & inside[part[opposite // 3]]
    return back[triangles[inside[part]]], border[both]


def _areas(points: Points, triangles: Indices) -> Points:
    """Twice the signed areas, (T,)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    areas: Points = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return areas


def _doubled(foundation: Foundation, corners: Indices, chosen: NDArray[np.bool_]) -> Indices:
    """Numbers of the chosen of triangles (F, 3) that lie over or under another of them in the picture, pixel by pixel:
    the nearest and the farthest are not the same."""
    rows, camera = np.flatnonzero(chosen), foundation.camera
    topology = Topology(torch.from_numpy(corners[rows]), foundation.topology.num_verts)
    spots = foundation.verts_image
    behind = torch.cat([spots[:, :2], 2 * spots[:, 2:].amax() - spots[:, 2:]], 1)  # the nearest becomes the farthest
    nearest, farthest = (
        rasterize(one[None], topology, camera.height, camera.width, cull="none", perspective=False).face_index[0]
        for one in (spots, behind)
    )
    apart = nearest != farthest
    return rows[torch.cat([nearest[apart], farthest[apart]]).unique().long().numpy()]


def _without_small_parts(faces: Indices, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``chosen`` (F,) without parts of a few triangles; triangles that share a vertex are of one part."""
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return chosen
    corners = faces[rows]
    count = int(faces.max()) + 1
    links = sparse.coo_matrix(
        (np.ones(2 * len(rows)), (np.tile(corners[:, 0], 2), np.concatenate([corners[:, 1], corners[:, 2]]))),
        (count, count),
    )
    _, part = connected_components(links, directed=False)
    sizes = np.bincount(part[corners[:, 0]], minlength=part.max() + 1)
    kept = chosen.copy()
    kept[rows] = sizes[part[corners[:, 0]]] >= _LEAST_PART
    return kept


def _border(faces: Indices) -> Indices:
    """Directed edges (E, 2) of triangles that no other of them has the other way round."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = int(faces.max()) + 1
    keys, back = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
    border: Indices = edges[~np.isin(keys, back)]
    return border


def _inside(foundation: Foundation, corners: Indices, usable: Tensor) -> Indices:
    """Usable pixels that triangles ``corners`` (H, 3) cover, (P, 2), x and y."""
    camera = foundation.camera
    topology = Topology(torch.from_numpy(corners), foundation.topology.num_verts)
    drawn = rasterize(foundation.verts_image[None], topology, camera.height, camera.width, cull="none")
    rows, columns = ((drawn.face_index[0] >= 0) & usable).nonzero(as_tuple=True)
    return np.stack([columns.numpy(), rows.numpy()], 1)


def _around(flat: Points, border: Indices, pixels: Points, share: float, more: float = 0.0) -> NDArray[np.bool_]:
    """Pixels (P,) in circles about the middles of the border's edges: ``share`` of half an edge, and so much more."""
    near = np.zeros(len(pixels), np.bool_)
    if len(pixels):
        ends = flat[border]
        radius = share * np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / 2 + more
        found = cKDTree(pixels).query_ball_point(ends.mean(1), radius)
        near[np.concatenate([np.asarray(one, np.intp) for one in found])] = True
    return near
