"""Values at vertices to values at pixels."""

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology


def interpolate(attributes: Tensor, fragments: Fragments, topology: Topology) -> Tensor:
    """Attributes of the corners of each pixel's face, mixed by the pixel's barycentrics.

    Args:
        attributes: (B, V, C), or (V, C) for all images alike; any C; float32 or float64, CPU or CUDA.
        fragments: of ``rasterize``, same dtype and device.
        topology: the one that was rasterised.

    Returns:
        (B, H, W, C), dtype and device of ``attributes``; 0 where there is no face.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable, once, in ``attributes`` and in ``fragments.barycentrics``. On the CPU every result has the same
    bits for any number of threads; on CUDA the gradient of ``attributes`` adds in no fixed order.
    """
    face_index, barycentrics, _ = fragments
    check_floating("attributes", attributes)
    batch, height, width = face_index.shape
    images = () if attributes.dim() == 2 else (batch,)
    check_shape("attributes", attributes, (*images, topology.num_verts, "C"))
    check_shape("fragments.barycentrics", barycentrics, (batch, height, width, 3))
    check_same("fragments.barycentrics", barycentrics, "attributes", attributes)
    check_device("attributes", attributes, topology)
    return _forward(attributes.contiguous(), topology.faces, face_index.contiguous(), barycentrics.contiguous())


def _sizes(attributes: Tensor, face_index: Tensor) -> tuple[int, bool, int, int, int]:
    """batch, shared, num_verts, num_pixels, channels as the kernels want them."""
    batch, height, width = face_index.shape
    return batch, attributes.dim() == 2, attributes.shape[-2], height * width, attributes.shape[-1]


@torch.library.custom_op("pyface3d::interpolate", mutates_args=())
def _forward(attributes: Tensor, faces: Tensor, face_index: Tensor, barycentrics: Tensor) -> Tensor:
    values = attributes.new_empty(*face_index.shape, attributes.shape[-1])  # the kernel writes every element
    launch("interpolate", attributes, faces, face_index, barycentrics, values, *_sizes(attributes, face_index))
    return values


@torch.library.custom_op("pyface3d::interpolate_backward", mutates_args=())
def _backward(
    attributes: Tensor,
    faces: Tensor,
    face_index: Tensor,
    barycentrics: Tensor,
    grad: Tensor,
    wants_attributes: bool,
    wants_barycentrics: bool,
) -> tuple[Tensor, Tensor]:
    """The wanted gradients; an empty tensor in place of one that is not."""
    grads = _empty_grads(attributes, faces, face_index, barycentrics, grad, wants_attributes, wants_barycentrics)
    launch(
        "interpolate_backward",
        attributes,
        faces,
        face_index,
        barycentrics,
        grad.contiguous(),
        grads[0] if wants_attributes else None,
        grads[1] if wants_barycentrics else None,
        *_sizes(attributes, face_index),
        sums=(grads[0] if wants_attributes else None,),
    )
    return grads


def _empty_grads(
    attributes: Tensor,
    faces: Tensor,
    face_index: Tensor,
    barycentrics: Tensor,
    grad: Tensor,
    wants_attributes: bool,
    wants_barycentrics: bool,
) -> tuple[Tensor, Tensor]:
    return (
        torch.empty_like(attributes) if wants_attributes else attributes.new_empty(0),
        torch.empty_like(barycentrics) if wants_barycentrics else barycentrics.new_empty(0),
    )


def _autograd(ctx, grad):
    wants_attributes, wants_barycentrics = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
    grad_attributes, grad_barycentrics = _backward(*ctx.saved_tensors, grad, wants_attributes, wants_barycentrics)
    return (
        grad_attributes if wants_attributes else None,
        None,
        None,
        grad_barycentrics if wants_barycentrics else None,
    )


_forward.register_fake(
    lambda attributes, faces, face_index, barycentrics: attributes.new_empty(*face_index.shape, attributes.shape[-1])
)
_backward.register_fake(_empty_grads)
_forward.register_autograd(_autograd, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
