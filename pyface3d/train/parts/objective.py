"""The loss of the part network."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.losses import class_loss, near_borders, overlap_loss
from pyface3d.part_labels import VISIBLE_FACE, FacePart
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.parts.samples import UNKNOWN

SHARES: dict[FacePart, float] = {
    FacePart.BACKGROUND: 0.38,
    FacePart.SKIN: 0.17,
    FacePart.BROW: 0.0076,
    FacePart.EYE: 0.004,
    FacePart.NOSE: 0.016,
    FacePart.LIP: 0.0075,
    FacePart.MOUTH: 0.0018,
    FacePart.HAIR: 0.16,
    FacePart.GLASSES: 0.024,
    FacePart.OCCLUDER: 0.14,
    FacePart.NECK: 0.075,
    FacePart.EAR: 0.007,
}
"""Share of the pixels of synthetic crops that show each part."""


def class_weights(balance: float) -> Tensor:
    """Weight of a pixel of every class, 1 on average over pixels: its rarity to the power ``balance``, (12,)."""
    shares = torch.tensor([SHARES[part] for part in FacePart])
    weight = shares**-balance
    return weight / (weight * shares).sum() * shares.sum()


def loss_parts(logits: Tensor, labels: Tensor, weights: Tensor, config: PartsConfig) -> dict[str, Tensor]:
    """The weighted parts of the loss by name; their sum is minimised.

    Args:
        logits: the network's answers, (B, 12, S, S).
        labels: numbers of `FacePart` or `UNKNOWN`, (B, S, S) uint8.
        weights: of the classes, from `class_weights`, (12,).
        config: of the run.
    """
    known = labels != UNKNOWN
    weight = torch.cat([weights, weights.new_zeros(UNKNOWN + 1 - len(weights))])[labels.long()]
    log_share = logits.log_softmax(1)
    parts = {"classes": class_loss(log_share, labels, weight * (1 + config.border * near_borders(labels)))}
    if config.overlap:
        first, last = VISIBLE_FACE[0], VISIBLE_FACE[-1]  # they are neighbours in the order of classes
        face = log_share[:, first : last + 1].exp().sum(1)
        parts["overlap"] = config.overlap * overlap_loss(face, (labels >= first) & (labels <= last), known)
    return parts
