"""W4: rasterise and colour by vertex, forward and backward to colours and positions; interpolation by itself."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import benchmark_mesh, scene
from pyface3d.ops import Fragments, Topology, interpolate, rasterize

TITLE = "Interpolate vertex values, forward and backward"
NOTES = """
Peer: *torch gather* takes the face of every pixel from our rasteriser (so that its own search for faces is not in its
time) and does the rest with tensor operations and autograd: gathers, edge functions, the perspective division.
Checked: colours and gradients of ours in float32 against ours in float64, relative to the largest.

What was tried on one thread, batch 1 (time over the code before it in the same run; every step gave the same bits):
| attempt | expected | found |
|---|---|---|
| rasterize backward, drawn pixels 16 at a time | 0.5 | 1.15: the pull-back was a loop over corners and stayed scalar |
| … the pull-back spelt out | 0.5 | 0.71, and 0.64 with packing by rows in place of a division |
| interpolation by a constant number of channels | 0.7 | forward 0.50, backward 0.68 |
| both gradients of the interpolation in one walk | 0.7 | 0.84 |
| one image on two threads: gradients noted, then added by range of vertices | 0.6 | 1.9 times the work: dropped |
| … large images in bands of rows with their own sums, small ones on one thread | 0.6 | in use from 131,072 pixels on |
| a pool that does not wait for workers which have not begun (two threads, both cores busy) | – | 0.2 |
"""
SIZE = 224


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    mesh = benchmark_mesh()
    for batch in (1, 8):
        verts, topology = scene(mesh, batch, SIZE)
        generator = torch.Generator().manual_seed(0)
        colours = torch.rand(batch, len(mesh.verts), 3, generator=generator)
        weights = torch.rand(batch, SIZE, SIZE, 3, generator=generator)
        check = _check(verts, colours, weights, topology)
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: _gradients(_ours, verts, colours, weights, topology), seconds)  # noqa: B023
                peer = median_ms(lambda: _gradients(_gather, verts, colours, weights, topology), seconds)  # noqa: B023
            name = f"W4: {mesh.name}, rasterise + 3 colours, forward and backward, {SIZE}², batch {batch}"
            yield Result(name, count, ours, {"torch gather": peer}, check)
    verts, topology = scene(mesh, 8, SIZE)
    fragments = rasterize(verts, topology, SIZE, SIZE)
    for channels in (3, 64):
        values = torch.rand(8, len(mesh.verts), channels)
        off = _difference(interpolate(values, fragments, topology), _mix(values, fragments, topology))
        if off > 1e-5:
            raise AssertionError(f"interpolated values differ from torch's by {off:.1e}")
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: interpolate(values, fragments, topology), seconds)  # noqa: B023
                peer = median_ms(lambda: _mix(values, fragments, topology), seconds)  # noqa: B023
            name = f"interpolate only, {channels} channels, {SIZE}², batch 8"
            yield Result(name, count, ours, {"torch gather": peer}, f"values {off:.0e}")


def _ours(verts: Tensor, colours: Tensor, topology: Topology) -> Tensor:
    return interpolate(colours, rasterize(verts, topology, SIZE, SIZE), topology)


def _gather(verts: Tensor, colours: Tensor, topology: Topology) -> Tensor:
    """The same picture where autograd sees nothing but tensor operations."""
    fragments = rasterize(verts.detach(), topology, SIZE, SIZE)
    corners = _corners(verts, fragments, topology)
    middle = torch.arange(SIZE) + 0.5
    x = corners[..., 0] - middle[None, None, :, None]
    y = corners[..., 1] - middle[None, :, None, None]
    edges = y.roll(-1, -1) * x.roll(-2, -1) - x.roll(-1, -1) * y.roll(-2, -1)
    weighted = edges / corners[..., 2]
    beta = torch.where(fragments.mask[..., None], weighted / weighted.sum(-1, keepdim=True), 0)
    return _mix(colours, fragments._replace(barycentrics=beta), topology)


def _corners(values: Tensor, fragments: Fragments, topology: Topology) -> Tensor:
    """Values (B, V, C) at the corners of every pixel's face: (B, H, W, 3, C)."""
    index = topology.faces[fragments.face_index.clamp(min=0).long()].long()
    return values[torch.arange(len(values))[:, None, None, None], index]


def _mix(values: Tensor, fragments: Fragments, topology: Topology) -> Tensor:
    return (_corners(values, fragments, topology) * fragments.barycentrics[..., None]).sum(-2)


def _gradients(
    picture: Callable[[Tensor, Tensor, Topology], Tensor],
    verts: Tensor,
    colours: Tensor,
    weights: Tensor,
    topology: Topology,
) -> tuple[Tensor, Tensor, Tensor]:
    verts, colours = verts.detach().requires_grad_(), colours.detach().requires_grad_()
    image = picture(verts, colours, topology)
    of_verts, of_colours = torch.autograd.grad(image, (verts, colours), weights)
    return image.detach(), of_verts, of_colours


def _check(verts: Tensor, colours: Tensor, weights: Tensor, topology: Topology) -> str:
    single = _gradients(_ours, verts, colours, weights, topology)
    double = _gradients(_ours, verts.double(), colours.double(), weights.double(), topology)
    gathered = _gradients(_gather, verts.double(), colours.double(), weights.double(), topology)
    for name, ours, peer in zip(("image", "positions", "colours"), double, gathered, strict=True):
        if _difference(ours, peer) > 1e-9:
            raise AssertionError(f"float64 {name} differ from autograd's by {_difference(ours, peer):.1e}")
    image, positions, of_colours = (_difference(a, b) for a, b in zip(single, double, strict=True))
    if image > 1e-4 or positions > 1e-3 or of_colours > 1e-4:
        raise AssertionError(f"float32 is off: image {image:.1e}, gradients {positions:.1e}, {of_colours:.1e}")
    return f"image {image:.0e}, gradients {positions:.0e} and {of_colours:.0e}; float64 equals autograd's"


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
