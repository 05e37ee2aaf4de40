"""Which vertices a rasterised picture shows."""

import math

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology


def vertex_visibility(
    verts_image: Tensor, fragments: Fragments, topology: Topology, tolerance_mm: float = 2.5
) -> Tensor:
    """True for every vertex that can be seen in the picture.

    A vertex is seen when it lies in the frame, in front of the camera, and one of the 3 x 3 pixels around it shows
    either a face the vertex belongs to or a surface whose depth differs from the vertex's by no more than
    ``tolerance_mm``. So an answer is right to about one pixel.

    Args:
        verts_image: (B, V, 3), x px, y px, depth mm: the vertices that were rasterised; float32 or float64.
        fragments: of ``rasterize`` of these vertices, same dtype and device.
        topology: the one that was rasterised.
        tolerance_mm: greatest difference in depth, at least 0; 0 leaves the faces alone to decide.

    Returns:
        (B, V) bool; False for vertices that are NaN, infinite or at depth <= 0.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Not differentiable. Source: the depth test of Extreme 3D Face Reconstruction (CVPR 2018) with its 2.5 mm.
    """
    check_floating("verts_image", verts_image)
    check_shape("verts_image", verts_image, (len(fragments.face_index), topology.num_verts, 3))
    check_same("fragments.depth", fragments.depth, "verts_image", verts_image)
    check_device("verts_image", verts_image, topology)
    if not (tolerance_mm >= 0 and math.isfinite(tolerance_mm)):
        raise ValueError(f"tolerance_mm must be finite and at least 0, got {tolerance_mm}")
    return _forward(
        verts_image.detach().contiguous(),
        topology.faces,
        fragments.face_index.contiguous(),
        fragments.depth.detach().contiguous(),
        float(tolerance_mm),
    )


@torch.library.custom_op("pyface3d::vertex_visibility", mutates_args=())
def _forward(verts_image: Tensor, faces: Tensor, face_index: Tensor, depth: Tensor, tolerance: float) -> Tensor:
    visible = verts_image.new_empty(verts_image.shape[:2], dtype=torch.bool)  # the kernel writes every element
    launch(
        "vertex_visibility",
        verts_image,
        faces,
        face_index,
        depth,
        visible,
        *verts_image.shape[:2],
        *face_index.shape[1:],
        tolerance,
    )
    return visible


_forward.register_fake(
    lambda verts_image, faces, face_index, depth, tolerance: verts_image.new_empty(
        verts_image.shape[:2], dtype=torch.bool
    )
)
