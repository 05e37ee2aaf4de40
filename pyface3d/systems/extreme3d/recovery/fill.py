"""Donors' relief into the holes of a map, joined to what was seen around them in the gradient domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pyface3d.ops import blend_gradients

DATA_WEIGHT = 1e-2
"""Pull of the seen relief to itself, a pixel: what the join costs it fades out over ten pixels."""
FEATHER_PX = 3
LIMITS_MM = (-0.5, 8.0)
"""Recovered relief stays within these, or within what the seen relief and the donors reach where that is more."""


class Donor(NamedTuple):
    """Relief for some of the holes.

    Attributes:
        relief: (H, W) mm over the crop; its differences alone count.
        valid: (H, W) bool, where it holds anything.
        scale: factor on its gradients.
    """

    relief: Tensor
    valid: Tensor
    scale: float


def fill_holes(
    relief: Tensor, domain: Tensor, labels: Tensor, donors: Sequence[Donor], *, compat: bool = False
) -> Tensor:
    """The relief with its holes filled.

    Args:
        relief: (H, W) mm; what it holds in the holes is not used.
        domain: (H, W) bool, the face: outside of it nothing changes.
        labels: (H, W) integers: 0 is seen; hole k takes donor k, counted from 1; a hole without a donor is spanned by
            a membrane.
        compat: as the published maps were made: over the whole picture with its border fixed, nothing pulling the seen
            relief back (so that it drifts), gradients not feathered.

    Returns:
        (H, W), type of ``relief``.
    """
    holes = labels > 0
    seen = domain & ~holes
    target = torch.where(holes, torch.zeros_like(relief), relief)
    shown = donors or [Donor(target, torch.zeros_like(holes), 1.0)]
    stacked = torch.stack([donor.relief.to(relief) for donor in shown])[None]
    valid = torch.stack([donor.valid for donor in shown])[None]
    scale = relief.new_tensor([donor.scale for donor in shown])[None]
    if compat:
        return blend_gradients(target[None], stacked, labels[None], donor_valid=valid, scale=scale)[0]
    filled = blend_gradients(
        target[None],
        stacked,
        labels[None],
        donor_valid=valid,
        scale=scale,
        domain=domain[None],
        border="free",
        data_weight=DATA_WEIGHT,
        feather_px=FEATHER_PX,
    )[0]
    low, high = LIMITS_MM
    for reached in [relief[seen], *(scaled(donor)[holes & donor.valid] for donor in donors)]:
        finite = reached[torch.isfinite(reached)]
        if len(finite):
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return torch.where(holes, filled.clamp(low, high), filled)


def scaled(donor: Donor) -> Tensor:
    """A donor's relief about its own mean, by its scale."""
    middle = donor.relief[donor.valid].mean() if bool(donor.valid.any()) else 0.0
    return (donor.relief - middle) * donor.scale
