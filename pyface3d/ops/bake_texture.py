"""Photo to texture."""

import math

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_device, check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.rasterize_uvs import rasterize_uvs
from pyface3d.ops.sample_texture import sample_texture
from pyface3d.ops.topology import Topology


def bake_texture(
    image: Tensor,
    verts_image: Tensor,
    topology: Topology,
    texture_size: tuple[int, int],
    visibility: Fragments | Tensor | None,
    tolerance_mm: float = 1.0,
    perspective: bool = True,
) -> tuple[Tensor, Tensor]:
    """What a photo shows of a mesh, laid out in its texture chart.

    Every texel of the chart (see `rasterize_uvs`) is found on its face, the face's point in the photo, and the photo
    is read there bilinearly.

    Args:
        image: (B, H, W, C), float32 or float64, CPU or CUDA.
        verts_image: (B, V, 3), x and y in pixels of ``image`` and depth in mm, as from ``Camera.project``.
        topology: F triangles over V vertices, with texture coordinates.
        texture_size: (Ht, Wt).
        visibility: what may hide a point. Fragments of ``rasterize`` on this image: of the four pixels that the lookup
            mixes, those count that show the texel's own face, judged by the depth of its plane at the pixel's middle;
            so a texel at an outline or behind the nose gets a low weight or none. Or weights (B, V) in [0, 1] of the
            vertices, mixed over the faces. Or None: nothing hides anything.
        tolerance_mm: greatest difference in depth to Fragments that still is the same surface.
        perspective: as given to ``rasterize``.

    Returns:
        texture (B, Ht, Wt, C), not multiplied by the weight, and weight (B, Ht, Wt) in [0, 1]: visibility, and 0 for
        what is outside the frame, turned away, behind the camera or not finite, and for texels without a face. Where
        the weight is 0 the texture is 0. dtype and device of ``image``.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``image``, once. Repeatable to the bit on the CPU; on CUDA the image's gradient is added in no
    fixed order. Source: the depth test of shadow maps, share by share as in percentage-closer filtering (Reeves et al.
    1987).
    """
    check_floating("image", image)
    check_shape("image", image, ("B", "H", "W", "C"))
    batch, height, width, _ = image.shape
    check_floating("verts_image", verts_image)
    check_same("verts_image", verts_image, "image", image)
    check_shape("verts_image", verts_image, (batch, topology.num_verts, 3))
    check_device("verts_image", verts_image, topology)
    if len(texture_size) != 2:
        raise InputError(f"texture_size must be (Ht, Wt), got {texture_size}")
    if not (tolerance_mm >= 0 and math.isfinite(tolerance_mm)):
        raise InputError(f"tolerance_mm must be finite and at least 0, got {tolerance_mm}")
    depth = vertex_seen = None
    if isinstance(visibility, Fragments):
        depth = visibility.depth.detach().contiguous()
        check_same("visibility.depth", depth, "image", image)
        check_shape("visibility.depth", depth, (batch, height, width))
    elif visibility is not None:
        vertex_seen = visibility.to(image.dtype) if visibility.dtype == torch.bool else visibility
        check_same("visibility", vertex_seen, "image", image)
        check_shape("visibility", vertex_seen, (batch, topology.num_verts))
        vertex_seen = vertex_seen.detach().contiguous()
    chart = rasterize_uvs(topology, *texture_size, dtype=image.dtype)
    image_uvs, weight = _forward(
        verts_image.detach().contiguous(),
        topology.faces,
        chart.face_index,
        chart.barycentrics,
        depth,
        vertex_seen,
        height,
        width,
        float(tolerance_mm),
        bool(perspective),
    )
    if height * width == 0:
        return image.new_zeros(*weight.shape, image.shape[3]), weight
    return sample_texture(image, image_uvs, "bilinear", "clamp"), weight


@torch.library.custom_op("pyface3d::bake_texture", mutates_args=())
def _forward(
    verts_image: Tensor,
    faces: Tensor,
    chart_faces: Tensor,
    chart_barycentrics: Tensor,
    depth: Tensor | None,
    vertex_seen: Tensor | None,
    height: int,
    width: int,
    tolerance: float,
    perspective: bool,
) -> tuple[Tensor, Tensor]:
    """Where each texel is seen in the image, (B, Ht, Wt, 2) in [0, 1] or infinite, and its weight (B, Ht, Wt)."""
    image_uvs, weight = _empty_sightings(verts_image, chart_faces)
    launch(
        "bake_texture",
        verts_image,
        faces,
        chart_faces,
        chart_barycentrics,
        depth,
        vertex_seen,
        image_uvs,
        weight,
        *verts_image.shape[:2],
        chart_faces.numel(),
        height,
        width,
        tolerance,
        perspective,
    )
    return image_uvs, weight


def _empty_sightings(verts_image: Tensor, chart_faces: Tensor) -> tuple[Tensor, Tensor]:
    size = (len(verts_image), *chart_faces.shape[1:])
    return verts_image.new_empty(*size, 2), verts_image.new_empty(size)


_forward.register_fake(lambda verts_image, faces, chart_faces, *_: _empty_sightings(verts_image, chart_faces))
