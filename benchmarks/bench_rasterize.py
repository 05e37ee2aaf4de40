"""W1 to W3: face index, barycentrics and depth of a mesh of 70,790 faces."""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.raster_peers import plain_torch, scalar_loop
from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import Mesh, benchmark_mesh, data_folder, scene
from pyface3d.ops import Fragments, rasterize

TITLE = "Rasterise (face index, barycentrics, depth)"
NOTES = """
Peers: *scalar loop* is the one-thread C++ loop that face repositories carry (affine barycentrics, no fill rule;
`benchmarks/scalar_rasterizer.cpp`, compiled for this machine), *plain torch* the same picture with tensor operations
(`benchmarks/raster_peers.py`). Checked: our float32 picture against our float64 one, which for the first view at 224²
was itself compared with a brute-force float64 picture where that file is at hand.
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
        loop = scalar_loop()
        for count in threads:
            with torch_threads(count):
                peers = {}
                ours = median_ms(lambda: rasterize(verts, topology, size, size), seconds)  # noqa: B023
                if loop is not None:
                    peers["scalar loop"] = median_ms(lambda: loop(verts, topology, size), seconds)  # noqa: B023
                if batch == 1 and size == 224:
                    peers["plain torch"] = median_ms(lambda: plain_torch(verts, topology, size), seconds)  # noqa: B023
            yield Result(f"{name}: {mesh.name}, {size}², batch {batch}", count, ours, peers, check)


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
