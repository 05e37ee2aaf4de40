"""Normals of a surface with relief."""

import math

import torch
from torch import Tensor

from pyface3d.ops._checks import check_floating, check_mask, check_same, check_shape
from pyface3d.ops._kernels import launch


def bump_normals(
    positions: Tensor, normals: Tensor, bump: Tensor, mask: Tensor, *, max_gap_mm: float | None = None
) -> Tensor:
    """Normals of a surface moved along its normals by a height map, in image or in texture space.

    The slope of the bump comes from differences between a pixel and its neighbours: between the two of an axis where
    both belong to the surface, to one of them where the other does not. So nothing is read across the border of the
    mask, and islands of a texture chart are not joined.

    Args:
        positions: (B, H, W, 3) in mm, the surface under every pixel or texel; float32 or float64, CPU or CUDA. The map
            may run either way round (mirrored charts).
        normals: (B, H, W, 3), coarse normals of any length.
        bump: (B, H, W) in mm, positive along the normal.
        mask: (B, H, W) bool, where there is a surface.
        max_gap_mm: neighbours farther apart than this are not of one surface (the nose before the cheek, islands that
            touch); None for no limit.

    Returns:
        (B, H, W, 3), of length 1: n' proportional to n − grad b. It is the coarse normal, at length 1, outside the
        mask, where position or bump is not finite, and where the neighbours span no surface (a lone pixel, a line, an
        edge seen end on); 0 where the coarse normal has no direction. A constant bump changes nothing.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable, once, in ``positions``, ``normals`` and ``bump``; which neighbours count is constant. The same bits
    in every run, on the CPU for any number of threads. Exact to the differences on planes; where the surface bends,
    the slope is off by the share that the bump is of the radius. Sources: Blinn, Simulation of Wrinkled Surfaces
    (1978); Mikkelsen, Bump Mapping Unparametrized Surfaces (2010); formula in csrc/core/bump_normal.h.
    """
    check_floating("positions", positions)
    check_shape("positions", positions, ("B", "H", "W", 3))
    size = tuple(positions.shape[:3])
    for name, tensor, shape in (("normals", normals, (*size, 3)), ("bump", bump, size)):
        check_floating(name, tensor)
        check_shape(name, tensor, shape)
        check_same(name, tensor, "positions", positions)
    check_mask("mask", mask, size, "positions", positions)
    max_gap = math.inf if max_gap_mm is None else float(max_gap_mm)
    if not max_gap > 0:
        raise ValueError(f"max_gap_mm must be greater than 0 or None, got {max_gap_mm}")
    return _forward(positions.contiguous(), normals.contiguous(), bump.contiguous(), mask.contiguous(), max_gap)


@torch.library.custom_op("pyface3d::bump_normals", mutates_args=())
def _forward(positions: Tensor, normals: Tensor, bump: Tensor, mask: Tensor, max_gap: float) -> Tensor:
    bumped = torch.empty_like(normals)  # the kernel writes every element
    launch("bump_normals", positions, normals, bump, mask, bumped, *bump.shape, max_gap)
    return bumped


@torch.library.custom_op("pyface3d::bump_normals_backward", mutates_args=())
def _backward(
    positions: Tensor, normals: Tensor, bump: Tensor, mask: Tensor, max_gap: float, grad: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of positions, normals and bump; an empty tensor for each that is not wanted."""
    grads = _backward_fake(positions, normals, bump, mask, max_gap, grad, wanted)
    launch(
        "bump_normals_backward",
        positions,
        normals,
        bump,
        mask,
        grad.contiguous(),
        *(g if want else None for g, want in zip(grads, wanted)),
        *bump.shape,
        max_gap,
    )
    return grads


def _backward_fake(
    positions: Tensor, normals: Tensor, bump: Tensor, mask: Tensor, max_gap: float, grad: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    of_positions, of_normals, of_bump = (
        torch.empty_like(like) if want else bump.new_empty(0) for like, want in zip((positions, normals, bump), wanted)
    )
    return of_positions, of_normals, of_bump


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.max_gap = inputs
    ctx.save_for_backward(*tensors)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:3])
    grads = _backward(*ctx.saved_tensors, ctx.max_gap, grad, wanted)
    return (*(g if want else None for g, want in zip(grads, wanted)), None, None)


_forward.register_fake(lambda positions, normals, bump, mask, max_gap: torch.empty_like(normals))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
