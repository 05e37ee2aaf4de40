"""W4 with silhouette gradients: what antialias adds to rasterise + interpolate, forward and backward."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.antialias_peer import torch_antialias
from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import benchmark_mesh, scene
from pyface3d.ops import Fragments, Topology, antialias, interpolate, rasterize

TITLE = "Antialias, forward and backward"
NOTES = """
*without* is the same picture with its outlines left as steps: rasterise + interpolate (+ backward), so a ratio of 0.7
says that antialias adds 43 %. *plain torch* is the same formula with tensor operations (`benchmarks/antialias_peer.py`)
after our rasteriser. *4 × 4 samples* is the obvious other way to soft edges: sixteen times the pixels through our own
rasteriser, averaged; it gives positions no gradient from coverage. Checked: ours in float64 against plain torch, values
and gradients; float32 against float64. Errors are the root mean square, over the pixels at outlines of the first view,
from a picture of 16 × 16 samples.
"""
SIZE = 224


@dataclass(frozen=True)
class _Scene:
    verts: Tensor
    colours: Tensor
    weights: Tensor
    topology: Topology

    def double(self) -> "_Scene":
        return _Scene(self.verts.double(), self.colours.double(), self.weights.double(), self.topology)


_Picture = Callable[[_Scene], Tensor]


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    mesh = benchmark_mesh()
    for batch in (1, 8):
        verts, topology = scene(mesh, batch, SIZE)
        generator = torch.Generator().manual_seed(0)
        colours = (0.5 + 0.25 * torch.from_numpy(mesh.verts).float()).repeat(batch, 1, 1)  # smooth, or they alias
        weights = torch.rand(batch, SIZE, SIZE, 3, generator=generator)
        views = _Scene(verts, colours, weights, topology)
        check = _check(views)
        peers = {"without": _plain, "plain torch": _torch, "4 × 4 samples": _supersampled}
        fragments = rasterize(verts, topology, SIZE, SIZE)
        image = interpolate(colours, fragments, topology)
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: _gradients(_smooth, views), seconds)  # noqa: B023
                times = {
                    name: median_ms(lambda: _gradients(peer, views), seconds)  # noqa: B023
                    for name, peer in peers.items()
                }
                name = f"W4 + antialias: {mesh.name}, 3 colours, forward and backward, {SIZE}², batch {batch}"
                yield Result(name, count, ours, times, check)
                alone = median_ms(lambda: antialias(image, fragments, verts, topology), seconds)  # noqa: B023
                peer = median_ms(lambda: torch_antialias(image, fragments, verts, topology), seconds)  # noqa: B023
            yield Result(f"antialias only, forward, {SIZE}², batch {batch}", count, alone, {"plain torch": peer})


def _plain(views: _Scene) -> Tensor:
    return interpolate(views.colours, rasterize(views.verts, views.topology, SIZE, SIZE), views.topology)


def _smooth(views: _Scene, smooth: Callable[..., Tensor] = antialias) -> Tensor:
    fragments: Fragments = rasterize(views.verts, views.topology, SIZE, SIZE)
    image = interpolate(views.colours, fragments, views.topology)
    return smooth(image, fragments, views.verts, views.topology)


def _torch(views: _Scene) -> Tensor:
    return _smooth(views, torch_antialias)


def _supersampled(views: _Scene, times: int = 4) -> Tensor:
    scale = torch.tensor([times, times, 1], dtype=views.verts.dtype)
    fragments = rasterize(views.verts * scale, views.topology, SIZE * times, SIZE * times)
    fine = interpolate(views.colours, fragments, views.topology)
    return fine.reshape(len(fine), SIZE, times, SIZE, times, 3).mean((2, 4))


def _gradients(picture: _Picture, views: _Scene) -> tuple[Tensor, Tensor, Tensor]:
    leaves = views.verts.detach().requires_grad_(), views.colours.detach().requires_grad_()
    image = picture(_Scene(*leaves, views.weights, views.topology))
    of_verts, of_colours = torch.autograd.grad(image, leaves, views.weights)
    return image.detach(), of_verts, of_colours


def _check(views: _Scene) -> str:
    """Refuses answers that differ by more than rounding; returns the differences and the errors of the pictures."""
    double = _gradients(_smooth, views.double())
    for name, ours, peer in zip(("image", "positions", "colours"), double, _gradients(_torch, views.double())):
        if _difference(ours, peer) > 1e-9:
            raise AssertionError(f"float64 {name} differ from plain torch's by {_difference(ours, peer):.1e}")
    # A pixel in 10,000 shows another face in float32, so the pictures are compared on the same fragments.
    fragments = rasterize(views.verts, views.topology, SIZE, SIZE)
    image = interpolate(views.colours, fragments, views.topology)
    single = antialias(image, fragments, views.verts, views.topology)
    exact = antialias(
        image.double(),
        Fragments(fragments.face_index, fragments.barycentrics.double(), fragments.depth.double()),
        views.verts.double(),
        views.topology,
    )
    if _difference(single, exact) > 1e-6:
        raise AssertionError(f"float32 is off by {_difference(single, exact):.1e}")
    one = _Scene(views.verts[:1], views.colours[:1], views.weights[:1], views.topology)
    reference = _supersampled(one, 16)
    at_outline = (single[:1] != image[:1]).any(-1)
    errors = [
        (picture(one) - reference)[at_outline].square().mean().sqrt().item()
        for picture in (_plain, _smooth, _supersampled)
    ]
    rms = "error at outlines: plain {:.3f}, antialias {:.3f}, 4 × 4 samples {:.3f}".format(*errors)
    return f"float32 off by {_difference(single, exact):.0e}, float64 equals plain torch; {rms}"


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
