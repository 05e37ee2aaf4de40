"""Linear shape models: a mean and weighted offsets."""

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch


def blend_shapes(coefficients: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    """Vertices of a linear model: ``mean + Σ_k coefficients[:, k] · basis[k]``.

    Args:
        coefficients: strengths of K shapes, (B, K), float32 or float64, CPU or CUDA.
        basis: offsets of the V vertices in every shape, (K, V, 3), in the unit of ``mean``.
        mean: the shape where all strengths are 0, (V, 3), or one for each item, (B, V, 3): so one basis is added on
            top of another's result.

    Returns:
        (B, V, 3), dtype and device of ``coefficients``. NaN and infinity go on as in any sum.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in all three, once; the basis's gradient, as large as itself, is made only where it is wanted. The
    shapes are added in order, with one rounding each where the processor has fused multiplication and addition:
    repeatable to the bit on both devices, and an item's vertices are the same alone and in a batch. Source: Blanz and
    Vetter, "A morphable model for the synthesis of 3D faces", SIGGRAPH 1999, eq. 1.
    """
    check_floating("coefficients", coefficients)
    check_shape("coefficients", coefficients, ("B", "K"))
    for name, tensor in (("basis", basis), ("mean", mean)):
        check_floating(name, tensor)
        check_same(name, tensor, "coefficients", coefficients)
    check_shape("basis", basis, (coefficients.shape[1], "V", 3))
    if mean.dim() == 2:
        mean = mean[None]
    if mean.shape not in ((1, *basis.shape[1:]), (len(coefficients), *basis.shape[1:])):
        raise InputError(
            f"mean must have shape ({basis.shape[1]}, 3) or ({len(coefficients)}, {basis.shape[1]}, 3), "
            f"got {tuple(mean.shape)}"
        )
    return _forward(coefficients.contiguous(), basis.contiguous(), mean.contiguous())


@torch.library.custom_op("pyface3d::blend_shapes", mutates_args=())
def _forward(coefficients: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    verts = _forward_fake(coefficients, basis, mean)
    launch("blend_shapes", coefficients, basis, mean, verts, *_sizes(coefficients, basis, mean))
    return verts


def _forward_fake(coefficients: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    return coefficients.new_empty(len(coefficients), *basis.shape[1:])


def _sizes(coefficients: Tensor, basis: Tensor, mean: Tensor) -> tuple[int, ...]:
    return len(coefficients), len(mean), len(basis), basis.shape[1:].numel()


@torch.library.custom_op("pyface3d::blend_shapes_backward", mutates_args=())
def _backward(
    coefficients: Tensor, basis: Tensor, mean: Tensor, grad: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of coefficients, basis and mean; an empty tensor for each that is not wanted."""
    grads = _backward_fake(coefficients, basis, mean, grad, wanted)
    launch(
        "blend_shapes_backward",
        coefficients,
        basis,
        grad.contiguous(),
        *(g if want else None for g, want in zip(grads, wanted)),
        *_sizes(coefficients, basis, mean),
    )
    return grads


def _backward_fake(
    coefficients: Tensor, basis: Tensor, mean: Tensor, grad: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    of_coefficients, of_basis, of_mean = (
        torch.empty_like(like) if want else grad.new_empty(0) for like, want in zip((coefficients, basis, mean), wanted)
    )
    return of_coefficients, of_basis, of_mean


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad)
    grads = _backward(*ctx.saved_tensors, grad, wanted)
    return tuple(g if want else None for g, want in zip(grads, wanted))


_forward.register_fake(_forward_fake)
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
