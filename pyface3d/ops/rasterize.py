"""Triangles to pixels."""

from typing import Literal

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology

_MAX_SIDE = 2**15  # pixel middles stay exact in float32 with room to spare


def rasterize(
    verts_image: Tensor,
    topology: Topology,
    height: int,
    width: int,
    cull: Literal["back", "none"] = "back",
    perspective: bool = True,
) -> Fragments:
    """The nearest face, its barycentrics and its depth at the middle of every pixel.

    Args:
        verts_image: (B, V, 3), x and y in pixels (the first pixel's middle is (0.5, 0.5), y down) and depth in mm,
            as from ``Camera.project``; float32 or float64, CPU or CUDA.
        topology: F triangles over V vertices; a face is a front face where its corners run anticlockwise to the eye.
        height, width: size of the picture in pixels, 0 to 32768.
        cull: "back" draws front faces only, "none" draws both sides.
        perspective: barycentrics and depth of the 3D point seen through the pixel (pinhole camera); False mixes
            linearly in the image (orthographic or weak perspective).

    Returns:
        Fragments: face_index (B, H, W) int32, barycentrics (B, H, W, 3), depth (B, H, W); −1, 0 and 0 where empty.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Rules:
        * Watertight: a pixel whose middle lies on an edge belongs to exactly one of its two faces (top-left rule);
          a pixel inside a closed mesh is never missed. Faces of no area cover nothing.
        * Equal depths: the face of lower index.
        * Nothing at depth <= 0 is drawn, pixel by pixel. With ``perspective`` a face that reaches behind the camera
          is clipped exactly: its corners there need x and y as the projection formula gives them for negative depth
          (f X / Z + c), which is what ``Camera.project`` returns.
        * Faces with a corner that is NaN, infinite, beyond 1e100 or (with ``perspective``) of depth 0 are not drawn.

    Differentiable, once, in ``verts_image`` through barycentrics and depth; which face a pixel shows is constant.
    On the CPU every result has the same bits for any number of threads; on CUDA the forward pass is repeatable, the
    backward pass adds in no fixed order. Source: homogeneous edge functions (Olano and Greer 1997); derivation in
    csrc/core/raster.h.
    """
    check_floating("verts_image", verts_image)
    check_shape("verts_image", verts_image, ("B", topology.num_verts, 3))
    check_device("verts_image", verts_image, topology)
    for name, side in (("height", height), ("width", width)):
        if not 0 <= side <= _MAX_SIDE:
            raise ValueError(f"{name} must lie in [0, {_MAX_SIDE}] pixels, got {side}")
    if cull not in ("back", "none"):
        raise ValueError(f'cull must be "back" or "none", got {cull!r}')
    barycentrics, depth, face_index = _forward(
        verts_image.contiguous(), topology.faces, height, width, cull == "back", bool(perspective)
    )
    return Fragments(face_index, barycentrics, depth)


@torch.library.custom_op("pyface3d::rasterize", mutates_args=())
def _forward(
    verts_image: Tensor, faces: Tensor, height: int, width: int, cull_back: bool, perspective: bool
) -> tuple[Tensor, Tensor, Tensor]:
    barycentrics, depth, face_index = _empty_fragments(verts_image, faces, height, width, cull_back, perspective)
    batch, num_verts, _ = verts_image.shape
    launch(
        "rasterize",
        verts_image,
        faces,
        face_index,
        barycentrics,
        depth,
        batch,
        num_verts,
        len(faces),
        height,
        width,
        cull_back,
        perspective,
    )
    return barycentrics, depth, face_index


def _empty_fragments(
    verts_image: Tensor, faces: Tensor, height: int, width: int, cull_back: bool, perspective: bool
) -> tuple[Tensor, Tensor, Tensor]:
    size = (len(verts_image), height, width)
    return verts_image.new_empty(*size, 3), verts_image.new_empty(size), verts_image.new_empty(size, dtype=torch.int32)


@torch.library.custom_op("pyface3d::rasterize_backward", mutates_args=())
def _backward(
    verts_image: Tensor,
    faces: Tensor,
    face_index: Tensor,
    grad_barycentrics: Tensor | None,
    grad_depth: Tensor | None,
    perspective: bool,
) -> Tensor:
    grad_verts = torch.empty_like(verts_image)  # the kernel writes every element
    launch(
        "rasterize_backward",
        verts_image,
        faces,
        face_index,
        None if grad_barycentrics is None else grad_barycentrics.contiguous(),
        None if grad_depth is None else grad_depth.contiguous(),
        grad_verts,
        *verts_image.shape[:2],
        *face_index.shape[1:],
        perspective,
        sums=(grad_verts,),
    )
    return grad_verts


def _setup_context(ctx, inputs, output) -> None:
    verts_image, faces, _, _, _, ctx.perspective = inputs
    ctx.save_for_backward(verts_image, faces, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)  # a gradient that nobody gave is not read


def _autograd(ctx, grad_barycentrics, grad_depth, _):
    if grad_barycentrics is None and grad_depth is None:
        return (None,) * 6
    return _backward(*ctx.saved_tensors, grad_barycentrics, grad_depth, ctx.perspective), *(None,) * 5


_forward.register_fake(_empty_fragments)
_backward.register_fake(lambda verts_image, *_: torch.empty_like(verts_image))
_forward.register_autograd(_autograd, setup_context=_setup_context)
