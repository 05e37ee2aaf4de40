"""Textured pictures: coordinates made from barycentrics on the way, no uv image in memory."""

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_device, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops._mip_pyramid import add_levels
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.sample_texture import (
    TRILINEAR,
    check_images,
    check_texture,
    empty_gradients,
    empty_levels_gradient,
    pyramid_inputs,
)
from pyface3d.ops.topology import Topology


def render_texture(
    texture: Tensor,
    fragments: Fragments,
    topology: Topology,
    filter: str = "bilinear",
    wrap: str = "clamp",
    uv_footprint: Tensor | None = None,
) -> Tensor:
    """The texture's colour at every pixel that a face covers.

    Args:
        texture: (B, Ht, Wt, C), or (1, Ht, Wt, C) for all images, float32 or float64, CPU or CUDA.
        fragments: what `rasterize` made of the mesh: face_index (B, H, W), barycentrics (B, H, W, 3).
        topology: the triangles that were rasterised, with texture coordinates.
        filter, wrap, uv_footprint: as in `sample_texture`.

    Returns:
        (B, H, W, C), dtype and device of ``texture``; 0 on the background.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``texture`` and ``fragments.barycentrics``, once. Repeatable to the bit on the CPU; on CUDA the
    texture's gradient is added in no fixed order.
    """
    modes = check_texture(texture, filter, wrap)
    face_index, barycentrics = fragments.face_index, fragments.barycentrics
    check_same("fragments.barycentrics", barycentrics, "texture", texture)
    check_shape("fragments.face_index", face_index, ("B", "H", "W"))
    check_shape("fragments.barycentrics", barycentrics, (*face_index.shape, 3))
    check_images(texture, "fragments", face_index)
    check_device("texture", texture, topology)
    if topology.uvs is None or topology.uv_faces is None:
        raise InputError("topology must have texture coordinates, got none; make it with Topology(..., uvs=...)")
    texture = texture.contiguous()
    return _forward(
        texture,
        face_index.contiguous(),
        barycentrics.contiguous(),
        topology.uvs.to(texture.dtype),
        topology.uv_faces,
        *pyramid_inputs(texture, filter, uv_footprint, face_index.shape),
        *modes,
    )


def _sizes(texture: Tensor, face_index: Tensor, uv_faces: Tensor) -> tuple[int, ...]:
    return *texture.shape, len(face_index), face_index.shape[1:].numel(), len(uv_faces)


@torch.library.custom_op("pyface3d::render_texture", mutates_args=())
def _forward(
    texture: Tensor,
    face_index: Tensor,
    barycentrics: Tensor,
    uvs: Tensor,
    uv_faces: Tensor,
    above: Tensor | None,
    footprint: Tensor | None,
    filter: int,
    wrap: int,
) -> Tensor:
    colours = texture.new_empty(*face_index.shape, texture.shape[3])
    source = (face_index, barycentrics, uvs, uv_faces)
    sizes = _sizes(texture, face_index, uv_faces)
    if filter == TRILINEAR:
        launch("render_texture_trilinear", texture, above, *source, footprint, colours, *sizes, wrap)
    else:
        launch("render_texture", texture, *source, colours, *sizes, filter, wrap)
    return colours


@torch.library.custom_op("pyface3d::render_texture_backward", mutates_args=())
def _backward(
    texture: Tensor,
    face_index: Tensor,
    barycentrics: Tensor,
    uvs: Tensor,
    uv_faces: Tensor,
    above: Tensor | None,
    footprint: Tensor | None,
    grad: Tensor,
    filter: int,
    wrap: int,
    wanted: list[bool],
) -> tuple[Tensor, Tensor]:
    """Gradients of texture, with what comes through the levels above it, and barycentrics; empty if not wanted."""
    grads = empty_gradients((texture, barycentrics), wanted)
    of_texture, of_barycentrics = (g if want else None for g, want in zip(grads, wanted))
    source = (face_index, barycentrics, uvs, uv_faces)
    sizes = _sizes(texture, face_index, uv_faces)
    grad = grad.contiguous()
    if filter == TRILINEAR:
        of_above = empty_levels_gradient(above, of_texture)
        arrays = (texture, above, *source, footprint, grad, of_texture, of_above, of_barycentrics)
        launch("render_texture_trilinear_backward", *arrays, *sizes, wrap, sums=(of_texture, of_above))
        if of_texture is not None and of_above is not None:
            add_levels(of_above, of_texture)
    else:
        pair = (of_texture, of_barycentrics)
        launch("render_texture_backward", texture, *source, grad, *pair, *sizes, filter, wrap, sums=(of_texture,))
    return grads


def _backward_fake(
    texture: Tensor,
    face_index: Tensor,
    barycentrics: Tensor,
    uvs: Tensor,
    uv_faces: Tensor,
    above: Tensor | None,
    footprint: Tensor | None,
    grad: Tensor,
    filter: int,
    wrap: int,
    wanted: list[bool],
) -> tuple[Tensor, Tensor]:
    return empty_gradients((texture, barycentrics), wanted)


def _setup(ctx, inputs, output) -> None:
    *tensors, ctx.filter, ctx.wrap = inputs
    ctx.save_for_backward(*tensors)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[2]]
    grads = _backward(*ctx.saved_tensors, grad, ctx.filter, ctx.wrap, wanted)
    of_texture, of_barycentrics = (g if want else None for g, want in zip(grads, wanted))
    return of_texture, None, of_barycentrics, *(None,) * 6


_forward.register_fake(lambda texture, face_index, *_: texture.new_empty(*face_index.shape, texture.shape[3]))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
