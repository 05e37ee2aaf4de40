"""Deformable convolution."""

from math import gcd

import torch
from torch import Tensor
from torch.nn import functional as F

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch

_ROW = 16  # DeformSizes::kRow of core/deform.h
_MOST_CHANNELS = 32  # of a slice: its columns and weights stay in the first-level cache
_MOST_RUNS = {"cpu": 8, "cuda": 16}  # parts in which the weight's gradient is summed, whatever the number of threads


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Convolution that looks where it is told to: every tap of the kernel at every output pixel has its own offset.

    With tap k of the kernel at (i, j), output pixel (r, c) and a channel of offset group g,

        output[:, r, c] = bias + Σ_k weight[:, :, i, j] · mask_gk[r, c] · input(r s_y − p_y + i d_y + Δy_gk[r, c],
                                                                              c s_x − p_x + j d_x + Δx_gk[r, c])

    where the input is read bilinearly, its pixels standing at the integers and zeros all around: a point less than one
    pixel outside still mixes with them, one further out is 0.

    Args:
        input: (B, Cin, H, W), float32 or float64, CPU or CUDA.
        offset: pixels of the input, (B, 2 G kh kw, Ho, Wo): for each of G offset groups and each tap, row by row, the
            pair (Δy, Δx). G must divide Cin; each group serves Cin / G neighbouring channels.
        weight: (Cout, Cin / groups, kh, kw); the number of groups of the convolution follows from it.
        bias: (Cout,), or None for 0.
        stride, padding, dilation: one number, or (vertical, horizontal).
        mask: factor of every sample, (B, G kh kw, Ho, Wo), or None for 1.

    Returns:
        (B, Cout, Ho, Wo), dtype and device of ``input``, Ho = (H + 2 p_y − d_y (kh − 1) − 1) // s_y + 1 and so for Wo,
        at least 0. A sample whose offset is not finite is 0. NaN and infinity in the input reach only the outputs that
        mix them in with a weight above 0.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``input``, ``offset``, ``weight``, ``bias`` and ``mask``, once. At whole pixels the derivative by
    the offset is that of the right and lower side; a sample that is outside or not finite passes no gradient on.
    Repeatable to the bit on the CPU; on CUDA the gradient of the input is added in no fixed order. The columns that are
    multiplied with the weights exist for a few positions at a time, never whole.

    Source: Dai et al., "Deformable convolutional networks", ICCV 2017; the mask: Zhu et al., "Deformable ConvNets v2",
    CVPR 2019, eq. 1. The layout of the arguments is the field's common one.
    """
    check_floating("input", input)
    check_shape("input", input, ("B", "Cin", "H", "W"))
    others = {"offset": offset, "weight": weight, "bias": bias, "mask": mask}
    for name, tensor in others.items():
        if tensor is not None:
            check_floating(name, tensor)
            check_same(name, tensor, "input", input)
    check_shape("weight", weight, ("Cout", "Cin / groups", "kh", "kw"))
    steps = [
        _pair(name, value, least)
        for name, value, least in (("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1))
    ]
    _check_groups(input, weight)
    out = _out_size(input, weight, steps)
    for name, size in (("input", tuple(input.shape[2:])), ("the output", out)):
        if size[0] * size[1] >= 2**31:
            raise InputError(f"{name} must have fewer than 2^31 pixels, got {size[0]} x {size[1]}")
    batch, channels = input.shape[:2]
    taps = weight.shape[2] * weight.shape[3]
    offset_groups = offset.shape[1] // (2 * taps) if offset.dim() == 4 else 0
    if offset_groups < 1 or channels % offset_groups or offset.shape != (batch, 2 * offset_groups * taps, *out):
        raise InputError(
            f"offset must have shape ({batch}, 2 G {taps}, {out[0]}, {out[1]}) where G divides the {channels} channels "
            f"of input, got {tuple(offset.shape)}"
        )
    if mask is not None:
        check_shape("mask", mask, (batch, offset_groups * taps, *out))
    if bias is not None:
        check_shape("bias", bias, (len(weight),))
    return _forward(
        input.contiguous(),
        offset.contiguous(),
        None if mask is None else mask.contiguous(),
        weight.contiguous(),
        bias if bias is None else bias.contiguous(),
        [size for pair in steps for size in pair],
    )


def _pair(name: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(n, int) and n >= least for n in pair):
        raise InputError(f"{name} must be an integer of at least {least} or a pair of them, got {value!r}")
    return pair


def _check_groups(input: Tensor, weight: Tensor) -> None:
    channels, (outputs, per_group, *kernel) = input.shape[1], weight.shape
    if min(kernel) < 1:
        raise InputError(f"weight must have a kernel of at least 1 x 1, got {tuple(weight.shape)}")
    groups = channels // per_group if per_group else 0
    if groups * per_group != channels or groups < 1 or outputs % groups:
        raise InputError(
            f"weight must have shape (Cout, Cin / groups, kh, kw) with groups dividing Cout and the {channels} "
            f"channels of input, got {tuple(weight.shape)}"
        )


def _out_size(input: Tensor, weight: Tensor, steps: list[tuple[int, int]]) -> tuple[int, int]:
    stride, padding, dilation = steps
    height, width = (
        max(0, (input.shape[2 + k] + 2 * padding[k] - dilation[k] * (weight.shape[2 + k] - 1) - 1) // stride[k] + 1)
        for k in (0, 1)
    )
    return height, width


def _sizes(input: Tensor, offset: Tensor, weight: Tensor, steps: list[int]) -> tuple[int, ...]:
    """The fields of DeformSizes in core/deform.h."""
    batch, channels, height, width = input.shape
    outputs, per_group, *kernel = weight.shape
    offset_groups, groups = offset.shape[1] // (2 * kernel[0] * kernel[1]), channels // per_group
    common = gcd(channels // offset_groups, per_group)
    of_slice = max(n for n in range(1, _MOST_CHANNELS + 1) if common % n == 0)
    slices = channels // of_slice
    kernel_and_steps = (*kernel, *steps)
    return (
        *(batch, slices, of_slice, height, width),
        *(outputs, *offset.shape[2:], offset_groups, groups),
        *kernel_and_steps,
    )


def _in_slices(input: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """(B, Cin, H, W) as (B, slices, H W, channels)."""
    batch, slices, channels, height, width = sizes[:5]
    return input.reshape(batch, slices, channels, height * width).transpose(2, 3).contiguous()


def _weight_in_slices(weight: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """(Cout, Cin / groups, kh, kw) as (slices, Cout / groups, taps channels)."""
    slices, channels, groups = sizes[1], sizes[2], sizes[9]
    outputs, taps = len(weight) // groups, weight.shape[2:].numel()
    parts = weight.reshape(groups, outputs, slices // groups, channels, taps)
    return parts.permute(0, 2, 1, 4, 3).reshape(slices, outputs, taps * channels)


def _whole_rows(matrices: Tensor) -> Tensor:
    return F.pad(matrices, (0, -matrices.shape[-1] % _ROW)).contiguous()


@torch.library.custom_op("pyface3d::deform_conv2d", mutates_args=())
def _forward(
    input: Tensor, offset: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor | None, steps: list[int]
) -> Tensor:
    sizes = _sizes(input, offset, weight, steps)
    output = input.new_empty(len(input), len(weight), *offset.shape[2:])
    matrices = _whole_rows(_weight_in_slices(weight, sizes).transpose(1, 2))
    launch("deform_conv2d", _in_slices(input, sizes), offset, mask, matrices, bias, output, *sizes)
    return output


@torch.library.custom_op("pyface3d::deform_conv2d_backward", mutates_args=())
def _backward(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    grad: Tensor,
    steps: list[int],
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of input, offset, mask, weight and bias; an empty tensor for each that is not wanted."""
    sizes = _sizes(input, offset, weight, steps)
    batch, slices, channels, height, width, outputs, *_ = sizes
    offset_groups, groups = sizes[8:10]
    runs = max(1, min(_MOST_RUNS["cpu"], batch) if input.device.type == "cpu" else _MOST_RUNS["cuda"])
    matrices = _whole_rows(_weight_in_slices(weight, sizes))
    shapes = (
        (batch, slices, height * width, channels),
        (slices // offset_groups, *offset.shape),
        (slices // offset_groups, batch, offset.shape[1] // 2, *offset.shape[2:]),
        (runs, *matrices.shape),
        (outputs,),
    )
    of_input, of_offset, of_mask, of_weight, of_bias = grads = [
        input.new_empty(shape if want else 0) for shape, want in zip(shapes, wanted)
    ]
    launch(
        "deform_conv2d_backward",
        _in_slices(input, sizes),
        offset,
        mask,
        matrices,
        grad.flatten(2).transpose(1, 2).contiguous(),
        *(g if want else None for g, want in zip(grads, wanted)),
        runs,
        *sizes,
        sums=(grads[0] if wanted[0] else None,),
    )
    if wanted[0]:
        of_input = of_input.transpose(2, 3).reshape(input.shape).contiguous()
    if wanted[3]:
        taps = weight.shape[2:].numel()
        parts = of_weight[0, :, :, : taps * channels]
        parts = parts.reshape(groups, slices // groups, outputs // groups, taps, channels)
        of_weight = parts.permute(0, 2, 1, 4, 3).reshape(weight.shape).contiguous()
    if wanted[1]:
        of_offset = of_offset[0].clone()  # without the memory of the other slices
    if wanted[2]:
        of_mask = of_mask[0].clone()
    return of_input, of_offset, of_mask, of_weight, of_bias


def _backward_fake(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    grad: Tensor,
    steps: list[int],
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    mask_shape = (len(input), offset.shape[1] // 2, *offset.shape[2:])
    shapes = (input.shape, offset.shape, mask_shape, weight.shape, (len(weight),))
    of_input, of_offset, of_mask, of_weight, of_bias = (
        input.new_empty(shape if want else 0) for shape, want in zip(shapes, wanted)
    )
    return of_input, of_offset, of_mask, of_weight, of_bias


def _setup(ctx, inputs, output) -> None:
    input, offset, mask, weight, _, ctx.steps = inputs
    ctx.save_for_backward(input, offset, mask, weight)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:5])
    grads = _backward(*ctx.saved_tensors, grad, ctx.steps, wanted)
    return *(g if want else None for g, want in zip(grads, wanted)), None


_forward.register_fake(
    lambda input, offset, mask, weight, bias, steps: input.new_empty(len(input), len(weight), *offset.shape[2:])
)
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
