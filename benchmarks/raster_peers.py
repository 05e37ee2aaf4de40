"""Other ways to rasterise, to measure against: a scalar C++ loop and plain torch."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

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
