"""A texture's chart as a picture: the face of every texel."""

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.topology import Topology

_MAX_SIDE = 2**15


def rasterize_uvs(topology: Topology, height: int, width: int, dtype: torch.dtype = torch.float32) -> Fragments:
    """The face of every texel that a bilinear lookup on the chart can touch.

    A texel belongs to the face over its middle; beside an island, to the nearest face within √2 texels, at that face's
    nearest point. So what `interpolate` or `bake_texture` writes into a texture has no dark seams when it is read back.

    Args:
        topology: F triangles with texture coordinates; those outside [0, 1] have no texels.
        height, width: size of the texture, 0 to 32768.
        dtype: float32 or float64.

    Returns:
        Fragments of batch 1: face_index (1, Ht, Wt) int32, −1 where no face is in reach; barycentrics (1, Ht, Wt, 3);
        depth (1, Ht, Wt), here the distance from the texel's middle to its face in texels, 0 on the face. Where faces
        overlap or are equally near, the lowest index; faces without area in the chart have no texels.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Kept with the topology and returned again for the same size: do not write to it. Not differentiable. The same bits
    every time, on both devices.
    """
    if topology.uvs is None or topology.uv_faces is None:
        raise InputError("topology must have texture coordinates, got none; make it with Topology(..., uvs=...)")
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    for name, side in (("height", height), ("width", width)):
        if not 0 <= side <= _MAX_SIDE:
            raise InputError(f"{name} must lie in [0, {_MAX_SIDE}] texels, got {side}")
    key = (height, width, dtype)
    if key not in topology.charts:
        topology.charts[key] = Fragments(*_forward(topology.uvs.to(dtype), topology.uv_faces, height, width))
    return topology.charts[key]


@torch.library.custom_op("pyface3d::rasterize_uvs", mutates_args=())
def _forward(uvs: Tensor, uv_faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    face_index, barycentrics, distance = _empty_fragments(uvs, uv_faces, height, width)
    keys = torch.empty(height, width, dtype=torch.int64, device=uvs.device)
    launch("rasterize_uvs", uvs, uv_faces, keys, face_index, barycentrics, distance, len(uv_faces), height, width)
    return face_index, barycentrics, distance


def _empty_fragments(uvs: Tensor, uv_faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    size = (1, height, width)
    return uvs.new_empty(size, dtype=torch.int32), uvs.new_empty(*size, 3), uvs.new_empty(size)


_forward.register_fake(_empty_fragments)
