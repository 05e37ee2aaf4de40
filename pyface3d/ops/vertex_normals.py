"""Unit normals of vertices."""

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.topology import Topology


def vertex_normals(verts: Tensor, topology: Topology) -> Tensor:
    """Unit normal of every vertex: the sum of its faces' area vectors (cross products), normalised.

    Args:
        verts: vertex positions in millimetres, (B, V, 3) or (V, 3), float32 or float64, CPU or CUDA.
        topology: F triangles over V vertices, corners anticlockwise seen from outside.

    Returns:
        The shape, dtype and device of ``verts``, unitless. A vertex of no face, one whose faces cancel, and one that
        shares a face with a corner that is not finite get (0, 0, 0), and pass no gradient on.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``verts``, once. Every vertex gathers in the order of its faces, forward and backward, on both
    devices: repeatable to the bit.
    """
    check_floating("verts", verts)
    if verts.dim() == 2:
        return vertex_normals(verts[None], topology)[0]
    check_shape("verts", verts, ("B", topology.num_verts, 3))
    check_device("verts", verts, topology)
    return _forward(verts.contiguous(), topology.faces, *topology.vertex_faces)


@torch.library.custom_op("pyface3d::vertex_normals", mutates_args=())
def _forward(verts: Tensor, faces: Tensor, offsets: Tensor, corners: Tensor) -> Tensor:
    normals = torch.empty_like(verts)
    launch("vertex_normals", verts, faces, offsets, corners, normals, len(verts), verts.shape[1], len(faces))
    return normals


@torch.library.custom_op("pyface3d::vertex_normals_backward", mutates_args=())
def _backward(verts: Tensor, faces: Tensor, offsets: Tensor, corners: Tensor, grad: Tensor) -> Tensor:
    grad_verts = torch.empty_like(verts)
    launch(
        "vertex_normals_backward",
        verts,
        faces,
        offsets,
        corners,
        grad.contiguous(),
        torch.empty_like(verts),
        grad_verts,
        len(verts),
        verts.shape[1],
        len(faces),
    )
    return grad_verts


_forward.register_fake(lambda verts, faces, offsets, corners: torch.empty_like(verts))
_backward.register_fake(lambda verts, faces, offsets, corners, grad: torch.empty_like(verts))
_forward.register_autograd(
    lambda ctx, grad: (_backward(*ctx.saved_tensors, grad), None, None, None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
