"""Crops with their exact relief."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyface3d.train.samples import SampleSet

ELSEWHERE, HIDDEN, SEEN = range(3)
_SKIN = ("skin", "ears", "brows", "lips", "nose")
_MOST_MM = 8.0  # no relief is higher; half precision holds it to a few micrometres


@dataclass(frozen=True)
class ReliefSamples(SampleSet):
    """B crops of the square that the part network looks at.

    Attributes:
        relief: (B, S, S) mm along the normal, float16; unaffected by occluders, 0 off the skin.
        place: (B, S, S) uint8: `ELSEWHERE`, `HIDDEN` (skin behind an occluder) or `SEEN` (skin).
    """

    relief: Tensor
    place: Tensor


def render_relief(sampler: Any, start: int, count: int) -> ReliefSamples:
    """Samples ``start`` to ``start + count`` of a sampler of synthetic faces."""
    from pyface3d.data.synthetic.engine import PART_NAMES

    faces = sampler.batch(start, count, maps=("relief", "parts", "occluder"))
    parts = faces.maps["parts"]
    skin = torch.isin(parts, torch.tensor([PART_NAMES.index(name) for name in _SKIN], device=parts.device).to(parts))
    place = torch.where(faces.maps["occluder"], HIDDEN, SEEN).to(torch.uint8) * skin
    relief = torch.nan_to_num(faces.maps["relief"], 0.0).clamp(-_MOST_MM, _MOST_MM) * skin
    return ReliefSamples(image=faces.image, relief=relief.half(), place=place)
