"""A checked, frozen set of triangles: nothing else brings faces to a kernel."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pyface3d.ops._kernels import cpu_kernels
from pyface3d.ops.fragments import Fragments


class Topology:
    """F triangles over V vertices, and optionally their texture coordinates.

    Args:
        faces: (F, 3) integers, corners anticlockwise seen from outside, each in [0, num_verts).
        num_verts: V.
        uvs: (T, 2) texture coordinates, u right and v down, (0, 0) the outer corner of the first texel.
        uv_faces: (F, 3) indices into ``uvs``; ``faces`` itself where left out (then T = V).

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Everything is checked here, once; kernels index without looking. Tensors live on one device (``to`` copies) and
    must not be written to.
    """

    def __init__(
        self, faces: Tensor, num_verts: int, uvs: Tensor | None = None, uv_faces: Tensor | None = None
    ) -> None:
        self.num_verts = int(num_verts)
        if self.num_verts < 0 or self.num_verts >= 2**31:
            raise ValueError(f"num_verts must lie in [0, 2^31), got {num_verts}")
        self.faces = _checked_faces("faces", faces, self.num_verts)
        if uvs is None and uv_faces is not None:
            raise ValueError("uv_faces was given without uvs")
        self.uvs: Tensor | None = None
        self.uv_faces: Tensor | None = None
        if uvs is not None:
            uvs = torch.as_tensor(uvs)
            if uvs.dim() != 2 or uvs.shape[1] != 2 or not uvs.is_floating_point():
                raise ValueError(f"uvs must be floating point of shape (T, 2), got {uvs.dtype} {tuple(uvs.shape)}")
            if not bool(torch.isfinite(uvs).all()):
                raise ValueError("uvs must be finite, got NaN or inf")
            self.uvs = uvs.detach().to(self.faces.device).contiguous()
            self.uv_faces = _checked_faces("uv_faces", faces if uv_faces is None else uv_faces, len(uvs))
            if self.uv_faces.shape != self.faces.shape:
                raise ValueError(
                    f"uv_faces must have shape {tuple(self.faces.shape)} like faces, got {tuple(self.uv_faces.shape)}"
                )
            self.uv_faces = self.uv_faces.to(self.faces.device)
        self._clear()

    def _clear(self) -> None:
        """Sets what is made on demand back to nothing."""
        self._vertex_faces: tuple[Tensor, Tensor] | None = None
        self._opposite_corners: Tensor | None = None
        self._dissection: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self._hierarchy: Tensor | None = None
        # What `rasterize_uvs` has made of this topology, by height, width and dtype.
        self.charts: dict[tuple[int, int, torch.dtype], Fragments] = {}

    @property
    def device(self) -> torch.device:
        return self.faces.device

    @property
    def num_faces(self) -> int:
        return len(self.faces)

    def to(self, device: torch.device | str) -> "Topology":
        """The same triangles on ``device``; itself when already there."""
        device = torch.device(device)
        if device == self.device:
            return self
        moved = object.__new__(Topology)
        moved.num_verts = self.num_verts
        moved.faces = self.faces.to(device)
        moved.uvs = None if self.uvs is None else self.uvs.to(device)
        moved.uv_faces = None if self.uv_faces is None else self.uv_faces.to(device)
        moved._clear()
        return moved

    @property
    def vertex_faces(self) -> tuple[Tensor, Tensor]:
        """Corners around each vertex as CSR: offsets (V + 1,) int32 and corner ids 3 f + k (3 F,) int32, rising."""
        if self._vertex_faces is None:
            self._vertex_faces = _corners_by_vertex(self.faces, self.num_verts)
        return self._vertex_faces

    @property
    def opposite_corners(self) -> Tensor:
        """(F, 3) int32: for corner k of face f, the corner 3 g + j that faces the same edge from its other side.

        −1 where there is none: at a border, at an edge of more than two faces, and where the two faces run along it
        in the same direction, so that they do not have one outside. A face that names a vertex twice has no edges.
        """
        if self._opposite_corners is None:
            self._opposite_corners = _corners_across_edges(self.faces)
        return self._opposite_corners

    @property
    def dissection(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The graph of the edges and an order for sparse elimination, all int32.

        Neighbours of each vertex as CSR, rising, without itself: offsets (V + 1,) and neighbours (6 F,), −1 behind the
        last. Nested dissection: vertices in the order of elimination (V,), and for each place of it the number of its
        block (V,), a separator or a piece too small to cut.
        """
        if self._dissection is None:
            self._dissection = _dissect(self.faces, self.num_verts)
        return self._dissection

    @property
    def hierarchy(self) -> Tensor:
        """Aggregates of vertices, and of these, and so on, for multigrid: int32, as csrc/core/hierarchy.h has it."""
        if self._hierarchy is None:
            self._hierarchy = _aggregate(*self.dissection[:2])
        return self._hierarchy

    @cached_property
    def _edge_tables(self) -> tuple[Tensor, Tensor]:
        faces = self.faces.cpu().numpy().astype(np.int64)
        ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        owner = np.tile(np.arange(len(faces), dtype=np.int64), 3)
        key = np.sort(ends, axis=1) @ np.array([max(self.num_verts, 1), 1])
        unique, inverse = np.unique(key, return_inverse=True)
        edges = np.stack([unique // max(self.num_verts, 1), unique % max(self.num_verts, 1)], axis=1)
        sides = np.full((len(unique), 2), -1, np.int64)
        order = np.lexsort((owner, inverse))
        rank = np.arange(len(order)) - np.searchsorted(inverse[order], inverse[order])
        kept = rank < 2  # a third face on one edge (non-manifold) has no place in the table
        sides[inverse[order][kept], rank[kept]] = owner[order][kept]
        return torch.from_numpy(edges).to(self.device, torch.int32), torch.from_numpy(sides).to(
            self.device, torch.int32
        )

    @property
    def edges(self) -> Tensor:
        """(E, 2) int32 vertex pairs, smaller index first, in rising order."""
        return self._edge_tables[0]

    @property
    def edge_faces(self) -> Tensor:
        """(E, 2) int32 faces on the two sides of each edge, −1 where there is none."""
        return self._edge_tables[1]

    def __repr__(self) -> str:
        uvs = "no uvs" if self.uvs is None else f"{len(self.uvs)} uvs"
        return f"Topology({self.num_faces} faces, {self.num_verts} vertices, {uvs}, {self.device})"


# A custom op, so that the compiler does not look into it.
@torch.library.custom_op("pyface3d::corners_by_vertex", mutates_args=())
def _corners_by_vertex(faces: Tensor, num_verts: int) -> tuple[Tensor, Tensor]:
    corners = faces.reshape(-1).cpu().numpy()
    order = np.argsort(corners, kind="stable").astype(np.int32)
    offsets = np.zeros(num_verts + 1, np.int32)
    np.cumsum(np.bincount(corners, minlength=num_verts), out=offsets[1:])
    return torch.from_numpy(offsets).to(faces.device), torch.from_numpy(order).to(faces.device)


@_corners_by_vertex.register_fake
def _(faces: Tensor, num_verts: int) -> tuple[Tensor, Tensor]:
    return faces.new_empty(num_verts + 1), faces.new_empty(faces.numel())


@torch.library.custom_op("pyface3d::corners_across_edges", mutates_args=())
def _corners_across_edges(faces: Tensor) -> Tensor:
    corners = faces.cpu().numpy().astype(np.int64)
    a, b = corners[:, [1, 2, 0]].reshape(-1), corners[:, [2, 0, 1]].reshape(-1)  # the edge that corner 3 f + k faces
    proper = ((corners != corners[:, [1, 2, 0]]).all(1)).repeat(3)
    key = np.where(proper, (np.minimum(a, b) << 31) | np.maximum(a, b), -1)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    same = np.concatenate([[False], ordered[1:] == ordered[:-1], [False]]) & (np.append(ordered, -1) >= 0)
    at = np.flatnonzero(same[1:-1] & ~same[:-2] & ~same[2:]) if len(key) else np.zeros(0, np.int64)
    first, second = order[at], order[at + 1]  # the only two of their edge
    against = a[first] == b[second]
    first, second = first[against], second[against]
    opposite = np.full(len(key), -1, np.int32)
    opposite[first], opposite[second] = second, first
    return torch.from_numpy(opposite.reshape(-1, 3)).to(faces.device)


@_corners_across_edges.register_fake
def _(faces: Tensor) -> Tensor:
    return torch.empty_like(faces)


@torch.library.custom_op("pyface3d::dissect", mutates_args=())
def _dissect(faces: Tensor, num_verts: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    host = faces.cpu()
    tables = _dissection_tables(host, num_verts)
    offsets, neighbours, order, blocks = (table.data_ptr() for table in tables)
    kernels = cpu_kernels()
    kernels.mesh_graph(host.data_ptr(), offsets, neighbours, len(host), num_verts)
    kernels.nested_dissection(offsets, neighbours, order, blocks, num_verts)
    offsets, neighbours, order, blocks = (table.to(faces.device) for table in tables)
    return offsets, neighbours, order, blocks


@_dissect.register_fake
def _dissection_tables(faces: Tensor, num_verts: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        faces.new_empty(num_verts + 1),
        faces.new_empty(2 * faces.numel()),
        faces.new_empty(num_verts),
        faces.new_empty(num_verts),
    )


@torch.library.custom_op("pyface3d::aggregate", mutates_args=())
def _aggregate(offsets: Tensor, neighbours: Tensor) -> Tensor:
    host = [offsets.cpu(), neighbours.cpu()]
    hierarchy = _hierarchy_table(*host)
    cpu_kernels().aggregate(*(table.data_ptr() for table in (*host, hierarchy)), len(offsets) - 1)
    return hierarchy.to(offsets.device)


@_aggregate.register_fake
def _hierarchy_table(offsets: Tensor, neighbours: Tensor) -> Tensor:
    num_verts = offsets.shape[0] - 1
    room = num_verts // 4 + 1  # as in csrc/core/hierarchy.h
    return offsets.new_empty(16 + 2 * (num_verts + room) + 2 * (room + 1) + 2 * num_verts)


def _checked_faces(name: str, faces: Tensor, limit: int) -> Tensor:
    faces = torch.as_tensor(faces)
    if faces.is_floating_point() or faces.is_complex() or faces.dtype == torch.bool:
        raise TypeError(f"{name} must be integers, got {faces.dtype}")
    if faces.dim() != 2 or faces.shape[1] != 3:
        raise ValueError(f"{name} must have shape (F, 3), got {tuple(faces.shape)}")
    if len(faces) >= 2**31 // 3:
        raise ValueError(f"{name} must have fewer than 2^31 / 3 rows, got {len(faces)}")
    if faces.numel():
        low, high = int(faces.min()), int(faces.max())
        if low < 0 or high >= limit:
            raise ValueError(f"{name} must hold indices in [0, {limit}), got {low} to {high}")
    return faces.detach().to(torch.int32).contiguous()
