"""Poisson blending of relief maps."""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor

from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.ops import blend_gradients

TITLE = "Poisson blending"
NOTES = """
A relief of some millimetres, a hole of a fifth of the map, another relief as donor; the whole image with a fixed border
unless a row says otherwise. Ours is the whole op: roles of the pixels, right-hand side, coarse grids, solution. The
peers get matrix and right-hand side (float64) for nothing: *spsolve* is SciPy's (SuperLU), *CG* SciPy's conjugate
gradients with the diagonal as preconditioner to 1e-8, *pyamg* its Ruge-Stuben multigrid with conjugate gradients to
1e-8, set-up included; *torch CG* the same iteration on maps in plain torch, float32 to 1e-5. *seamlessClone* is
OpenCV's Poisson blending of 8-bit pictures by sine transforms on the rectangle around the mask, three channels at once:
another problem without an equality to check; its time is per channel, beside ours on that rectangle. Checked: the
largest difference of ours from spsolve in mm, and in float64 the relative residual. A dash: not installed, not asked.
"""


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    for size in (512, 1024):
        target, donor, mask = problem(size)
        matrix, values, grid = system(target, donor, mask)
        exact = scipy.sparse.linalg.spsolve(matrix, values)
        for dtype in (torch.float32, torch.float64):
            maps = (target.to(dtype), donor.to(dtype), mask)
            check = _check(maps, matrix, values, exact)
            for count in threads:
                with torch_threads(count):
                    ours = median_ms(lambda: blend_gradients(*maps), seconds)  # noqa: B023
                    first = size == 512 and dtype == torch.float32
                    peers = _peers(matrix, values, grid if first else None)
                    measured = {name: median_ms(call, seconds) for name, call in peers.items()}
                yield Result(f"{size}², {str(dtype)[6:]}", count, ours, measured, check)
    target, donor, mask = (t.float() if t.is_floating_point() else t for t in problem(512))
    domain = disc(512, 240, (0.5, 0.5))
    variants: dict[str, dict[str, object]] = {
        "data weight 0.01, feather 3": {"data_weight": 0.01, "feather_px": 3},
        "inside a disc": {"domain": domain},
        "free border": {"border": "free"},
        "tolerance 1e-5": {"tolerance": 1e-5},
    }
    for name, options in variants.items():
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: blend_gradients(target, donor, mask, **options), seconds)  # noqa: B023
            yield Result(f"512², float32, {name}", count, ours)
    rows, columns = (slice(int(k.min()) - 2, int(k.max()) + 3) for k in mask[0].nonzero().unbind(1))
    box = [t[:, rows, columns].contiguous() for t in (target, donor, mask)]
    clone = seamless_clone(target, donor, mask)
    for count in threads:
        with torch_threads(count):
            ours = median_ms(lambda: blend_gradients(*box), seconds)
            peers = {"seamlessClone": median_ms(clone, seconds) / 3}
        yield Result(
            f"{box[0].shape[1]} x {box[0].shape[2]}, float32, the rectangle around the mask", count, ours, peers
        )
    eight = [t.expand(8, -1, -1).contiguous() for t in (target, donor, mask)]
    leaves = target.clone().requires_grad_(), donor.clone().requires_grad_()
    for count in threads:
        with torch_threads(count):
            batch = median_ms(lambda: blend_gradients(*eight), seconds)
            both = median_ms(lambda: torch.autograd.grad(blend_gradients(*leaves, mask).sum(), leaves), seconds)
        yield Result("512², float32, batch 8", count, batch)
        yield Result("512², float32, forward + backward", count, both)


def problem(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Target, donor (1, H, W) float64 in mm and mask."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size, dtype=torch.float64),) * 2, indexing="ij")
    noise = torch.randn(2, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = 4 * torch.exp(-3 * (x**2 + y**2)) + 0.3 * torch.sin(20 * x) * torch.cos(17 * y) + 0.02 * noise[0]
    donor = 4.4 * torch.exp(-2.7 * (x**2 + y**2)) + 0.3 * torch.sin(25 * x + 1) * torch.cos(19 * y) + 0.02 * noise[1]
    return target[None], donor[None] + 5, disc(size, size / 4, (0.45, 0.6))


def disc(size: int, radius: float, at: tuple[float, float]) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((y - at[0] * size) ** 2 + (x - at[1] * size) ** 2 < radius**2)[None]


def system(target: Tensor, donor: Tensor, mask: Tensor) -> tuple[scipy.sparse.csc_matrix, np.ndarray, Tensor]:
    """Laplacian of the inner pixels and right-hand side, assembled apart from the op; and the latter as a map."""
    t, d, m = (a[0].numpy() for a in (target, donor, mask))
    size = len(t)
    right = np.where(m[:, 1:] | m[:, :-1], np.diff(d, axis=1), np.diff(t, axis=1))
    down = np.where(m[1:] | m[:-1], np.diff(d, axis=0), np.diff(t, axis=0))
    values = -(np.diff(right, axis=1)[1:-1] + np.diff(down, axis=0)[:, 1:-1])
    values[0] += t[0, 1:-1]
    values[-1] += t[-1, 1:-1]
    values[:, 0] += t[1:-1, 0]
    values[:, -1] += t[1:-1, -1]
    line = scipy.sparse.diags([-np.ones(size - 3), 2 * np.ones(size - 2), -np.ones(size - 3)], [-1, 0, 1])
    one = scipy.sparse.identity(size - 2)
    return (
        (scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line)).tocsc(),
        values.ravel(),
        torch.from_numpy(values),
    )


def torch_cg(values: Tensor, tolerance: float) -> Tensor:
    """Conjugate gradients on the map, the diagonal being constant."""
    x, r = torch.zeros_like(values), values.clone()
    p, size = r.clone(), (r * r).sum()
    enough = tolerance**2 * size
    while size > enough:
        q = 4 * p
        q[1:] -= p[:-1]
        q[:-1] -= p[1:]
        q[:, 1:] -= p[:, :-1]
        q[:, :-1] -= p[:, 1:]
        step = size / (p * q).sum()
        x += step * p
        r -= step * q
        size, before = (r * r).sum(), size
        p = r + size / before * p
    return x


def seamless_clone(target: Tensor, donor: Tensor, mask: Tensor) -> Callable[[], object]:
    """OpenCV's blending of the maps as 8-bit pictures of three equal channels."""
    to, source = (np.repeat((30 * m[0, ..., None]).clamp(0, 255).byte().numpy(), 3, -1) for m in (target, donor))
    chosen = 255 * mask[0].byte().numpy()
    rows, columns = np.nonzero(chosen)
    middle = (int(columns.min() + columns.max() + 1) // 2, int(rows.min() + rows.max() + 1) // 2)
    return lambda: cv2.seamlessClone(source, to, chosen, middle, cv2.NORMAL_CLONE)


def _peers(matrix: scipy.sparse.csc_matrix, values: np.ndarray, grid: Tensor | None) -> dict[str, Callable[[], object]]:
    def aggregation() -> np.ndarray:
        solver = import_module("pyamg").ruge_stuben_solver(matrix.tocsr())
        return solver.solve(values, tol=1e-8, accel="cg")

    peers: dict[str, Callable[[], object]] = {"spsolve": lambda: scipy.sparse.linalg.spsolve(matrix, values)}
    if find_spec("pyamg"):
        peers["pyamg"] = aggregation
    if grid is not None:
        peers["CG"] = lambda: scipy.sparse.linalg.cg(matrix, values, rtol=1e-8)[0]
        single = grid.float()
        peers["torch CG"] = lambda: torch_cg(single, 1e-5)
    return peers


def _check(maps: tuple[Tensor, ...], matrix: scipy.sparse.csc_matrix, values: np.ndarray, exact: np.ndarray) -> str:
    """Refuses an answer that is off."""
    found = blend_gradients(*maps)[0, 1:-1, 1:-1].double().numpy().ravel()
    off = float(np.abs(found - exact).max())
    residual = float(np.linalg.norm(matrix @ found - values) / np.linalg.norm(values))
    double = maps[0].dtype == torch.float64
    if off > (1e-9 if double else 2e-6) or (double and residual > 1e-8):
        raise AssertionError(f"off by {off} mm, residual {residual}")
    return f"off by {off:.0e} mm" + (f", residual {residual:.0e}" if double else "")
