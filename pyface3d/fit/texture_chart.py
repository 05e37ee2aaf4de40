"""The texture chart of a face model as a grid of texels: where each lies on the mesh, and where its mirror image is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sparse
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.fit.texture_areas import face_areas
from pyface3d.ops import Fragments, Topology, interpolate, rasterize

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_SAMPLED_SIZE = 512  # a chart finer than this is thinned for averages over vertices: they hold a hundred texels


@dataclass(frozen=True)
class TexelGrid:
    """Every texel of a square chart, tied to the mesh.

    A texture has its own vertices: one for each pair of mesh vertex and texture coordinate (C of them), so that a
    vertex on a seam of the chart stands in it several times.

    Attributes:
        size: texels along each side.
        fragments: the chart drawn at one pixel per texel, batch 1; ``face_index`` is −1 between the islands.
        topology: the triangles over the C chart vertices.
        vertex: mesh vertex of every chart vertex, (C,) int64.
        mirror_uvs: for every texel, where the other side of the head lies in the chart, (size, size, 2). Eyes are
            exchanged unmirrored: both look the same way.
        nearest: index of the nearest texel on an island, row-major, (size, size) int64; islands keep their own.
        samples: texels on islands that stand for all in averages over vertices, row-major, (N,) int64.
        shares: barycentric share of every vertex in each of these, sparse (V, N).
    """

    size: int
    fragments: Fragments
    topology: Topology
    vertex: Tensor
    mirror_uvs: Tensor
    nearest: Tensor
    samples: Tensor
    shares: sparse.csr_matrix

    @property
    def num_verts(self) -> int:
        """Vertices of the mesh."""
        return int(self.shares.shape[0])

    @property
    def covered(self) -> Tensor:
        """True on the islands, (size, size) bool."""
        return self.fragments.face_index[0] >= 0

    def from_verts(self, attributes: Tensor) -> Tensor:
        """Per-vertex attributes (V, C) over the texels, (size, size, C); zero between the islands."""
        return interpolate(attributes[self.vertex].contiguous(), self.fragments, self.topology)[0]

    def to_verts(self, values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Texels averaged around every vertex, each by its barycentric share times ``weight``.

        Args:
            values: (size, size, C).
            weight: (size, size), not negative.

        Returns:
            The means (V, C), zero where nothing weighs, and the mean weight of the vertex's texels (V,).
        """
        weights = weight.flatten()[self.samples][:, None].numpy()
        chosen = values.flatten(0, 1)[self.samples].numpy()
        sums = self.shares @ np.concatenate([chosen * weights, weights, np.ones_like(weights)], 1)
        total, everything = sums[:, -2:-1], sums[:, -1]
        means = torch.from_numpy(sums[:, :-2] / np.maximum(total, 1e-9))
        return means, torch.from_numpy(total[:, 0] / np.maximum(everything, 1e-9))

    def spread(self, texture: Tensor) -> Tensor:
        """The texture (size, size, C) with the gaps between islands filled from the nearest texel on one.

        Without this, filtering at the rim of an island would mix in the gap's colour.
        """
        return texture.flatten(0, 1)[self.nearest.flatten()].view_as(texture)


_CACHE: "WeakKeyDictionary[FaceModel, dict[int, TexelGrid]]" = WeakKeyDictionary()


def texel_grid(model: "FaceModel", size: int) -> TexelGrid:
    """The chart of ``model`` at ``size`` texels a side, computed once for each model and size.

    Raises:
        InputError: the model has no texture chart.
    """
    grids = _CACHE.setdefault(model, {})
    if size not in grids:
        grids[size] = _build(model, size)
    return grids[size]


def _build(model: "FaceModel", size: int) -> TexelGrid:
    topology = model.topology
    if topology.uvs is None or topology.uv_faces is None:
        raise InputError(f"model {model.name!r} has no texture coordinates; use a model with a chart, such as 'head'")
    faces = topology.faces.cpu().numpy().astype(np.int64)
    uv_faces = topology.uv_faces.cpu().numpy().astype(np.int64)
    uvs = topology.uvs.cpu().numpy()
    keys = faces * len(uvs) + uv_faces
    unique, inverse = np.unique(keys, return_inverse=True)
    vertex, coordinate = unique // len(uvs), unique % len(uvs)
    chart = Topology(torch.from_numpy(inverse.reshape(-1, 3)), len(unique))
    position = torch.from_numpy(uvs[coordinate]).float()
    verts = torch.cat([position * size, torch.ones(len(position), 1)], 1)[None]
    fragments = rasterize(verts, chart, size, size, cull="none", perspective=False)
    mirrored = _mirrored_uvs(uvs[coordinate], vertex, model.mirror.cpu().numpy())
    islands = _islands(chart)
    for island in np.unique(islands[face_areas(model).eyes.numpy()[vertex]]):
        across = mirrored[islands == island, 0]
        mirrored[islands == island, 0] = across.min() + across.max() - across
    mirror_uvs = interpolate(torch.from_numpy(mirrored).float(), fragments, chart)[0]
    covered = fragments.face_index[0] >= 0
    step = max(1, size // _SAMPLED_SIZE)
    sampled = torch.zeros_like(covered)
    sampled[::step, ::step] = True
    samples = (covered & sampled).flatten().nonzero()[:, 0]
    return TexelGrid(
        size=size,
        fragments=fragments,
        topology=chart,
        vertex=torch.from_numpy(vertex),
        mirror_uvs=mirror_uvs,
        nearest=torch.from_numpy(_nearest_covered(covered.numpy())),
        samples=samples,
        shares=_vertex_shares(fragments, chart, vertex, topology.num_verts, samples),
    )


def _vertex_shares(
    fragments: Fragments, chart: Topology, vertex: np.ndarray, num_verts: int, samples: Tensor
) -> sparse.csr_matrix:
    corners = chart.faces.long()[fragments.face_index.flatten()[samples].long()].numpy()
    shares = fragments.barycentrics.flatten(0, 2)[samples].numpy()
    starts = np.arange(len(corners) + 1) * 3
    texels = sparse.csr_matrix((shares.ravel(), vertex[corners].ravel(), starts), shape=(len(corners), num_verts))
    return texels.T.tocsr()


def _islands(chart: Topology) -> np.ndarray:
    """Number of the connected part of the chart that each chart vertex is in, (C,)."""
    start, end = chart.edges.numpy().T
    links = sparse.coo_matrix((np.ones(len(start)), (start, end)), shape=(chart.num_verts,) * 2)
    return np.asarray(connected_components(links, directed=False)[1])


def _mirrored_uvs(uvs: np.ndarray, vertex: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Texture coordinate of the mirrored vertex; of several on a seam, the one nearest to the mirrored place.

    The chart need not be symmetric: where it is, this is (1 − u, v).
    """
    order = np.argsort(vertex, kind="stable")
    count = np.bincount(vertex, minlength=len(mirror))
    start = np.concatenate([[0], np.cumsum(count)])
    wanted = uvs * [-1, 1] + [1, 0]
    best = np.full(len(uvs), np.inf)
    result = uvs.copy()
    partner = mirror[vertex]
    for turn in range(int(count.max(initial=0))):
        has = count[partner] > turn
        candidate = uvs[order[np.where(has, start[partner] + turn, 0)]]
        distance = np.where(has, ((candidate - wanted) ** 2).sum(1), np.inf)
        closer = distance < best
        result[closer], best[closer] = candidate[closer], distance[closer]
    return result


def _nearest_covered(covered: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    if not covered.any():
        return np.arange(covered.size).reshape(covered.shape)
    rows, columns = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return rows.astype(np.int64) * covered.shape[1] + columns
