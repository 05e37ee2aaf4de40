"""How far each vertex of a turned head can be trusted."""

import math

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology


def occlusion_weights(
    verts_image: Tensor,
    fragments: Fragments,
    frontal_fragments: Fragments,
    topology: Topology,
    *,
    tolerance_mm: float = 2.5,
    perspective: bool = True,
    compat: bool = False,
) -> Tensor:
    """Weights in [0, 1] of what a picture shows of a mesh: 1 as well as a frontal view, 0 hidden.

    Every pixel of a frontal view of the same mesh is carried onto the posed vertices and counted at the pixel of the
    posed picture it falls on, if that shows the same surface: one of the 3 x 3 pixels around has its depth to
    ``tolerance_mm``. Where many fall on one pixel, the picture has squeezed much surface into little room. With the
    counts beyond 1 blurred by 5 x 5 (1 4 6 4 1 an axis), the weight of a vertex that ``vertex_visibility`` finds is the
    least exp(−0.2 count) of the 11 x 11 pixels around it. Above 0.75, the limit of the original, no blurred count
    there is more than 1.4.

    Args:
        verts_image: (B, V, 3), x px, y px, depth mm: the posed vertices; float32 or float64, CPU or CUDA.
        fragments: of ``rasterize`` of these vertices, same dtype and device.
        frontal_fragments: of ``rasterize`` of the same mesh seen from the front at about the same scale, (B, Hf, Wf),
            same dtype and device.
        topology: the one that was rasterised.
        tolerance_mm: greatest difference in depth of what is one surface, at least 0.
        perspective: as it was rasterised.
        compat: round blurred counts to whole ones and end them at 255, as the bytes of the original did.

    Returns:
        (B, V), dtype and device of ``verts_image``; 0 for vertices that are hidden, out of the frame, not finite or at
        depth <= 0.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Not differentiable. The same bits in every run, on the CPU for any number of threads: the counts are integers.
    Source: soft symmetry of Extreme 3D Face Reconstruction (CVPR 2018), after Hassner et al., Effective Face
    Frontalization in Unconstrained Images (2015); formulas in csrc/core/occlusion.h.
    """
    check_floating("verts_image", verts_image)
    check_device("verts_image", verts_image, topology)
    batch = len(fragments.face_index)
    check_shape("verts_image", verts_image, (batch, topology.num_verts, 3))
    check_shape("frontal_fragments.face_index", frontal_fragments.face_index, (batch, "Hf", "Wf"))
    for name, tensor in (
        ("fragments.depth", fragments.depth),
        ("frontal_fragments.barycentrics", frontal_fragments.barycentrics),
    ):
        check_same(name, tensor, "verts_image", verts_image)
    if not (tolerance_mm >= 0 and math.isfinite(tolerance_mm)):
        raise ValueError(f"tolerance_mm must be finite and at least 0, got {tolerance_mm}")
    return _forward(
        verts_image.detach().contiguous(),
        topology.faces,
        fragments.face_index.contiguous(),
        fragments.depth.detach().contiguous(),
        frontal_fragments.face_index.contiguous(),
        frontal_fragments.barycentrics.detach().contiguous(),
        float(tolerance_mm),
        bool(perspective),
        bool(compat),
    )


@torch.library.custom_op("pyface3d::occlusion_weights", mutates_args=())
def _forward(
    verts_image: Tensor,
    faces: Tensor,
    face_index: Tensor,
    depth: Tensor,
    frontal_faces: Tensor,
    frontal_barycentrics: Tensor,
    tolerance: float,
    perspective: bool,
    compat: bool,
) -> Tensor:
    weights = verts_image.new_empty(verts_image.shape[:2])  # the kernel writes every element
    launch(
        "occlusion_weights",
        verts_image,
        faces,
        face_index,
        depth,
        frontal_faces,
        frontal_barycentrics,
        torch.empty_like(face_index),
        torch.empty_like(face_index),
        weights,
        *verts_image.shape[:2],
        *face_index.shape[1:],
        frontal_faces[:1].numel(),
        tolerance,
        perspective,
        compat,
    )
    return weights


_forward.register_fake(lambda verts_image, *_: verts_image.new_empty(verts_image.shape[:2]))
