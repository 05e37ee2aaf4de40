"""Made-up faces before the camera, and wrinkles for them: what the tests of Extreme 3D Faces share."""

from __future__ import annotations

import math

import torch

from pyface3d.face_models import LinearFaceModel
from pyface3d.geometry import rotation_from_euler
from pyface3d.ops import interpolate
from pyface3d.systems.extreme3d import (
    Foundation,
    Relief,
    build_foundation,
)

FLIP = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def stand(model: LinearFaceModel, yaw_deg: float, seed: int | None = None) -> Foundation:
    """The mean face, or somebody, turned by so much 600 mm before the camera."""
    identity = torch.zeros(99)
    if seed is not None:
        identity = torch.randn(99, generator=torch.Generator().manual_seed(seed))
    angles = (torch.tensor([math.radians(value)], dtype=torch.float64) for value in (yaw_deg, 0, 0))
    shift = torch.tensor([3.0, 5.0, 600.0], dtype=torch.float64)
    return build_foundation(model, identity, torch.zeros(29), rotation_from_euler(*angles)[0], shift)


def whole_mask() -> torch.Tensor:
    return torch.full((500, 500), 255, dtype=torch.uint8)


def waves(foundation: Foundation, half: bool = False) -> Relief:
    """Wrinkles of 1.2 mm as a function of where on the face they are, the same on both halves."""
    spots = interpolate(foundation.verts[None], foundation.fragments, foundation.closed)[0]
    mm = 1.2 * torch.sin(spots[..., 1] / 5) * torch.cos(spots[..., 0] / 9)
    drawn = foundation.fragments.face_index[0] >= 0
    if half:  # nothing on the side that is turned away
        drawn &= spots[..., 0] < 0
        mm = mm * (spots[..., 0].abs() / 12).clamp(0, 1)  # and nothing on the middle, where both meet
    return Relief(torch.where(drawn, mm, torch.zeros_like(mm)), whole_mask())
