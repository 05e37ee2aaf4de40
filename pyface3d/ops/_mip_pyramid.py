"""Mip pyramids of textures, for trilinear lookups."""

import torch
from torch import Tensor

from pyface3d.ops._kernels import launch


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of the levels above a texture: half of the one below, rounded down, at least 1, down to 1 x 1."""
    sizes = []
    while height * width > 1:
        height, width = max(height // 2, 1), max(width // 2, 1)
        sizes.append((height, width))
    return sizes


@torch.library.custom_op("pyface3d::mip_pyramid", mutates_args=())
def mip_pyramid(texture: Tensor) -> Tensor:
    """The levels above a texture (B, Ht, Wt, C), one after the other, (B, P, C): `level_sizes` says where each begins.

    A texel is the mean of the level below over its own area: two texels along an even side, parts of three along an odd
    one (texel i of m covers i / m to (i + 1) / m of the texture). So every level has the mean of the texture, at any
    size. Linear; its derivative is its transpose. Source: csrc/core/mip.h.
    """
    above = _empty_levels(texture)
    launch("mip_pyramid", texture, above, *texture.shape)
    return above


def _empty_levels(texture: Tensor) -> Tensor:
    batch, height, width, channels = texture.shape
    return texture.new_empty(batch, sum(h * w for h, w in level_sizes(height, width)), channels)


def add_levels(grad_above: Tensor, grad_texture: Tensor) -> None:
    """Adds to a texture's gradient what reaches it through the levels above; theirs is used up. Inside other ops."""
    launch("mip_pyramid_backward", grad_above, grad_texture, *grad_texture.shape, True)


@torch.library.custom_op("pyface3d::mip_pyramid_backward", mutates_args=())
def _backward(grad: Tensor, height: int, width: int) -> Tensor:
    batch, _, channels = grad.shape
    grad_texture = grad.new_empty(batch, height, width, channels)
    sums = grad.clone(memory_format=torch.contiguous_format)  # the kernel adds to it on the way down
    launch("mip_pyramid_backward", sums, grad_texture, *grad_texture.shape, False)
    return grad_texture


def _setup(ctx, inputs, output) -> None:
    ctx.size = inputs[0].shape[1:3]


mip_pyramid.register_fake(_empty_levels)
_backward.register_fake(lambda grad, height, width: grad.new_empty(len(grad), height, width, grad.shape[2]))
mip_pyramid.register_autograd(lambda ctx, grad: _backward(grad, *ctx.size), setup_context=_setup)
