"""Texture lookups at given coordinates."""

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch

# The values of core/texture.h.
FILTERS = {"nearest": 0, "bilinear": 1}
WRAPS = {"clamp": 0, "repeat": 1}


def sample_texture(texture: Tensor, uvs: Tensor, filter: str = "bilinear", wrap: str = "clamp") -> Tensor:
    """The texture's colour at every coordinate.

    Args:
        texture: (B, Ht, Wt, C), or (1, Ht, Wt, C) for all images, float32 or float64, CPU or CUDA.
        uvs: (B, H, W, 2), u right and v down, (0, 0) the outer corner of the first texel and (1, 1) that of the last:
            texel i has its centre at (i + 0.5) / size.
        filter: "bilinear", or "nearest" (the texel that the coordinate lies in).
        wrap: beyond [0, 1] "clamp" goes on with the border texel, "repeat" starts over from the other side.

    Returns:
        (B, H, W, C), dtype and device of ``texture``; 0 where a coordinate is NaN or infinite.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``texture`` and ``uvs``, once; with "nearest", and where clamping holds a coordinate, the gradient
    of ``uvs`` is 0. Repeatable to the bit on the CPU; on CUDA the texture's gradient is added in no fixed order.
    """
    modes = check_texture(texture, filter, wrap)
    check_floating("uvs", uvs)
    check_same("uvs", uvs, "texture", texture)
    check_shape("uvs", uvs, ("B", "H", "W", 2))
    check_images(texture, "uvs", uvs)
    return _forward(texture.contiguous(), uvs.contiguous(), *modes)


def check_texture(texture: Tensor, filter: str, wrap: str) -> tuple[int, int]:
    """Checks what every op that reads a texture takes; the kernel's numbers for ``filter`` and ``wrap``."""
    check_floating("texture", texture)
    check_shape("texture", texture, ("B", "Ht", "Wt", "C"))
    for name, value, known in (("filter", filter, FILTERS), ("wrap", wrap, WRAPS)):
        if value not in known:
            raise InputError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")
    return FILTERS[filter], WRAPS[wrap]


def check_images(texture: Tensor, name: str, images: Tensor) -> None:
    """One texture, or one for each image; not empty when it is going to be read."""
    if len(texture) != 1 and len(texture) != len(images):
        raise InputError(f"texture must hold 1 or {len(images)} textures, as many as {name}, got {len(texture)}")
    height, width = texture.shape[1:3]
    if height * width >= 2**31:
        raise InputError(f"texture must have fewer than 2^31 texels, got {height} x {width}")
    if height * width == 0 and images.shape[:3].numel():
        raise InputError(f"texture must have at least one texel, got {height} x {width}")


@torch.library.custom_op("pyface3d::sample_texture", mutates_args=())
def _forward(texture: Tensor, uvs: Tensor, filter: int, wrap: int) -> Tensor:
    colours = texture.new_empty(*uvs.shape[:3], texture.shape[3])
    launch("sample_texture", texture, uvs, colours, *texture.shape, len(uvs), uvs.shape[1:3].numel(), filter, wrap)
    return colours


@torch.library.custom_op("pyface3d::sample_texture_backward", mutates_args=())
def _backward(
    texture: Tensor, uvs: Tensor, grad: Tensor, filter: int, wrap: int, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of texture and uvs; an empty tensor for each that is not wanted."""
    grads = _backward_fake(texture, uvs, grad, filter, wrap, wanted)
    launch(
        "sample_texture_backward",
        texture,
        uvs,
        grad.contiguous(),
        *(g if want else None for g, want in zip(grads, wanted)),
        *texture.shape,
        len(uvs),
        uvs.shape[1:3].numel(),
        filter,
        wrap,
    )
    return grads


def _backward_fake(
    texture: Tensor, uvs: Tensor, grad: Tensor, filter: int, wrap: int, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    of_texture, of_uvs = (
        torch.empty_like(like) if want else texture.new_empty(0) for like, want in zip((texture, uvs), wanted)
    )
    return of_texture, of_uvs


def _setup(ctx, inputs, output) -> None:
    texture, uvs, ctx.filter, ctx.wrap = inputs
    ctx.save_for_backward(texture, uvs)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:2])
    grads = _backward(*ctx.saved_tensors, grad, ctx.filter, ctx.wrap, wanted)
    return *(g if want else None for g, want in zip(grads, wanted)), None, None


_forward.register_fake(lambda texture, uvs, filter, wrap: texture.new_empty(*uvs.shape[:3], texture.shape[3]))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
