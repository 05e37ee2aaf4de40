"""How fast the texture coordinate runs over the picture."""

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_device, check_floating, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology


def uv_footprint(verts_image: Tensor, fragments: Fragments, topology: Topology, perspective: bool = True) -> Tensor:
    """Derivative of the texture coordinate with respect to the pixel, for lookups with the filter "trilinear".

    Args:
        verts_image: (B, V, 3), x px, y px, depth mm: the vertices that were rasterised; float32 or float64.
        fragments: of ``rasterize`` of these vertices; face_index (B, H, W) is read.
        topology: the one that was rasterised, with texture coordinates.
        perspective: as given to ``rasterize``.

    Returns:
        (B, H, W, 2, 2), dtype and device of ``verts_image``, per pixel: [[du/dx, du/dy], [dv/dx, dv/dy]] of the pixel's
        face at the pixel's middle. 0 on the background, and where a face has no finite derivative.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Not differentiable: a level of detail is a constant of the picture. The same bits every time, on both devices.
    Source: the quotient rule on the barycentrics of csrc/core/raster.h; derivation in csrc/core/uv_footprint.h.
    """
    face_index = fragments.face_index
    check_floating("verts_image", verts_image)
    check_shape("fragments.face_index", face_index, ("B", "H", "W"))
    check_shape("verts_image", verts_image, (len(face_index), topology.num_verts, 3))
    check_device("verts_image", verts_image, topology)
    if face_index.device != verts_image.device:
        raise ValueError(f"fragments are on {face_index.device}, but verts_image is on {verts_image.device}")
    if topology.uvs is None or topology.uv_faces is None:
        raise InputError("topology must have texture coordinates, got none; make it with Topology(..., uvs=...)")
    return _forward(
        verts_image.detach().contiguous(),
        topology.faces,
        topology.uvs.to(verts_image.dtype),
        topology.uv_faces,
        face_index.contiguous(),
        bool(perspective),
    )


@torch.library.custom_op("pyface3d::uv_footprint", mutates_args=())
def _forward(
    verts_image: Tensor, faces: Tensor, uvs: Tensor, uv_faces: Tensor, face_index: Tensor, perspective: bool
) -> Tensor:
    footprints = _empty_footprints(verts_image, faces, uvs, uv_faces, face_index, perspective)
    launch(
        "uv_footprint",
        verts_image,
        faces,
        uvs,
        uv_faces,
        face_index,
        footprints,
        *verts_image.shape[:2],
        len(faces),
        *face_index.shape[1:],
        perspective,
    )
    return footprints


def _empty_footprints(
    verts_image: Tensor, faces: Tensor, uvs: Tensor, uv_faces: Tensor, face_index: Tensor, perspective: bool
) -> Tensor:
    return verts_image.new_empty(*face_index.shape, 2, 2)


_forward.register_fake(_empty_footprints)
