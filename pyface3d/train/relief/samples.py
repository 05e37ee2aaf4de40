"""Crops with their exact relief."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyface3d.part_labels import FacePart
from pyface3d.train.samples import SampleSet

SKIN = (FacePart.SKIN, FacePart.BROW, FacePart.NOSE, FacePart.LIP, FacePart.EAR)
"""Parts that may have relief."""
_MOST_MM = 8.0  # no relief is higher; half precision holds it to a few micrometres


@dataclass(frozen=True)
class ReliefSamples(SampleSet):
    """B crops of the square that the relief network looks at.

    Attributes:
        relief: (B, S, S) mm along the normal, float16; unaffected by occluders, 0 off the skin.
        seen: (B, S, S) bool, skin that the picture shows.
    """

    relief: Tensor
    seen: Tensor


def render_relief(sampler: Any, start: int, count: int) -> ReliefSamples:
    """Samples ``start`` to ``start + count`` of a sampler of synthetic faces."""
    faces = sampler.batch(start, count, maps=("relief", "segments"))
    segments = faces.maps["segments"]
    seen = torch.isin(segments, segments.new_tensor(SKIN))
    relief = torch.nan_to_num(faces.maps["relief"], 0.0).clamp(-_MOST_MM, _MOST_MM)
    return ReliefSamples(image=faces.image, relief=relief.half(), seen=seen)
