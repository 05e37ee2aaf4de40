"""W5: bilinear lookups in 8 textures of 512² x 3 at the coordinates of a rasterised head, forward and backward."""

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import Mesh, benchmark_mesh, scene
from pyface3d.ops import Topology, interpolate, rasterize, render_texture, sample_texture

TITLE = "Texture lookups (bilinear, 8 textures of 512² × 3, 224²)"
NOTES = """
The background, coordinate (0, 0), is three pixels in five. *cv2.remap* reads pictures of three channels as they lie,
with weights rounded to 1/32, and has no backward pass; *grid_sample* gets its textures as (B, C, H, W), so no
transposition is timed. Backward is both gradients, of the texture and of the coordinates (or barycentrics). Checked:
against grid_sample in float64, values and both gradients.
"""
BATCH, TEXTURE, SIZE = 8, 512, 224


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    verts, topology = textured(benchmark_mesh(), BATCH, SIZE)
    fragments = rasterize(verts, topology, SIZE, SIZE)
    uvs = interpolate(topology.uvs, fragments, topology).contiguous()
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(BATCH, TEXTURE, TEXTURE, 3, generator=generator)
    weights = torch.rand(BATCH, SIZE, SIZE, 3, generator=generator)
    check = _check(texture, uvs, weights)

    planes, plane_weights = (t.permute(0, 3, 1, 2).contiguous() for t in (texture, weights))
    grid = uvs * 2 - 1
    forward: dict[str, Callable[[], object]] = {
        "cv2.remap": _remap(texture, uvs),
        "grid_sample": lambda: F.grid_sample(planes, grid, padding_mode="border", align_corners=False),
    }
    backward: dict[str, Callable[[], object]] = {
        "grid_sample": _forward_backward(
            lambda t, u: F.grid_sample(t, u, padding_mode="border", align_corners=False), plane_weights, planes, grid
        )
    }

    def render(texture: Tensor, barycentrics: Tensor) -> Tensor:
        return render_texture(texture, fragments._replace(barycentrics=barycentrics), topology)

    read = (texture, fragments.barycentrics)
    workloads = (
        ("W5: sample_texture, forward", lambda: sample_texture(texture, uvs), forward),
        ("W5: sample_texture, forward + backward", _forward_backward(sample_texture, weights, texture, uvs), backward),
        ("render_texture, forward", lambda: render(*read), {}),
        ("render_texture, forward + backward", _forward_backward(render, weights, *read), {}),
    )
    for name, call, peers in workloads:
        for count in threads:
            cv2.setNumThreads(count)
            with torch_threads(count):
                ours = median_ms(call, seconds)
                times = {peer: median_ms(other, seconds) for peer, other in peers.items()}
            yield Result(name, count, ours, times, check)


def textured(mesh: Mesh, batch: int, size: int) -> tuple[Tensor, Topology]:
    """``scene`` with a cylindrical chart over the front of the head."""
    verts, topology = scene(mesh, batch, size)
    x, y, z = (torch.from_numpy(mesh.verts).float() - torch.tensor([0.0, 0.0, 0.4])).T
    around = torch.atan2(x, -z) / (2 * math.pi) + 0.5
    uvs = torch.stack([around, (y - y.min()) / (y.max() - y.min())], -1)
    return verts, Topology(topology.faces, topology.num_verts, uvs=uvs)


def _remap(texture: Tensor, uvs: Tensor) -> Callable[[], object]:
    pictures = [t.numpy() for t in texture]
    maps = [m.numpy() for m in uvs * TEXTURE - 0.5]
    columns, rows = ([np.ascontiguousarray(m[..., k]) for m in maps] for k in (0, 1))
    return lambda: [
        cv2.remap(p, c, r, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for p, c, r in zip(pictures, columns, rows, strict=True)
    ]


def _forward_backward(op: Callable[..., Tensor], weights: Tensor, *inputs: Tensor) -> Callable[[], object]:
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    return lambda: torch.autograd.grad(op(*leaves), leaves, weights)


def _check(texture: Tensor, uvs: Tensor, weights: Tensor) -> str:
    """Refuses lookups that are off; returns how far ours are from grid_sample in float64."""
    exact = (texture.double().permute(0, 3, 1, 2).contiguous(), uvs.double() * 2 - 1)
    leaves = [t.requires_grad_() for t in exact]
    expected = F.grid_sample(*leaves, padding_mode="border", align_corners=False)
    of_texture, of_grid = torch.autograd.grad(expected, leaves, weights.double().permute(0, 3, 1, 2))
    mine = [t.clone().requires_grad_() for t in (texture, uvs)]
    found = sample_texture(*mine)
    gradients = torch.autograd.grad(found, mine, weights)
    wanted = (expected.permute(0, 2, 3, 1), of_texture.permute(0, 2, 3, 1), of_grid * 2)
    off = [
        float((a - b).detach().abs().max() / b.detach().abs().max())
        for a, b in zip((found, *gradients), wanted, strict=True)
    ]
    if max(off) > 3e-4:
        raise AssertionError(f"off by {off} of the largest value")
    remapped = np.stack(_remap(texture, uvs)())  # type: ignore[arg-type]
    if np.abs(remapped - found.detach().numpy()).max() > 2 / 32:
        raise AssertionError("cv2.remap does something else")
    return f"off by {off[0]:.0e}, gradients {off[1]:.0e} and {off[2]:.0e} of the largest"
