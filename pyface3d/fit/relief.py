"""Relief from a photo's pixels into the texture chart of the head that lies under them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pyface3d.detect.relief import ReliefPrediction
from pyface3d.ops import Topology, bake_texture, interpolate, rasterize, rasterize_uvs, vertex_normals

SIZE = 1024
"""Texels a side of the chart."""
# Skin seen at an angle whose cosine is below the first has no relief, above the second all of it: a pixel there holds
# millimetres of skin, and outlines are dark rims.
_GRAZING, _FACING = 0.2, 0.45
_SOFT_TEXELS = 4  # of 1024: where relief ends in the chart it fades over so many texels on either side


def bake_relief(
    prediction: ReliefPrediction,
    seen: NDArray[np.float32],
    verts_image: Tensor,
    verts_camera: Tensor,
    topology: Topology,
    skin: Tensor | None = None,
    size: int = SIZE,
) -> Tensor:
    """Relief of one face laid out in the chart of its head.

    Args:
        prediction: of that face.
        seen: (S, S) in [0, 1], how much of the prediction counts, in its square (`detect.relief.faded`).
        verts_image, verts_camera: (V, 3) the head in the picture that the prediction is of (u px, v px, depth mm), and
            in the camera frame, mm; float32.
        topology: with a chart.
        skin: (V,) in [0, 1], where the head has skin; None everywhere.
        size: texels a side.

    Returns:
        (size, size) mm along the normal, float32; 0 where the photo shows no skin of this face.
    """
    matrix = torch.tensor(prediction.crop.matrix.tolist()).to(verts_image)
    flat = verts_image[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    verts = torch.cat([flat, verts_image[:, 2:]], 1)[None]
    shown = rasterize(verts, topology, *prediction.relief.shape)
    both = torch.from_numpy(np.stack([prediction.relief, seen], -1)).to(verts)
    maps, weight = bake_texture(both[None], verts, topology, (size, size), shown)
    facing = -(vertex_normals(verts_camera[None], topology)[0] * functional.normalize(verts_camera, dim=-1)).sum(-1)
    steep = facing_share(facing)
    usable = steep if skin is None else steep * skin.to(steep)
    chart = rasterize_uvs(topology, size, size)
    share = interpolate(usable[None, :, None].contiguous(), chart, topology)[0, ..., 0]
    counts = _softened(weight[0] * maps[0, ..., 1] * share, max(round(_SOFT_TEXELS * size / SIZE), 1))
    return maps[0, ..., 0] * counts


def facing_share(cosine: Tensor) -> Tensor:
    """How much of the relief counts on skin at this cosine to the line of sight, in [0, 1]."""
    return ((cosine - _GRAZING) / (_FACING - _GRAZING)).clamp(0, 1)


def _softened(weight: Tensor, reach: int) -> Tensor:
    """Weights (T, T) that fall to 0 before theirs do: the least within ``reach`` texels, averaged over as many."""
    window = 2 * reach + 1
    least = -functional.max_pool2d(-weight[None, None], window, 1, reach)
    return functional.avg_pool2d(least, window, 1, reach, count_include_pad=False)[0, 0]
