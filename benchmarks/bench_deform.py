"""Deformable convolution at the size of a temporal encoder's alignment."""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.ops import deform_conv2d

TITLE = "Deformable convolution"
NOTES = """
128 → 64 channels, 3 × 3, 16 offset groups, masked, 112²: the alignment of a temporal encoder. *grid_sample* is plain
torch: for each tap one `grid_sample` of all groups, times the mask, times the tap's weights (`matmul`). *torchvision*
is its `deform_conv2d`, where the user has it installed (it is no dependency). Checked: values against *grid_sample* in
float64, gradients of all five inputs too. Our columns exist for 96 positions at a time.
"""
Convolve = Callable[..., Tensor]


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    inputs = _inputs(1, 128, 64, 16, 112)
    check = _check()
    peers = {"grid_sample": torch_deform_conv2d, **_torchvision()}
    for count in threads:
        with torch_threads(count):
            ours, *times = (
                median_ms(lambda: convolve(*inputs), seconds)  # noqa: B023
                for convolve in (_ours, *peers.values())
            )
        yield Result("128 → 64, 112², batch 1, forward", count, ours, dict(zip(peers, times)), check)
    for count in threads:
        with torch_threads(count):
            ours, *times = (
                median_ms(lambda: _gradients(convolve, inputs), seconds)  # noqa: B023
                for convolve in (_ours, *peers.values())
            )
        yield Result("128 → 64, 112², batch 1, forward + backward", count, ours, dict(zip(peers, times)), check)


def _inputs(batch: int, channels: int, outputs: int, groups: int, size: int) -> tuple[Tensor, ...]:
    """Offsets of a few pixels, smooth as those of a moving face, with a rough part."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(batch, 2 * groups * 9, 7, 7, generator=generator) * 4
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)
    return (
        torch.randn(batch, channels, size, size, generator=generator),
        smooth + 0.3 * torch.randn(smooth.shape, generator=generator),
        torch.randn(outputs, channels, 3, 3, generator=generator) / (9 * channels) ** 0.5,
        torch.randn(outputs, generator=generator),
        torch.rand(batch, groups * 9, size, size, generator=generator),
    )


def _ours(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    return deform_conv2d(input, offset, weight, bias, padding=1, mask=mask)


def torch_deform_conv2d(input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """3 x 3, padding 1."""
    batch, channels, height, width = input.shape
    groups = offset.shape[1] // 18
    offset = offset.reshape(batch * groups, 9, 2, height, width)
    pictures = input.reshape(batch * groups, channels // groups, height, width)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=input.dtype) for n in (height, width)), indexing="ij")
    result: Tensor | float = bias[:, None]
    for tap in range(9):
        at_x, at_y = x + tap % 3 - 1 + offset[:, tap, 1], y + tap // 3 - 1 + offset[:, tap, 0]
        grid = torch.stack([2 * at_x / (width - 1) - 1, 2 * at_y / (height - 1) - 1], -1)
        seen = F.grid_sample(pictures, grid, padding_mode="zeros", align_corners=True)
        seen = seen * mask.reshape(batch * groups, 9, 1, height, width)[:, tap]
        result = result + weight[:, :, tap // 3, tap % 3] @ seen.reshape(batch, channels, height * width)
    assert isinstance(result, Tensor)
    return result.reshape(batch, -1, height, width)


def _torchvision() -> dict[str, Convolve | None]:
    if find_spec("torchvision") is None:
        return {}
    convolve = import_module("torchvision.ops").deform_conv2d
    return {"torchvision": lambda x, offset, weight, bias, mask: convolve(x, offset, weight, bias, 1, 1, 1, mask)}


def _gradients(convolve: Convolve, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    output = convolve(*leaves)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)
    return output.detach(), *torch.autograd.grad(output, leaves, weights)


def _check() -> str:
    """Refuses values that are off; returns how far float32 is from torch in float64."""
    inputs = _inputs(2, 32, 12, 4, 40)
    exact = _gradients(torch_deform_conv2d, tuple(tensor.double() for tensor in inputs))
    double = _gradients(_ours, tuple(tensor.double() for tensor in inputs))
    single = _gradients(_ours, inputs)
    worst = max(_difference(a, b) for a, b in zip(double, exact, strict=True))
    off, *of_gradients = (_difference(a, b) for a, b in zip(single, exact, strict=True))
    # A float32 position that rounds across a pixel's edge takes the derivative of the neighbouring patch.
    if worst > 1e-10 or off > 1e-5 or max(of_gradients) > 1e-3:
        raise AssertionError(f"off by {worst:.1e} in float64, {off:.1e} and {max(of_gradients):.1e} in float32")
    return f"values {off:.0e}, gradients {max(of_gradients):.0e}; float64 {worst:.0e}"


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())
