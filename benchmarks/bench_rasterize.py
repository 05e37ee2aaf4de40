"""W1 to W3: face index, barycentrics and depth of a mesh of 70,790 faces."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.raster_peers import Open3DRays, TrimeshRays, plain_torch, scalar_loop
from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import ROOT, Mesh, benchmark_mesh, data_folder, scene
from pyface3d.ops import Fragments, Topology, rasterize

TITLE = "Rasterise (face index, barycentrics, depth)"
NOTES = """
Peers: *scalar loop* is the one-thread C++ loop that face repositories carry (affine barycentrics, no fill rule;
`benchmarks/scalar_rasterizer.cpp`, compiled for this machine), *plain torch* the same picture with tensor operations
(`benchmarks/raster_peers.py`). Checked: our float32 picture against our float64 one, which for the first view at 224²
was itself compared with a brute-force float64 picture where that file is at hand. *Open3D* is Embree: one ray a pixel,
both sides of the faces, without a fill rule; with a new tree over the faces as for a mesh that moves, and for the rays
alone. *trimesh* is an R-tree and numpy (`pip install open3d trimesh rtree`). Their hits are compared first; a dash: not
installed, or too slow.
Working memory is what a first call takes beyond its outputs on one thread: the growth of a fresh process's peak.

What was tried on one thread (time over the code before it in the same run; every step gave the same bits):
| attempt | expected | W1 b1 | W2 | W3 |
|---|---|---|---|---|
| first pass leaves pairs of face and pixel, sampled 16 at a time | 0.6 | 0.83 | 1.19 | 1.11 |
| … with the box walk vectorised again, bands by shift, lists without push_back | 0.8 | 0.80 | 0.62 | 0.83 |
| … pairs packed by lanes, not bit by bit | 0.9 | 0.97 | 0.86 | 0.86 |
| prefetching corners of large faces | 0.9 | 1 | 0.97 | 1.02: dropped |
| weights and depth of a pixel as four floats, split at the end | 0.9 | 1.02 | 1.02 | 1.02: kept, it clears less |
| streaming stores of the outputs | 0.9 | 1 | 0.97 | 0.94: not kept, the next op reads them from the cache |
| bands of 2 MB instead of 0.5 MB: fewer faces in two bands | 0.9 | 1 | 0.91 | 0.88 |
| boxes to 32 pixels as pairs, not 16 | 0.95 | 1 | 0.98 | 0.95 |
| no depth loaded where all vertices lie ahead, rows at constant strides | 0.9 | 0.87 | 0.99 | 1 |
| one capacity check a block | 0.95 | 0.96 | 1 | 1 |
| face numbers straight into the output, bands of 1 MB, boxes to 64 pixels | 0.95 | 0.97 | 0.98 | 0.99 |
"""
WORKLOADS = (("W1", 224, 1), ("W1", 224, 8), ("W1", 224, 32), ("W2", 512, 8), ("W3", 1024, 1))


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    mesh = benchmark_mesh()
    brute_force = _check_brute_force(mesh)
    for name, size, batch in WORKLOADS:
        verts, topology = scene(mesh, batch, size)
        check = _check(verts, rasterize(verts, topology, size, size), rasterize(verts.double(), topology, size, size))
        if (size, batch) == (224, 1):
            check += brute_force
        if (name, batch) in (("W1", 32), ("W3", 1)):
            check += f"; working memory {_working_memory(size, batch):.1f} MB"
        rays = Open3DRays(verts[0], topology, size) if batch == 1 and Open3DRays.installed() else None
        if rays is not None:
            check += f"; {_check_rays(verts, topology, size, rays.cast())} from Open3D"
        loop = scalar_loop()
        for count in threads:
            with torch_threads(count):
                peers = {}
                ours = median_ms(lambda: rasterize(verts, topology, size, size), seconds)  # noqa: B023
                if loop is not None:
                    peers["scalar loop"] = median_ms(lambda: loop(verts, topology, size), seconds)  # noqa: B023
                if batch == 1 and size == 224:
                    peers["plain torch"] = median_ms(lambda: plain_torch(verts, topology, size), seconds)  # noqa: B023
                if rays is not None:
                    peers["Open3D, new tree"] = median_ms(rays.build_and_cast, seconds)
                    peers["Open3D, rays only"] = median_ms(rays.cast, seconds)
            yield Result(f"{name}: {mesh.name}, {size}², batch {batch}", count, ours, peers, check)
    if TrimeshRays.installed():
        yield from _trimesh(mesh, threads[0], seconds)


def _trimesh(mesh: Mesh, count: int, seconds: float, size: int = 32) -> Iterator[Result]:
    """A picture small enough for the pure Python caster, which has no threads."""
    verts, topology = scene(mesh, 1, size, torch.float64)
    rays = TrimeshRays(verts[0], topology, size)
    found = rasterize(verts, topology, size, size, cull="none").face_index[0]
    different = int((found != rays.cast()).sum())
    if different > 2:
        raise AssertionError(f"{different} pixels differ from trimesh's rays")
    with torch_threads(count):
        ours = median_ms(lambda: rasterize(verts, topology, size, size, cull="none"), seconds)
        peer = median_ms(rays.cast, seconds)
    name = f"{mesh.name}, {size}², batch 1, float64, both sides"
    yield Result(name, count, ours, {"trimesh rays": peer}, f"{different} of {int((found >= 0).sum())} pixels differ")


def _check_rays(
    verts: torch.Tensor, topology: Topology, size: int, hits: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> int:
    """Pixels where float32 rays hit another face: at an edge at most; elsewhere weights and depth agree to float32."""
    found = rasterize(verts, topology, size, size, cull="none")
    index, weights, depth = hits
    same = (found.face_index[0] == index) & (index >= 0)
    different = int((found.face_index[0] != index).sum())
    # A ray's weights lose what the distance to the mesh, over the size of a face, takes from float32: some 1e4.
    off = float((found.barycentrics[0] - weights)[same].abs().max())
    far = float((found.depth[0] / depth - 1)[same].abs().max())
    if different > 1e-3 * int(same.sum()) or off > 1e-2 or far > 1e-5:
        raise AssertionError(f"Open3D sees another picture: {different} pixels, weights {off:.1e}, depth {far:.1e}")
    return different


def _working_memory(size: int, batch: int) -> float:
    """Megabytes a first call takes beyond its outputs, on one thread: the growth of a fresh process's peak."""
    code = f"""
import resource, torch
from benchmarks.workloads import benchmark_mesh, scene
from pyface3d.ops import Topology, rasterize
torch.set_num_threads(1)
verts, topology = scene(benchmark_mesh(), {batch}, {size})
rasterize(verts[:1, :3], Topology(topology.faces[:1] % 3, 3), 1, 1)  # loads what is loaded once
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
room = torch.zeros(peak())  # what reading the mesh took and gave back does not hide the growth
before = peak()
found = rasterize(verts, topology, {size}, {size})
print(peak() - before - sum(part.nbytes for part in found))
"""
    fresh = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # glibc: no array into memory that another gave back
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=fresh)
    return int(done.stdout) / 1e6


def _check(verts: torch.Tensor, found: Fragments, expected: Fragments) -> str:
    """Refuses pictures that differ by more than rounding; returns the differences."""
    different = found.face_index != expected.face_index
    same = found.mask & ~different
    rate = float(different.sum() / expected.mask.sum())
    weights = float((found.barycentrics - expected.barycentrics)[same].abs().max())
    depth = float((found.depth - expected.depth)[same].abs().max())
    if rate > 1e-4 or weights > 1e-3 or depth > 1e-4:
        raise AssertionError(f"the float32 picture is off: {rate:.1e} of the pixels, {weights:.1e}, {depth:.1e}")
    return f"{int(different.sum())} of {int(expected.mask.sum()):,} pixels differ; weights {weights:.0e}, z {depth:.0e}"


def _check_brute_force(mesh: Mesh) -> str:
    path = data_folder() / f"reference_{mesh.name}_224.npz"
    if not path.is_file():
        return ""
    reference = np.load(path)
    verts, topology = scene(mesh, 1, 224, torch.float64)
    found = rasterize(verts, topology, 224, 224, cull="none").face_index[0].numpy()
    different = int((found != reference["tid"]).sum())
    if different > 3:
        raise AssertionError(f"{different} pixels differ from the brute-force picture")
    return f"; {different} from brute force"
