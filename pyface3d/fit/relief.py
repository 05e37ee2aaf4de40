"""Relief from the photo's pixels into the texture chart of a fitted head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pyface3d.detect.relief import ReliefPrediction
from pyface3d.fit.results import FaceFit
from pyface3d.ops import bake_texture, interpolate, rasterize, rasterize_uvs, vertex_normals

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

SIZE = 1024
"""Texels a side of the chart."""
# Skin seen at an angle whose cosine is below the first has no relief, above the second all of it: a pixel there holds
# centimetres of skin, and outlines are dark rims.
_GRAZING, _FACING = 0.25, 0.5
_SOFT_TEXELS = 5  # at 1024: where visibility ends the relief fades over so many texels on either side


def bake_relief(
    model: FaceModel,
    fit: FaceFit,
    prediction: ReliefPrediction,
    skin: NDArray[np.float32],
    size: int = SIZE,
) -> Tensor:
    """Relief of one face laid out in the chart of its model.

    Args:
        model: with a texture chart.
        fit: of one face (batch 1), in pixels of the picture that the prediction is of.
        prediction: of that face.
        skin: (S, S) in [0, 1], where in the prediction's square the relief counts.
        size: texels a side.

    Returns:
        (size, size) mm along the normal, float32, on the fit's device; 0 where the photo shows no skin of this face.
    """
    topology = model.topology
    image = fit.verts_image(model)[0].detach()
    device = image.device
    matrix = torch.from_numpy(np.asarray(prediction.crop.matrix)).to(image)
    flat = image[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    verts = torch.cat([flat, image[:, 2:]], 1)[None]
    height, width = prediction.relief.shape
    shown = rasterize(verts, topology, height, width)
    share = torch.from_numpy(np.ascontiguousarray(skin)).to(device)
    relief = torch.from_numpy(np.ascontiguousarray(prediction.relief)).to(device)
    maps, weight = bake_texture(torch.stack([relief, share], -1)[None], verts, topology, (size, size), shown)
    camera_verts = fit.verts_camera(model).detach()
    facing = (-vertex_normals(camera_verts, topology) * functional.normalize(camera_verts, dim=-1)).sum(-1)
    chart = rasterize_uvs(topology, size, size)
    cosine = interpolate(facing[..., None].float(), chart, topology)[0, ..., 0]
    steep = ((cosine - _GRAZING) / (_FACING - _GRAZING)).clamp(0, 1)
    counts = _softened(weight[0] * maps[0, ..., 1] * steep, max(round(_SOFT_TEXELS * size / SIZE), 1))
    return maps[0, ..., 0] * counts


def _softened(weight: Tensor, reach: int) -> Tensor:
    """Weights (T, T) that fall to 0 before theirs do: the least within ``reach`` texels, averaged over as many."""
    window = 2 * reach + 1
    least = -functional.max_pool2d(-weight[None, None], window, 1, reach)
    return functional.avg_pool2d(least, window, 1, reach, count_include_pad=False)[0, 0]
