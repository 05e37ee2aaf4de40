"""Slow twin of antialias: pair by pair of pixels and face by face, with sets and dictionaries."""

import itertools
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from pyface3d.ops import Fragments, Topology

Pixel = tuple[int, int]  # row, column


class _View:
    """One image: what its pixels show, and the mesh in the picture."""

    def __init__(self, verts: np.ndarray, faces: np.ndarray, index: np.ndarray, depth: np.ndarray) -> None:
        self.verts, self.faces, self.index, self.depth = verts, faces, index, depth
        self.by_edge: dict[frozenset, list[int]] = defaultdict(list)
        for f, face in enumerate(faces.tolist()):
            if len(set(face)) == 3:
                for i, j in itertools.combinations(face, 2):
                    self.by_edge[frozenset((i, j))].append(f)

    def outline(self, pixel: Pixel, towards: Pixel) -> tuple[str, float]:
        """Follows the surface shown at a pixel: ("ends", t), ("not here", 0) or ("goes on", 0)."""
        start = np.array([pixel[1] + 0.5, pixel[0] + 0.5])
        way = np.array([towards[1] - pixel[1], towards[0] - pixel[0]])
        axis = 0 if way[0] else 1
        face, came_by = int(self.index[pixel]), None
        if not (self.verts[self.faces[face], 2] > 0).all():
            return "goes on", 0.0
        while True:
            sides = {}
            for edge in map(frozenset, itertools.combinations(self.faces[face].tolist(), 2)):
                i, j = (self.verts[v, :2] - start for v in edge)
                if edge != came_by and (i[1 - axis] > 0) != (j[1 - axis] > 0):
                    at = i + (j - i) * i[1 - axis] / (i[1 - axis] - j[1 - axis])
                    sides[edge] = at @ way
            if not sides:
                return "goes on", 0.0
            edge = max(sides, key=sides.__getitem__)
            if sides[edge] > 1 + 1e-9:
                return "goes on", 0.0
            across = [f for f in self.by_edge[edge] if f != face]
            if self._is_inner(edge) and np.isfinite(self.verts[list(self.faces[across[0]])]).all():
                if not (self.verts[self.faces[across[0]], 2] > 0).all():
                    return "goes on", 0.0
                if self._side(edge, across[0]) * self._side(edge, face) < 0:
                    if across[0] == self.index[towards]:
                        return "same surface", 0.0
                    face, came_by = across[0], edge
                    continue
            i, j = (self.verts[v, :2] for v in edge)
            steep = abs(i[1] - j[1]) >= abs(i[0] - j[0])
            return ("ends", min(max(sides[edge], 0.0), 1.0)) if steep == (axis == 0) else ("not here", 0.0)

    def _is_inner(self, edge: frozenset) -> bool:
        """Of two faces that run along it in opposite directions."""
        i, j = sorted(edge)
        ways = [(face.index(j) - face.index(i)) % 3 for face in self.faces[self.by_edge[edge]].tolist()]
        return sorted(ways) == [1, 2]

    def _side(self, edge: frozenset, face: int) -> float:
        """On which side of the edge the face's third corner lies."""
        i, j = sorted(edge)
        third = next(v for v in self.faces[face].tolist() if v not in edge)
        a, b, c = self.verts[i, :2], self.verts[j, :2], self.verts[third, :2]
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    def share(self, first: Pixel, second: Pixel) -> dict[tuple[Pixel, Pixel], float]:
        """(who receives, from whom) to the share, for two neighbours."""
        if self.index[first] == self.index[second]:
            return {}
        order = [first, second]
        if self.index[first] < 0 or (self.index[second] >= 0 and self.depth[second] < self.depth[first]):
            order.reverse()
        for pixel in order:
            other = second if pixel == first else first
            if self.index[pixel] >= 0:
                found, t = self.outline(pixel, other)
                if found == "ends":
                    return {(other, pixel): t - 0.5} if t > 0.5 else {(pixel, other): 0.5 - t}
                if found != "goes on":
                    return {}
        return {}


def slow_antialias(image: Tensor, fragments: Fragments, verts_image: Tensor, topology: Topology) -> Tensor:
    batch, height, width, _ = image.shape
    result = image.clone()
    for b in range(batch):
        view = _View(
            *(a.numpy() for a in (verts_image[b], topology.faces, fragments.face_index[b], fragments.depth[b]))
        )
        columns, rows = {}, {}
        for y, x in itertools.product(range(height), range(width)):
            if x + 1 < width:
                columns.update(view.share((y, x), (y, x + 1)))
            if y + 1 < height:
                rows.update(view.share((y, x), (y + 1, x)))
        for shares in (columns, rows):
            before = result[b].clone()
            for (receiver, giver), share in shares.items():
                result[b][receiver] += share * (image[b][giver] - before[receiver])
    return torch.as_tensor(result)
