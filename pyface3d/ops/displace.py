"""Vertices moved along directions."""

import torch
from torch import Tensor

from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch


def displace(verts: Tensor, direction: Tensor, amount: Tensor) -> Tensor:
    """verts + amount · direction.

    Args:
        verts: (B, V, 3) in mm; float32 or float64, CPU or CUDA.
        direction: (B, V, 3), or (V, 3) for all images alike; unit normals make ``amount`` a height in mm.
        amount: (B, V).

    Returns:
        (B, V, 3), dtype and device of ``verts``; NaN and inf go through.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable, once, in all three. The same bits in every run, on the CPU for any number of threads.
    """
    check_floating("verts", verts)
    check_shape("verts", verts, ("B", "V", 3))
    batch, num_verts, _ = verts.shape
    check_floating("direction", direction)
    check_shape("direction", direction, (num_verts, 3) if direction.dim() == 2 else (batch, num_verts, 3))
    check_floating("amount", amount)
    check_shape("amount", amount, (batch, num_verts))
    check_same("direction", direction, "verts", verts)
    check_same("amount", amount, "verts", verts)
    return _forward(verts.contiguous(), direction.contiguous(), amount.contiguous())


@torch.library.custom_op("pyface3d::displace", mutates_args=())
def _forward(verts: Tensor, direction: Tensor, amount: Tensor) -> Tensor:
    moved = torch.empty_like(verts)
    launch("displace", verts, direction, amount, moved, len(verts), direction.dim() == 2, verts.shape[1])
    return moved


@torch.library.custom_op("pyface3d::displace_backward", mutates_args=())
def _backward(direction: Tensor, amount: Tensor, grad: Tensor, wanted: list[bool]) -> tuple[Tensor, Tensor]:
    """Gradients of direction and amount; an empty tensor for each that is not wanted."""
    grads = _backward_fake(direction, amount, grad, wanted)
    launch(
        "displace_backward",
        direction,
        amount,
        grad.contiguous(),
        *(g if want else None for g, want in zip(grads, wanted)),
        len(amount),
        direction.dim() == 2,
        amount.shape[1],
    )
    return grads


def _backward_fake(direction: Tensor, amount: Tensor, grad: Tensor, wanted: list[bool]) -> tuple[Tensor, Tensor]:
    of_direction, of_amount = (
        torch.empty_like(like) if want else like.new_empty(0) for like, want in zip((direction, amount), wanted)
    )
    return of_direction, of_amount


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[1:])


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wants_verts, *wanted = ctx.needs_input_grad
    grads = _backward(*ctx.saved_tensors, grad, wanted) if any(wanted) else (None, None)
    return (grad if wants_verts else None, *(g if want else None for g, want in zip(grads, wanted)))


_forward.register_fake(lambda verts, direction, amount: torch.empty_like(verts))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
