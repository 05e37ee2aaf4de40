"""Unit normals of triangles."""

import torch
from torch import Tensor

from pyface3d.ops._checks import check_floating, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.topology import Topology


def face_normals(verts: Tensor, topology: Topology) -> Tensor:
    """Unit normal of every triangle.

    Args:
        verts: vertex positions in millimetres, (B, V, 3) or (V, 3), float32 or float64, CPU or CUDA.
        topology: F triangles over V vertices, corners anticlockwise seen from outside.

    Returns:
        (B, F, 3) or (F, 3), dtype and device of ``verts``, unitless; a triangle of no area gives (0, 0, 0).

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``verts``, once. Bitwise repeatable on the CPU; on CUDA the backward pass adds in no fixed
    order, unless torch asks for deterministic algorithms. Source: the cross product; no paper needed.
    """
    check_floating("verts", verts)
    if verts.dim() == 2:
        return face_normals(verts[None], topology)[0]
    check_shape("verts", verts, ("B", topology.num_verts, 3))
    return _forward(verts.contiguous(), topology.faces)


@torch.library.custom_op("pyface3d::face_normals", mutates_args=())
def _forward(verts: Tensor, faces: Tensor) -> Tensor:
    normals = verts.new_empty(len(verts), len(faces), 3)  # the kernel writes every element
    launch("face_normals", verts, faces, normals, len(verts), verts.shape[1], len(faces))
    return normals


@torch.library.custom_op("pyface3d::face_normals_backward", mutates_args=())
def _backward(verts: Tensor, faces: Tensor, grad: Tensor) -> Tensor:
    grad_verts = torch.empty_like(verts)
    launch(
        "face_normals_backward",
        verts,
        faces,
        grad.contiguous(),
        grad_verts,
        len(verts),
        verts.shape[1],
        len(faces),
        sums=(grad_verts,),
    )
    return grad_verts


_forward.register_fake(lambda verts, faces: verts.new_empty(len(verts), len(faces), 3))
_backward.register_fake(lambda verts, faces, grad: torch.empty_like(verts))
_forward.register_autograd(
    lambda ctx, grad: (_backward(*ctx.saved_tensors, grad), None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
