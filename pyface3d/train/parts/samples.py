"""What one training step of the part network sees: crops, and what every pixel of them shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pyface3d.train.samples import SampleSet

UNKNOWN = 255
"""In label maps: nothing is to be learnt of this pixel."""


@dataclass(frozen=True)
class PartSamples(SampleSet):
    """B crops.

    Attributes:
        segments: (B, S, S) uint8, numbers of `FacePart` or `UNKNOWN`.
    """

    segments: Tensor


def render_parts(sampler: Any, start: int, count: int) -> PartSamples:
    """Samples ``start`` to ``start + count`` of a `pyface3d.data.synthetic.SyntheticFaces` without empty crops.

    Crops are only taken where a face was detected, so pictures without one teach nothing here; should the sampler make
    some, they are unknown.
    """
    faces = sampler.batch(start, count, maps=("segments",))
    segments = faces.maps["segments"].clone()
    segments[~faces.is_face] = UNKNOWN
    return PartSamples(faces.image, segments)
