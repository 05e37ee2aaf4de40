"""W7: vertices of a linear face model, 199 + 100 components of 53,490 vertices."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.ops import blend_shapes

TITLE = "Linear face model"
NOTES = """
A random basis of 192 MB, which no cache holds. *torch* is `mean + coefficients @ basis`, *numpy* the same; each time
includes a fresh result. One item costs a pass over the basis: the time is the memory's. Checked: values of two items
against float64, and the gradient of the coefficients against `grad @ basis.T`.

Tried on a busy machine, for one item: stretches of 2 to 16 rows together, blocks of 4 to 16 vectors over all rows, with
and without prefetching: 5.0 to 8.3 ms, not told apart by repeated runs, where reading the basis alone took 5.9. For 32:
tiles of 6 × 4 vectors 27 ms; 8 × 3 with coefficients packed and the block after the next prefetched 19.6 (kept); 11 × 2
so 18.6. The gradient of 32 items: lane by lane 53 ms, with the batch turned into lanes 29 (kept).
"""
COMPONENTS, VERTS = 199 + 100, 53_490


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(COMPONENTS, VERTS, 3, generator=generator)
    mean = torch.randn(VERTS, 3, generator=generator)
    coefficients = torch.randn(32, COMPONENTS, generator=generator)
    rows, row = basis.flatten(1), mean.flatten()
    check = _check(coefficients[:2], basis, mean)
    for batch in (1, 32):
        some = coefficients[:batch].contiguous()
        arrays = (row.numpy(), some.numpy(), rows.numpy())
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: blend_shapes(some, basis, mean), seconds)  # noqa: B023
                peers = {"torch": median_ms(lambda: row + some @ rows, seconds)}  # noqa: B023
                if count == 1:  # numpy's threads are set when it is loaded
                    peers["numpy"] = median_ms(lambda: arrays[0] + arrays[1] @ arrays[2], seconds)  # noqa: B023
            yield Result(f"W7: {COMPONENTS} × {VERTS:,} vertices, batch {batch}", count, ours, peers, check)
        grad = torch.randn(batch, VERTS, 3, generator=generator)
        leaf = some.clone().requires_grad_()
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: _gradient(leaf, basis, mean, grad), seconds)  # noqa: B023
                peer = median_ms(lambda: (row + some @ rows, grad.flatten(1) @ rows.T), seconds)  # noqa: B023
            yield Result(f"batch {batch}, forward + backward to coefficients", count, ours, {"torch": peer}, check)


def _gradient(leaf: Tensor, basis: Tensor, mean: Tensor, grad: Tensor) -> Tensor:
    return torch.autograd.grad(blend_shapes(leaf, basis, mean), leaf, grad)[0]


def _check(coefficients: Tensor, basis: Tensor, mean: Tensor) -> str:
    """Refuses values that are off; returns how far float32 is from float64, relative to the size of the answer."""
    rows = basis.double().flatten(1)
    exact = mean.double().flatten() + coefficients.double() @ rows
    off = _difference(blend_shapes(coefficients, basis, mean).flatten(1), exact)
    grad = torch.linspace(-1, 1, exact.numel()).reshape(len(exact), VERTS, 3)
    exact_gradient = grad.double().flatten(1) @ rows.T
    off_gradient = _difference(_gradient(coefficients.clone().requires_grad_(), basis, mean, grad), exact_gradient)
    if off > 1e-6 or off_gradient > 1e-5:
        raise AssertionError(f"off by {off:.1e}, gradient {off_gradient:.1e}")
    return f"values {off:.0e}, gradient {off_gradient:.0e}"


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())
