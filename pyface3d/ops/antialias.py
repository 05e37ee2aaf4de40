"""Outlines at less than a pixel, and with them a gradient from coverage to positions."""

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology


def antialias(image: Tensor, fragments: Fragments, verts_image: Tensor, topology: Topology) -> Tensor:
    """Neighbouring pixels mixed where an outline of the mesh passes between them.

    Args:
        image: (B, H, W, C), any C: what was drawn from ``fragments`` (colours, or 1 and 0 for a mask) over any
            background; float32 or float64, CPU or CUDA.
        fragments: of ``rasterize``, same dtype and device.
        verts_image: (B, V, 3), the vertices that were rasterised.
        topology: the one that was rasterised, its faces anticlockwise seen from outside.

    Returns:
        (B, H, W, C), dtype and device of ``image``: within the range of the colours mixed, and the same bits where
        no outline passes.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Rules, for each two pixels of different faces side by side or one above the other:
        * The surface of the nearer one (equal depths: the left or upper one) is followed over the mesh towards the
          middle of the other. It ends at an edge whose other side has no face or one that does not go on beyond the
          edge in the picture: turned away, edge-on, or not drawn (NaN). If it does not end, the farther pixel's
          surface is followed back. If neither ends (two faces of one surface, or two surfaces that cut each other),
          nothing is mixed: inside a surface no bit changes.
        * The edge met at t of the way covers t − 1/2 of the pixel that holds the border of the two: that share of the
          surface's colour goes to the other pixel (t > 1/2), or of the other's colour to the surface's (t < 1/2).
          Pairs side by side answer for edges of 45 degrees and steeper, pairs above each other for flatter ones.
        * Each pair is looked at by itself, so where outlines meet (T-junctions, a nose over a cheek that ends) a pixel
          mixes with each neighbour by that pair's edge: first those left and right, then those above and below.
        * What is thinner than the distance of two pixels and covers no middle stays unseen. Beyond the frame there
          are no pixels and nothing to mix with.
        * An edge of more than two faces, or of two that run along it in the same direction, counts as the end of each
          of them; so do both edges where vertices are doubled along a seam. Mixing there is between the two sides.
        * A surface followed to a corner at or behind the camera (depth ≤ 0) is left as it is.

    Differentiable, once, in ``image`` and in x and y of ``verts_image`` (depth gets 0); which pixels mix is constant.
    For a mask the derivative of its sum is that of the area. On the CPU every result has the same bits for any number
    of threads; on CUDA so do the forward pass and the gradient of ``image``, that of ``verts_image`` adds in no fixed
    order. Source: Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering", section 3.5;
    following the mesh beyond the pixel's own face is ours: csrc/core/outline.h.
    """
    face_index, _, depth = fragments
    check_floating("image", image)
    check_shape("image", image, ("B", "H", "W", "C"))
    size = tuple(image.shape[:3])
    check_shape("fragments.face_index", face_index, size)
    check_shape("fragments.depth", depth, size)
    check_floating("verts_image", verts_image)
    check_shape("verts_image", verts_image, (size[0], topology.num_verts, 3))
    check_same("fragments.depth", depth, "image", image)
    check_same("verts_image", verts_image, "image", image)
    if face_index.dtype != torch.int32 or face_index.device != image.device:
        raise TypeError(
            f"fragments.face_index must be int32 on {image.device}, got {face_index.dtype} on {face_index.device}"
        )
    check_device("image", image, topology)
    return _forward(
        image.contiguous(),
        verts_image.contiguous(),
        depth.detach().contiguous(),
        topology.faces,
        topology.opposite_corners,
        face_index.contiguous(),
    )[0]


@torch.library.custom_op("pyface3d::antialias", mutates_args=())
def _forward(
    image: Tensor, verts_image: Tensor, depth: Tensor, faces: Tensor, opposite_corners: Tensor, face_index: Tensor
) -> tuple[Tensor, Tensor]:
    """The picture, and for each pixel and its neighbours to the right and below the corner that faces the edge
    between them: (B, 2, H, W) int32 codes of csrc/core/outline.h."""
    mixed, outlines = _empty(image, verts_image, depth, faces, opposite_corners, face_index)
    batch, height, width, channels = image.shape
    launch(
        "antialias",
        image,
        verts_image,
        depth,
        faces,
        opposite_corners,
        face_index,
        mixed,
        outlines,
        batch,
        verts_image.shape[1],
        len(faces),
        height,
        width,
        channels,
    )
    return mixed, outlines


def _empty(
    image: Tensor, verts_image: Tensor, depth: Tensor, faces: Tensor, opposite_corners: Tensor, face_index: Tensor
) -> tuple[Tensor, Tensor]:
    batch, height, width, _ = image.shape
    return torch.empty_like(image), face_index.new_empty(batch, 2, height, width)


@torch.library.custom_op("pyface3d::antialias_backward", mutates_args=())
def _backward(
    image: Tensor,
    verts_image: Tensor,
    faces: Tensor,
    opposite_corners: Tensor,
    outlines: Tensor,
    grad: Tensor,
    wants_image: bool,
    wants_verts: bool,
) -> tuple[Tensor, Tensor]:
    grads = _empty_grads(image, verts_image, faces, opposite_corners, outlines, grad, wants_image, wants_verts)
    batch, height, width, channels = image.shape
    launch(
        "antialias_backward",
        image,
        verts_image,
        faces,
        opposite_corners,
        outlines,
        grad.contiguous(),
        grads[0] if wants_image else None,
        grads[1] if wants_verts else None,
        batch,
        verts_image.shape[1],
        height,
        width,
        channels,
        sums=(grads[1] if wants_verts else None,),
    )
    return grads


def _empty_grads(
    image: Tensor,
    verts_image: Tensor,
    faces: Tensor,
    opposite_corners: Tensor,
    outlines: Tensor,
    grad: Tensor,
    wants_image: bool,
    wants_verts: bool,
) -> tuple[Tensor, Tensor]:
    return (
        torch.empty_like(image) if wants_image else image.new_empty(0),
        torch.empty_like(verts_image) if wants_verts else verts_image.new_empty(0),
    )


def _setup_context(ctx, inputs, output) -> None:
    image, verts_image, _, faces, opposite_corners, _ = inputs
    ctx.save_for_backward(image, verts_image, faces, opposite_corners, output[1])
    ctx.mark_non_differentiable(output[1])


def _autograd(ctx, grad, _):
    wants_image, wants_verts = ctx.needs_input_grad[:2]
    grad_image, grad_verts = _backward(*ctx.saved_tensors, grad, wants_image, wants_verts)
    return grad_image if wants_image else None, grad_verts if wants_verts else None, *(None,) * 4


_forward.register_fake(_empty)
_backward.register_fake(_empty_grads)
_forward.register_autograd(_autograd, setup_context=_setup_context)
