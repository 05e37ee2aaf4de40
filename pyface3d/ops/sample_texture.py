"""Texture lookups at given coordinates."""

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops._mip_pyramid import add_levels, mip_pyramid

# The values of core/texture.h; "trilinear" has kernels of its own.
FILTERS = {"nearest": 0, "bilinear": 1, "trilinear": 2}
WRAPS = {"clamp": 0, "repeat": 1}
TRILINEAR = FILTERS["trilinear"]


def sample_texture(
    texture: Tensor,
    uvs: Tensor,
    filter: str = "bilinear",
    wrap: str = "clamp",
    uv_footprint: Tensor | None = None,
) -> Tensor:
    """The texture's colour at every coordinate.

    Args:
        texture: (B, Ht, Wt, C), or (1, Ht, Wt, C) for all images, float32 or float64, CPU or CUDA.
        uvs: (B, H, W, 2), u right and v down, (0, 0) the outer corner of the first texel and (1, 1) that of the last:
            texel i has its centre at (i + 0.5) / size.
        filter: "bilinear", "nearest" (the texel that the coordinate lies in), or "trilinear": bilinear lookups in the
            two levels of a mip pyramid whose texels are about as large as the pixel, mixed by the level of detail. That
            is log2 of the longer side of the pixel's footprint in texels, at least 0 (then it is "bilinear") and at
            most the level of one texel. A level has half the texels of the one below along each axis, rounded down;
            a texel of it is the mean of the one below over its own area.
        wrap: beyond [0, 1] "clamp" goes on with the border texel, "repeat" starts over from the other side.
        uv_footprint: for "trilinear", and ignored by the others: (B, H, W, 2, 2), the step of the coordinate from pixel
            to pixel, [[du/dx, du/dy], [dv/dx, dv/dy]], as from the op of that name. A column of it that is NaN counts
            as 0, an infinite one as the coarsest level.

    Returns:
        (B, H, W, C), dtype and device of ``texture``; 0 where a coordinate is NaN or infinite.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``texture`` (through the pyramid) and ``uvs``, once; the footprint is a constant. With "nearest",
    and where clamping holds a coordinate, the gradient of ``uvs`` is 0. Repeatable to the bit on the CPU; on CUDA the
    texture's gradient is added in no fixed order. Source of "trilinear": Williams, Pyramidal Parametrics (1983); level
    of detail as in OpenGL 4.6, 8.14.1.
    """
    modes = check_texture(texture, filter, wrap)
    check_floating("uvs", uvs)
    check_same("uvs", uvs, "texture", texture)
    check_shape("uvs", uvs, ("B", "H", "W", 2))
    check_images(texture, "uvs", uvs)
    texture = texture.contiguous()
    return _forward(texture, uvs.contiguous(), *pyramid_inputs(texture, filter, uv_footprint, uvs.shape[:3]), *modes)


def pyramid_inputs(
    texture: Tensor, filter: str, uv_footprint: Tensor | None, size: tuple[int, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """What "trilinear" needs beside the texture, checked: the levels above it and the footprints of ``size`` pixels."""
    if filter != "trilinear":
        return None, None
    if uv_footprint is None:
        raise InputError(
            'uv_footprint must be given with filter "trilinear": uv_footprint(verts_image, fragments, topology)'
        )
    check_floating("uv_footprint", uv_footprint)
    check_same("uv_footprint", uv_footprint, "texture", texture)
    check_shape("uv_footprint", uv_footprint, (*size, 2, 2))
    return mip_pyramid(texture.detach()), uv_footprint.detach().contiguous()


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
def _forward(
    texture: Tensor, uvs: Tensor, above: Tensor | None, footprint: Tensor | None, filter: int, wrap: int
) -> Tensor:
    colours = texture.new_empty(*uvs.shape[:3], texture.shape[3])
    sizes = (*texture.shape, len(uvs), uvs.shape[1:3].numel())
    if filter == TRILINEAR:
        launch("sample_texture_trilinear", texture, above, uvs, footprint, colours, *sizes, wrap)
    else:
        launch("sample_texture", texture, uvs, colours, *sizes, filter, wrap)
    return colours


@torch.library.custom_op("pyface3d::sample_texture_backward", mutates_args=())
def _backward(
    texture: Tensor,
    uvs: Tensor,
    above: Tensor | None,
    footprint: Tensor | None,
    grad: Tensor,
    filter: int,
    wrap: int,
    wanted: list[bool],
) -> tuple[Tensor, Tensor]:
    """Gradients of texture, with what comes through the levels above it, and uvs; an empty tensor if not wanted."""
    grads = empty_gradients((texture, uvs), wanted)
    of_texture, of_uvs = (g if want else None for g, want in zip(grads, wanted))
    grad = grad.contiguous()
    sizes = (*texture.shape, len(uvs), uvs.shape[1:3].numel())
    if filter == TRILINEAR:
        of_above = empty_levels_gradient(above, of_texture)
        arrays = (texture, above, uvs, footprint, grad, of_texture, of_above, of_uvs)
        launch("sample_texture_trilinear_backward", *arrays, *sizes, wrap, sums=(of_texture, of_above))
        if of_texture is not None and of_above is not None:
            add_levels(of_above, of_texture)
    else:
        pair = (of_texture, of_uvs)
        launch("sample_texture_backward", texture, uvs, grad, *pair, *sizes, filter, wrap, sums=(of_texture,))
    return grads


def _backward_fake(
    texture: Tensor,
    uvs: Tensor,
    above: Tensor | None,
    footprint: Tensor | None,
    grad: Tensor,
    filter: int,
    wrap: int,
    wanted: list[bool],
) -> tuple[Tensor, Tensor]:
    return empty_gradients((texture, uvs), wanted)


def empty_gradients(inputs: tuple[Tensor, Tensor], wanted: list[bool]) -> tuple[Tensor, Tensor]:
    """Room for the gradients that are wanted, and empty tensors for the others."""
    first, second = (torch.empty_like(t) if want else t.new_empty(0) for t, want in zip(inputs, wanted))
    return first, second


def empty_levels_gradient(above: Tensor | None, of_texture: Tensor | None) -> Tensor | None:
    """Room for the gradient of the levels above a texture, when the texture's is wanted."""
    return None if above is None or of_texture is None else torch.empty_like(above)


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.filter, ctx.wrap = inputs
    ctx.save_for_backward(*tensors)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[:2])
    grads = _backward(*ctx.saved_tensors, grad, ctx.filter, ctx.wrap, wanted)
    return *(g if want else None for g, want in zip(grads, wanted)), *(None,) * 4


_forward.register_fake(lambda texture, uvs, *_: texture.new_empty(*uvs.shape[:3], texture.shape[3]))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
