"""Deformable convolution, against loops over every output pixel and tap."""

import itertools
import math

from op_case import OpCase, Size, Tensors, random_values
from torch import Tensor

from pyface3d import ops

Pair = tuple[int, int]


def slow_deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    """One output pixel, tap and offset group at a time; the pixels around a sample are looked up one by one."""
    batch, channels, height, width = input.shape
    outputs, per_group, kh, kw = weight.shape
    offset_groups, groups = offset.shape[1] // (2 * kh * kw), channels // per_group
    shared, rows, columns = channels // offset_groups, *offset.shape[2:]
    result = input.new_zeros(batch, outputs, rows, columns)
    for b, r, c in itertools.product(range(batch), range(rows), range(columns)):
        seen = input.new_zeros(channels, kh, kw)
        for g, i, j in itertools.product(range(offset_groups), range(kh), range(kw)):
            tap = (g * kh + i) * kw + j
            y = r * stride[0] - padding[0] + i * dilation[0] + float(offset[b, 2 * tap, r, c])
            x = c * stride[1] - padding[1] + j * dilation[1] + float(offset[b, 2 * tap + 1, r, c])
            if not (math.isfinite(y) and math.isfinite(x)):
                continue
            for row, column in itertools.product(*((math.floor(at), math.floor(at) + 1) for at in (y, x))):
                near = (1 - abs(y - row)) * (1 - abs(x - column))
                if 0 <= row < height and 0 <= column < width and near > 0:
                    factor = near if mask is None else near * mask[b, tap, r, c]
                    seen[g * shared : (g + 1) * shared, i, j] += (
                        factor * input[b, g * shared : (g + 1) * shared, row, column]
                    )
        for o in range(outputs):
            first = o // (outputs // groups) * per_group
            result[b, o, r, c] = (weight[o] * seen[first : first + per_group]).sum()
    return result if bias is None else result + bias[:, None, None]


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _with_everything(size: Size) -> Tensors:
    """Four channels in two offset groups, some samples outside, an odd number of outputs."""
    rows, columns = size.height, size.width
    return {
        "input": random_values(20, size.batch, 4, rows, columns, low=-1.0),
        "offset": random_values(21, size.batch, 2 * 2 * 9, rows, columns, low=-2.5, high=2.5),
        "mask": random_values(22, size.batch, 2 * 9, rows, columns),
        "weight": random_values(23, 3, 4, 3, 3, low=-1.0),
        "bias": random_values(24, 3, low=-1.0),
    }


_STEPS = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}


def _grouped(size: Size) -> Tensors:
    """Two groups of eleven channels under one offset group: slices that share offsets, whole vectors and a rest."""
    rows, columns = (
        out_size(n, k, s, p, d) for n, k, s, p, d in zip((size.height, size.width), (2, 3), *_STEPS.values())
    )
    return {
        "input": random_values(25, size.batch, 22, size.height, size.width, low=-1.0),
        "offset": random_values(26, size.batch, 2 * 6, rows, columns, low=-1.5, high=1.5),
        "weight": random_values(27, 4, 11, 2, 3, low=-1.0),
    }


CASES = [
    OpCase(
        "deform_conv2d",
        "masked",
        _with_everything,
        lambda t, _: (ops.deform_conv2d(**t, padding=1),),
        lambda t, _: (slow_deform_conv2d(**t, padding=(1, 1)),),
        ("input", "offset", "mask", "weight", "bias"),
        ("input", "offset", "mask"),
    ),
    OpCase(
        "deform_conv2d",
        "grouped",
        _grouped,
        lambda t, _: (ops.deform_conv2d(**t, **_STEPS),),
        lambda t, _: (slow_deform_conv2d(**t, **_STEPS),),
        ("input", "offset", "weight"),
        ("input", "offset"),
    ),
]
