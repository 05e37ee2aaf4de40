"""W8: area-weighted vertex normals of a mesh of 70,790 faces."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import benchmark_mesh
from pyface3d.ops import Topology, vertex_normals

TITLE = "Vertex normals"
NOTES = """
*index_add* is the usual torch code: three gathers, a cross product, three `index_add`, `normalize`. Checked: against
it in float64, values and gradient. Tried for batch 32 on one thread, on a busy machine (5.7 ms image by image): sixteen
images side by side in a register, expected to take 3 ms, took 5.5, because the rows of all vertices (14 MB, faces in no
order) leave the cache; eight, half as much memory, took 3.0 and stayed; four took 4.0. Prefetching the rows of later
faces, expected to save a tenth, showed nothing above the noise.
"""


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    mesh = benchmark_mesh()
    topology = mesh.topology
    once = torch.from_numpy(mesh.verts).float()
    noise = torch.randn(32, *once.shape, generator=torch.Generator().manual_seed(0))
    check = _check((once + 1e-3 * noise)[:2], topology)
    for batch in (1, 32):
        verts = (once + 1e-3 * noise[:batch]).contiguous()
        leaf = verts.clone().requires_grad_()
        weights = torch.ones_like(verts)
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: vertex_normals(verts, topology), seconds)  # noqa: B023
                peer = median_ms(lambda: index_add_normals(verts, topology), seconds)  # noqa: B023
            yield Result(f"W8: {mesh.name}, batch {batch}, forward", count, ours, {"index_add": peer}, check)
        for count in threads:
            with torch_threads(count):
                ours, peer = (
                    median_ms(lambda: torch.autograd.grad(op(leaf, topology), leaf, weights), seconds)  # noqa: B023
                    for op in (vertex_normals, index_add_normals)
                )
            yield Result(f"{mesh.name}, batch {batch}, forward + backward", count, ours, {"index_add": peer}, check)


def index_add_normals(verts: Tensor, topology: Topology) -> Tensor:
    a, b, c = (verts[:, topology.faces[:, k].long()] for k in range(3))
    area = torch.linalg.cross(b - a, c - a)
    sums = torch.zeros_like(verts)
    for k in range(3):
        sums = sums.index_add(1, topology.faces[:, k].long(), area)
    return F.normalize(sums, dim=-1)


def _check(verts: Tensor, topology: Topology) -> str:
    """Refuses normals that are off; returns how far float32 is from the plain float64 formula."""
    results = []
    for op, positions in ((vertex_normals, verts), (index_add_normals, verts.double())):
        leaf = positions.clone().requires_grad_()
        normals = op(leaf, topology)
        weights = torch.linspace(-1, 1, normals.numel(), dtype=leaf.dtype).reshape(normals.shape)
        results.append((normals.detach(), torch.autograd.grad(normals, leaf, weights)[0]))
    (normals, gradient), (exact, exact_gradient) = results
    off = float((normals - exact).abs().max())
    off_gradient = float((gradient - exact_gradient).norm() / exact_gradient.norm())
    if off > 1e-3 or off_gradient > 1e-3:
        raise AssertionError(f"off by {off} and {off_gradient}")
    return f"off by {off:.0e}, gradient {off_gradient:.0e} of its norm"
