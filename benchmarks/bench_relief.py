"""Bumped normals, dense meshes, occlusion weights."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import benchmark_mesh, scene
from pyface3d.ops import (
    DenseMesh,
    Fragments,
    Topology,
    bump_normals,
    dense_mesh,
    interpolate,
    occlusion_weights,
    rasterize,
    vertex_normals,
    vertex_visibility,
)

TITLE = "Relief: bumped normals, dense mesh, occlusion weights"
NOTES = """
Peer: the same formulas in tensor operations and autograd (shifted pictures and `torch.where` for neighbours,
scatter-add, convolution and max-pooling for the counts); written for this comparison, no package on the index offers
them. The head fills two fifths of the frame; occlusion weights rasterise nothing in either column. Checked: normals
and gradients against the peer in float64, vertices and cells and weights against the peer in float32.
"""
MAX_GAP = 3.0


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    for size, batch in ((512, 8), (512, 1)):
        maps = _maps(size, batch)
        check = _check_normals(maps)
        weights = torch.rand(maps[1].shape, generator=torch.Generator().manual_seed(1))
        for name, work in (
            ("forward", lambda op: op(*maps, max_gap_mm=MAX_GAP)),  # noqa: B023
            ("forward + backward", lambda op: _gradients(op, maps, weights)),  # noqa: B023
        ):
            for count in threads:
                with torch_threads(count):
                    ours, peer = (median_ms(lambda: work(op), seconds) for op in (bump_normals, shifted_normals))  # noqa: B023
                yield Result(f"bump_normals, {size}², batch {batch}, {name}", count, ours, {"torch": peer}, check)
    fragments, bump, mask = _picture(512, 8)
    check = _check_mesh(fragments, bump, mask)
    for count in threads:
        with torch_threads(count):
            ours, peer = (median_ms(lambda: op(fragments, bump, mask), seconds) for op in (_dense, shifted_mesh))  # noqa: B023
        yield Result("dense_mesh, 512², batch 8", count, ours, {"torch": peer}, check)
    views = _views(500, 4)
    check = _check_weights(views)
    for count in threads:
        with torch_threads(count):
            ours, peer = (median_ms(lambda: op(*views), seconds) for op in (occlusion_weights, scattered_weights))  # noqa: B023
        yield Result(
            f"occlusion_weights, {len(views[0][0])} vertices, 500², batch 4", count, ours, {"torch": peer}, check
        )


def _picture(size: int, batch: int) -> tuple[Fragments, Tensor, Tensor]:
    """Fragments of the mesh at 600 mm, a procedural bump of some mm, the face mask."""
    verts, topology = scene(benchmark_mesh(), batch, size)
    verts = _in_mm(verts)
    fragments = rasterize(verts, topology, size, size)
    y, x = torch.meshgrid(*(torch.arange(size, dtype=torch.float32),) * 2, indexing="ij")
    bump = (torch.sin(0.35 * x + 2 * torch.sin(0.05 * y)) + 0.5 * torch.sin(0.9 * y)).expand(batch, -1, -1)
    return fragments, bump.contiguous(), fragments.mask


def _in_mm(verts: Tensor) -> Tensor:
    """The scenes' head is 2 units high and 10 away; here 200 mm and 1 m."""
    return verts * torch.tensor([1.0, 1.0, 100.0])


def _focal(size: int) -> float:
    return 1015 * size / 224


def _maps(size: int, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions, normals, bump and mask in image space."""
    verts, topology = scene(benchmark_mesh(), batch, size)
    fragments, bump, mask = _picture(size, batch)
    image = _in_mm(verts)
    rays = torch.cat([(image[..., :2] - size / 2) / _focal(size), torch.ones_like(image[..., :1])], -1)
    camera = (rays * image[..., 2:]).contiguous()
    normals = interpolate(vertex_normals(camera, topology), fragments, topology)
    return interpolate(camera, fragments, topology), normals, bump, mask


def shifted_normals(
    positions: Tensor, normals: Tensor, bump: Tensor, mask: Tensor, max_gap_mm: float = math.inf
) -> Tensor:
    """bump_normals with pictures shifted by a pixel."""
    n = F.normalize(normals, dim=-1)
    steps, rises = [], []
    for axis in (2, 1):
        behind, before = (_neighbour(positions, bump, mask, axis, shift, max_gap_mm) for shift in (-1, 1))
        steps.append(behind[0] - before[0])
        rises.append((behind[1] - before[1])[..., None])
    t_n, n_s = torch.linalg.cross(steps[1], n), torch.linalg.cross(n, steps[0])
    area = (steps[0] * t_n).sum(-1, keepdim=True)
    spanned = area.abs() > 1e-4 * steps[0].norm(dim=-1, keepdim=True) * steps[1].norm(dim=-1, keepdim=True)
    slope = (rises[0] * t_n + rises[1] * n_s) / torch.where(spanned, area, 1)
    return torch.where(spanned, F.normalize(n - slope, dim=-1), n)


def _neighbour(
    positions: Tensor, bump: Tensor, mask: Tensor, axis: int, shift: int, max_gap: float
) -> tuple[Tensor, Tensor]:
    """Position and height of the neighbour where it belongs to the surface, else the pixel's own."""
    there = mask & mask.roll(shift, axis)
    edge = 0 if shift > 0 else there.shape[axis] - 1
    there = there.index_fill(axis, torch.tensor(edge), False)
    moved = positions.roll(shift, axis)
    there = there & ((moved - positions).square().sum(-1) <= max_gap**2)
    return torch.where(there[..., None], moved, positions), torch.where(there, bump.roll(shift, axis), bump)


def _gradients(op: Callable[..., Tensor], maps: tuple[Tensor, ...], weights: Tensor) -> tuple[Tensor, ...]:
    leaves = [m.requires_grad_() for m in maps[:3]]
    return torch.autograd.grad(op(*leaves, maps[3], max_gap_mm=MAX_GAP), leaves, weights)


def _check_normals(maps: tuple[Tensor, ...]) -> str:
    """Refuses normals that are off; where the steps are nearly flat, positions in float32 say little."""
    one = tuple(m[:1] for m in maps)
    double = tuple(m.double() if m.is_floating_point() else m for m in one)
    ours, exact = bump_normals(*one, max_gap_mm=MAX_GAP), shifted_normals(*double, max_gap_mm=MAX_GAP)
    same = float(((ours - exact).abs().amax(-1) < 1e-3).double().mean())
    off = float((bump_normals(*double, max_gap_mm=MAX_GAP) - exact).abs().max())
    weights = one[3][..., None].expand_as(double[1]).double()  # a normal of 0 has no gradient
    found, expected = (_gradients(op, double, weights) for op in (bump_normals, shifted_normals))
    off_gradient = max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected))
    if same < 0.999 or off > 1e-9 or off_gradient > 1e-9:
        raise AssertionError(f"float32 within 1e-3 at {same:.4f} of the pixels, float64 off by {off}, {off_gradient}")
    return f"float64 off by {off:.0e}, gradients {off_gradient:.0e}"


def _dense(fragments: Fragments, bump: Tensor, mask: Tensor) -> DenseMesh:
    return dense_mesh(fragments, None, bump, mask, focal=_focal(512))


def shifted_mesh(fragments: Fragments, bump: Tensor, mask: Tensor) -> DenseMesh:
    """dense_mesh along the camera's axis with slices of the picture."""
    depth, size = fragments.depth, fragments.depth.shape[-1]
    middle = (torch.arange(size, dtype=depth.dtype) + 0.5 - size / 2) / _focal(size)
    is_vertex = fragments.mask & mask & (depth > bump)
    points = torch.stack([depth * middle, depth * middle[:, None], depth - bump], -1)
    verts = torch.where(is_vertex[..., None], points, 0)
    at = [(slice(None), slice(i, size - 1 + i), slice(j, size - 1 + j)) for i in (0, 1) for j in (0, 1)]
    corner, there = [verts[s] for s in at], [is_vertex[s] for s in at]  # top left, top right, bottom left, bottom right
    cells = torch.zeros_like(there[0], dtype=torch.uint8)
    for bit, (i, j, k) in enumerate(((1, 0, 2), (1, 2, 3), (1, 0, 3), (0, 2, 3))):
        a, b, c = corner[i], corner[j], corner[k]
        rest = ({0, 1, 2, 3} - {i, j, k}).pop()
        stands = there[i] & there[j] & there[k]
        if bit > 1:
            stands = stands & ~there[rest]
        z = torch.stack([a[..., 2], b[..., 2], c[..., 2]])
        normal, view = torch.linalg.cross(b - a, c - a), -(a + b + c)
        upright = (normal * view).sum(-1) >= math.cos(math.radians(85)) * normal.norm(dim=-1) * view.norm(dim=-1)
        stands = stands & (z.amax(0) - z.amin(0) <= 6) & upright & (normal.norm(dim=-1) > 0)
        cells |= stands.to(torch.uint8) << bit
    return DenseMesh(verts, is_vertex, cells)


def _check_mesh(fragments: Fragments, bump: Tensor, mask: Tensor) -> str:
    ours, peer = (op(fragments, bump, mask) for op in (_dense, shifted_mesh))
    off = float((ours.verts - peer.verts).abs().max())
    cells = int((ours.cells != peer.cells).sum())
    if off > 1e-3 or not torch.equal(ours.is_vertex, peer.is_vertex) or cells > 20:
        raise AssertionError(f"vertices off by {off} mm, {cells} cells differ")
    return f"vertices {off:.0e} mm, {cells} of {ours.cells.numel()} cells by rounding at a limit"


def _views(size: int, batch: int) -> tuple[Tensor, Fragments, Fragments, Topology]:
    mesh = benchmark_mesh()
    verts, topology = scene(mesh, batch, size)
    focal = _focal(size)
    x, y, z = torch.tensor(mesh.verts, dtype=torch.float32).T
    frontal = torch.stack([focal * x / (z + 10) + size / 2, focal * y / (z + 10) + size / 2, z + 10], -1)
    posed, frontal = _in_mm(verts), _in_mm(frontal[None].expand(batch, -1, -1).contiguous())
    return posed, rasterize(posed, topology, size, size), rasterize(frontal, topology, size, size), topology


def scattered_weights(verts: Tensor, fragments: Fragments, frontal: Fragments, topology: Topology) -> Tensor:
    """occlusion_weights with gathers, a scatter-add, a convolution and pooling; visibility is our op's."""
    batch, height, width = fragments.depth.shape
    faces = topology.faces.long()[frontal.face_index.clamp(min=0).long()]  # (B, Hf, Wf, 3)
    corners = torch.gather(
        verts[:, :, None].expand(-1, -1, 3, -1), 1, faces.reshape(batch, -1, 3, 1).expand(-1, -1, -1, 3)
    )
    beta = frontal.barycentrics.reshape(batch, -1, 3)
    z = (beta * corners[..., 2]).sum(-1)
    place = (beta[..., None] * corners[..., 2:] * corners[..., :2]).sum(-2) / z[..., None]
    column, row = place.nan_to_num(-1).floor().long().unbind(-1)
    inside = frontal.mask.reshape(batch, -1) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = torch.where(inside, row * width + column, 0)
    padded = F.pad(torch.where(fragments.mask, fragments.depth, math.inf), (1, 1, 1, 1), value=math.inf).flatten(1)
    near = torch.zeros_like(inside)
    for i in range(3):
        for j in range(3):
            around = (at // width + i) * (width + 2) + at % width + j
            near |= (padded.gather(1, around) - z).abs() <= 2.5
    counts = torch.zeros(batch, height * width).scatter_add_(1, at, (inside & near).float())
    line = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    excess = F.pad((counts - 1).clamp(min=0).reshape(batch, 1, height, width), (2, 2, 2, 2), "reflect")
    blurred = F.conv2d(excess, (line[:, None] * line)[None, None])
    most = F.max_pool2d(blurred, 11, 1, 5).flatten(1)
    pixel = verts[..., 1].clamp(0, height - 1).long() * width + verts[..., 0].clamp(0, width - 1).long()
    return vertex_visibility(verts, fragments, topology) * torch.exp(-0.2 * most.gather(1, pixel))


def _check_weights(views: tuple[Tensor, Fragments, Fragments, Topology]) -> str:
    ours, peer = (op(*views) for op in (occlusion_weights, scattered_weights))
    same = float(((ours - peer).abs() < 1e-5).double().mean())
    if same < 0.995:
        raise AssertionError(f"only {same:.4f} of the weights agree")
    return f"{100 * same:.2f} % of the weights; a pixel that rounds to its neighbour changes its window"
