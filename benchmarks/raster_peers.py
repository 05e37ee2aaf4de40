"""Other ways to rasterise, to measure against: a scalar C++ loop, plain torch, ray casting by Open3D and trimesh."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyface3d.ops import Topology


@cache
def scalar_loop() -> Callable[[Tensor, Topology, int], Tensor] | None:
    """The loop of scalar_rasterizer.cpp, compiled at -O3 for this machine; None without a compiler."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    library = Path(tempfile.mkdtemp(prefix="pyface3d-bench-")) / "scalar.so"
    source = Path(__file__).with_name("scalar_rasterizer.cpp")
    subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).scalar_rasterize
    function.argtypes = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 5
    function.restype = None

    def rasterize(verts: Tensor, topology: Topology, size: int) -> Tensor:
        index = torch.empty(len(verts), size, size, dtype=torch.int32)
        weights, depth = torch.empty(len(verts), size, size, 3), torch.empty(len(verts), size, size)
        addresses = [t.data_ptr() for t in (verts, topology.faces, index, weights, depth)]
        function(*addresses, len(verts), topology.num_verts, topology.num_faces, size, size)
        return index

    return rasterize


def plain_torch(verts: Tensor, topology: Topology, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """face_index, barycentrics and depth with tensor operations only: all faces at once, one offset in their boxes
    after another; depth by scatter-minimum, then the lowest face at that depth."""
    batch, faces = len(verts), topology.faces.long()
    corners = verts[:, faces]  # (B, F, 3, 3)
    xy, inverse_z = corners[..., :2], 1 / corners[..., 2]
    low = (xy.amin(2) - 0.5).ceil().clamp(min=0)
    high = (xy.amax(2) - 0.5).floor().clamp(max=size - 1)
    extent = (high - low).amax((0, 1)).long() + 1
    base = torch.arange(batch)[:, None] * size * size
    nearest = verts.new_full((batch * size * size + 1,), torch.inf)
    hits = []
    for dy in range(int(extent[1])):
        for dx in range(int(extent[0])):
            x, y = low[..., 0] + dx, low[..., 1] + dy
            rel = xy - torch.stack([x + 0.5, y + 0.5], -1)[:, :, None]
            e = rel.roll(-1, 2)[..., 1] * rel.roll(-2, 2)[..., 0] - rel.roll(-1, 2)[..., 0] * rel.roll(-2, 2)[..., 1]
            covered = (e >= 0).all(-1) & (x <= high[..., 0]) & (y <= high[..., 1]) & (e.sum(-1) > 0)
            b, f = covered.nonzero(as_tuple=True)
            m = e[b, f] * inverse_z[b, f]
            z = e[b, f].sum(-1) / m.sum(-1)
            pixel = base[b, 0] + (y[b, f] * size + x[b, f]).long()
            nearest.scatter_reduce_(0, pixel, z, "amin")
            hits.append((pixel, z, f, m / m.sum(-1, keepdim=True)))
    pixel, z, f, beta = (torch.cat(parts) for parts in zip(*hits, strict=True))
    pixel = torch.where(z == nearest[pixel], pixel, batch * size * size)
    index = torch.full((len(nearest),), len(faces), dtype=torch.int64).scatter_reduce_(0, pixel, f, "amin")
    winner = index[pixel] == f
    weights = verts.new_zeros(len(nearest), 3)
    weights[pixel[winner]] = beta[winner]
    index = torch.where(index == len(faces), -1, index)[:-1].int()
    depth = torch.where(index >= 0, nearest[:-1], 0)
    shape = (batch, size, size)
    return index.view(shape), weights[:-1].view(*shape, 3), depth.view(shape)


class RayPeer:
    """The same picture by one ray a pixel, faces seen from both sides. The camera stands at the origin, its focal
    length is the picture's size, its middle the picture's corner: what is seen depends on directions only."""

    def __init__(self, verts: Tensor, topology: Topology, size: int) -> None:
        image = verts.numpy()
        self.points = np.concatenate([image[:, :2] * image[:, 2:] / size, image[:, 2:]], -1)
        self.faces = topology.faces.numpy()
        y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
        self.directions = np.stack([x, y, np.ones_like(x)], -1)


class Open3DRays(RayPeer):
    """Embree's tree over the faces; depth is the distance along a ray of unit depth."""

    @staticmethod
    def installed() -> bool:
        return find_spec("open3d") is not None

    def __init__(self, verts: Tensor, topology: Topology, size: int) -> None:
        super().__init__(verts, topology, size)
        import open3d

        self._o3d = open3d
        self._points = open3d.core.Tensor(self.points.astype(np.float32))
        self._faces = open3d.core.Tensor(self.faces.astype(np.uint32))
        rays = np.concatenate([np.zeros_like(self.directions), self.directions], -1)
        self._rays = open3d.core.Tensor(rays.astype(np.float32))
        self.build()

    def build(self) -> None:
        threads = torch.get_num_threads()
        self._scene = self._o3d.t.geometry.RaycastingScene(nthreads=threads)
        self._scene.add_triangles(self._points, self._faces)

    def cast(self) -> tuple[Tensor, Tensor, Tensor]:
        """face_index, barycentrics, depth."""
        hits = self._scene.cast_rays(self._rays, nthreads=torch.get_num_threads())
        index = hits["primitive_ids"].numpy().view(np.int32)  # the invalid id is all ones: -1
        uvs = torch.from_numpy(hits["primitive_uvs"].numpy())
        weights = torch.cat([1 - uvs.sum(-1, keepdim=True), uvs], -1)
        drawn = torch.from_numpy(index >= 0)
        depth = torch.from_numpy(hits["t_hit"].numpy())
        return torch.from_numpy(index), weights * drawn[..., None], torch.where(drawn, depth, 0)

    def build_and_cast(self) -> tuple[Tensor, Tensor, Tensor]:
        """As for a mesh that moves: a new tree for each picture."""
        self.build()
        return self.cast()


class TrimeshRays(RayPeer):
    """An R-tree over the faces and numpy."""

    @staticmethod
    def installed() -> bool:
        return find_spec("trimesh") is not None and find_spec("rtree") is not None

    def __init__(self, verts: Tensor, topology: Topology, size: int) -> None:
        super().__init__(verts, topology, size)
        import trimesh
        from trimesh.ray.ray_triangle import RayMeshIntersector

        self._rays = RayMeshIntersector(trimesh.Trimesh(self.points, self.faces, process=False))

    def cast(self) -> Tensor:
        """face_index."""
        directions = self.directions.reshape(-1, 3)
        index = self._rays.intersects_first(np.zeros_like(directions), directions)
        return torch.from_numpy(index.astype(np.int32)).view(self.directions.shape[:2])
