"""W5: bilinear lookups in 8 textures of 512² x 3 at the coordinates of a rasterised head, forward and backward."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import Mesh, benchmark_mesh, scene
from pyface3d.ops import Topology, interpolate, rasterize, render_texture, sample_texture, uv_footprint

TITLE = "Texture lookups (textures of 512² × 3)"
NOTES = """
The background, coordinate (0, 0), is three pixels in five. *cv2.remap* reads pictures of three channels as they lie,
with weights rounded to 1/32, and has no backward pass; *grid_sample* gets its textures as (B, C, H, W), so no
transposition is timed. Backward is both gradients, of the texture and of the coordinates (or barycentrics). Trilinear
rows include the making of the pyramid (16 views at 64²: most pixels cover several texels); *torch pyramid* makes the
levels by avg_pool2d, lays them out in one picture and reads it with two grid_samples. Checked: bilinear against
grid_sample in float64, values and both gradients; trilinear against the torch pyramid in float64 likewise.

Tried, all in the same run on one thread, with other work on the machine. Kept: both gradients in one walk over the
pixels, rows of the gradient zeroed when first needed, patches of three channels added as vectors of four; together the
backward pass took 4.5 ms instead of 6.7. Without one of these it was slower: each texture zeroed first, 17 %; scalar
additions, 22 %; neighbouring pixels one after the other instead of sixteen apart, 7 % (a load waits for a store that
covers it in part); gradient rows not asked for beforehand, 10 %. Texels of the next block asked for while one is worked
on: 10 % off the forward pass. Given up: zeroing by chunks of 512 bytes with a flag each (7.2 ms), by strips of columns
(5.8 ms), streaming stores for what nothing is added to (no difference). Huge pages (THP_MEM_ALLOC_ENABLE=1 for torch)
take another 10 to 20 % off; that is the caller's to set.
"""
BATCH, TEXTURE, SIZE = 8, 512, 224
SMALL_BATCH, SMALL_SIZE = 16, 64


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
        yield from _measure(name, call, peers, threads, seconds, check)
    yield from _trilinear(threads, seconds)


def _measure(
    name: str,
    call: Callable[[], object],
    peers: dict[str, Callable[[], object]],
    threads: list[int],
    seconds: float,
    check: str,
) -> Iterator[Result]:
    for count in threads:
        cv2.setNumThreads(count)
        with torch_threads(count):
            ours = median_ms(call, seconds)
            times = {peer: median_ms(other, seconds) for peer, other in peers.items()}
        yield Result(name, count, ours, times, check)


def _trilinear(threads: list[int], seconds: float) -> Iterator[Result]:
    generator = torch.Generator().manual_seed(1)
    for batch, size in ((BATCH, SIZE), (SMALL_BATCH, SMALL_SIZE)):
        verts, topology = textured(benchmark_mesh(), batch, size)
        fragments = rasterize(verts, topology, size, size)
        uvs = interpolate(topology.uvs, fragments, topology).contiguous()
        footprint = uv_footprint(verts, fragments, topology)
        texture = torch.rand(batch, TEXTURE, TEXTURE, 3, generator=generator)
        weights = torch.rand(batch, size, size, 3, generator=generator)

        def ours(texture: Tensor, uvs: Tensor, footprint: Tensor = footprint) -> Tensor:
            return sample_texture(texture, uvs, "trilinear", "clamp", footprint.to(uvs.dtype))

        def peer(planes: Tensor, uvs: Tensor, footprint: Tensor = footprint) -> Tensor:
            return torch_pyramid(planes, uvs, footprint.to(uvs.dtype))

        planes, plane_weights = (t.permute(0, 3, 1, 2).contiguous() for t in (texture, weights))
        exact = [t.double().requires_grad_() for t in (planes, uvs)]
        expected = peer(*exact)
        of_texture, of_uvs = torch.autograd.grad(expected, exact, plane_weights.double())
        wanted = (expected.permute(0, 2, 3, 1), of_texture.permute(0, 2, 3, 1), of_uvs)
        check = _compare(ours, texture, uvs, weights, wanted)
        name = f"trilinear, {batch} views of {size}²"
        both = {"torch pyramid": _forward_backward(peer, plane_weights, planes, uvs)}
        one = {"torch pyramid": partial(peer, planes, uvs)}
        yield from _measure(f"{name}, forward", partial(ours, texture, uvs), one, threads, seconds, check)
        call = _forward_backward(ours, weights, texture, uvs)
        yield from _measure(f"{name}, forward + backward", call, both, threads, seconds, check)
        call = partial(uv_footprint, verts, fragments, topology)
        yield from _measure(f"uv_footprint, {batch} views of {size}²", call, {}, threads, seconds, "")


def torch_pyramid(planes: Tensor, uvs: Tensor, footprint: Tensor) -> Tensor:
    """Trilinear lookups with torch alone, for sides that are powers of two: all levels in one picture, the texture at
    the left and the others one below the other at its right, so that two lookups find any two levels.
    """
    _, _, height, width = planes.shape
    levels = [planes]
    while levels[-1].shape[-1] > 1:
        levels.append(F.avg_pool2d(levels[-1], 2))
    side = torch.cat([F.pad(level, (0, width // 2 - level.shape[-1])) for level in levels[1:]], 2)
    atlas = torch.cat([planes, F.pad(side, (0, 0, 0, height - side.shape[2]))], 3)
    sides = torch.tensor([level.shape[-1] for level in levels], dtype=uvs.dtype)
    lefts = torch.tensor([0] + [width] * (len(levels) - 1), dtype=uvs.dtype)
    tops = torch.tensor([0, 0, *(level.shape[-1] for level in levels[1:-1])], dtype=uvs.dtype).cumsum(0)

    detail = (footprint * width).norm(dim=-2).amax(-1).clamp(min=1).log2().clamp(max=len(levels) - 1)
    low = detail.floor().long()
    share = (detail - low)[:, None]

    def lookup(level: Tensor) -> Tensor:
        side, corner = sides[level][..., None], torch.stack([lefts[level], tops[level]], -1)
        texels = (uvs * side - 0.5).clamp(min=0).minimum(side - 1) + corner
        grid = texels * 2 / (uvs.new_tensor([width * 1.5, height]) - 1) - 1
        return F.grid_sample(atlas, grid, align_corners=True)

    return lookup(low) * (1 - share) + lookup((low + 1).clamp(max=len(levels) - 1)) * share


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
    wanted = (expected.permute(0, 2, 3, 1), of_texture.permute(0, 2, 3, 1), of_grid * 2)
    check = _compare(sample_texture, texture, uvs, weights, wanted)
    remapped = np.stack(_remap(texture, uvs)())  # type: ignore[arg-type]
    if np.abs(remapped - sample_texture(texture, uvs).numpy()).max() > 2 / 32:
        raise AssertionError("cv2.remap does something else")
    return check


def _compare(
    op: Callable[..., Tensor], texture: Tensor, uvs: Tensor, weights: Tensor, wanted: tuple[Tensor, ...]
) -> str:
    """How far values and both gradients of ``op`` are from those wanted."""
    mine = [t.clone().requires_grad_() for t in (texture, uvs)]
    found = op(*mine)
    off = [
        float((a - b).detach().abs().max() / b.detach().abs().max())
        for a, b in zip((found, *torch.autograd.grad(found, mine, weights)), wanted, strict=True)
    ]
    if max(off) > 3e-4:
        raise AssertionError(f"off by {off} of the largest value")
    return f"off by {off[0]:.0e}, gradients {off[1]:.0e} and {off[2]:.0e} of the largest"
