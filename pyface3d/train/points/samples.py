"""What one training step of the landmark network sees: crops and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pyface3d.train.samples import SampleSet

_FARTHEST = 3.0  # sides of the crop from its middle


class Sampler(Protocol):
    """Makes labelled faces; the same ones for the same numbers, see `pyface3d.data.synthetic.SyntheticFaces`."""

    def batch(self, start: int, count: int) -> Any:
        """Faces ``start`` to ``start + count``, with the fields of `pyface3d.data.synthetic.FaceBatch`."""
        ...


@dataclass(frozen=True)
class Samples(SampleSet):
    """B labelled crops on one device.

    Attributes:
        points: (B, 388, 2) 68 iBUG points and 320 dense ones, in fractions of the crop's side.
        visible: (B, 388) bool, seen in the crop.
        rotation: (B, 3, 3) model to camera, as seen along the viewing ray of the crop.
        identity, expression: (B, 70) and (B, 52), coefficients of ``head``.
        coefficients_known: (B,) bool, False where those two are not to be learnt.
        is_face: (B,) bool; where it is False nothing but the score is to be learnt.
    """

    points: Tensor
    visible: Tensor
    rotation: Tensor
    identity: Tensor
    expression: Tensor
    coefficients_known: Tensor
    is_face: Tensor


def render_samples(sampler: Sampler, start: int, count: int) -> Samples:
    """Samples ``start`` to ``start + count`` of a sampler.

    A face whose labels are not finite, or lie far outside the crop (it reaches behind the camera), counts as none
    instead of spoiling the step.
    """
    faces = sampler.batch(start, count)
    size = faces.image.shape[-1]
    points = torch.cat([faces.points68, faces.dense], dim=1).float() / size
    rotation, identity = faces.rotation.float(), faces.identity.float()
    expression = faces.expression.float().clamp(0, 1)
    labels = (points, rotation, identity, expression)
    finite = torch.stack([torch.isfinite(value).flatten(1).all(1) for value in labels]).all(0)
    finite &= ((points - 0.5).abs() < _FARTHEST).flatten(1).all(1)
    points, rotation, identity, expression = (torch.nan_to_num(value, 0.0, 0.0, 0.0) for value in labels)
    return Samples(
        image=faces.image,
        points=points,
        visible=torch.cat([faces.visible68, faces.visible_dense], dim=1),
        rotation=rotation,
        identity=identity,
        expression=expression,
        coefficients_known=faces.coefficients_known & finite,
        is_face=faces.is_face & finite,
    )
