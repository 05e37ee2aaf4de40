"""Crops with what the relief network is to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyface3d.train.samples import SampleSet

_MOST_MM = 12.0  # what the network's maps can say


@dataclass(frozen=True)
class BumpSamples(SampleSet):
    """B crops of Extreme 3D Faces.

    Attributes:
        relief: (B, S, S) mm towards the camera along the axis of the crop, float16; unaffected by occluders and 0 off
            the face.
        face: (B, S, S) bool, the face and glasses on it, whatever else lies over them; without hair.
    """

    relief: Tensor
    face: Tensor


def render_bumps(sampler: Any, start: int, count: int) -> BumpSamples:
    """Samples ``start`` to ``start + count`` of a sampler of synthetic faces that photographs each person once."""
    faces = sampler.batch(start, count, maps=("axial_relief", "face"))
    face = faces.maps["face"]
    relief = torch.nan_to_num(faces.maps["axial_relief"], 0.0).clamp(-_MOST_MM, _MOST_MM) * face
    return BumpSamples(image=faces.image, relief=relief.half(), face=face)
