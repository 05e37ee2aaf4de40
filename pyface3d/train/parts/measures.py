"""Figures of the part network on labelled crops."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyface3d.networks.face_parts import FaceParts
from pyface3d.part_labels import VISIBLE_FACE, FacePart
from pyface3d.train.parts.samples import UNKNOWN


@torch.no_grad()
def found_parts(network: FaceParts, image: Tensor, batch: int = 32) -> Tensor:
    """Classes that a network in evaluation mode sees in uint8 crops (B, 3, S, S): (B, S, S) uint8, on the CPU."""
    device = next(network.parameters()).device
    parts = [network(part.to(device).float() / 255).argmax(1).to(torch.uint8).cpu() for part in image.split(batch)]
    return torch.cat(parts)


def part_measures(found: Tensor, truth: Tensor) -> dict[str, float]:
    """Figures of label maps (B, S, S), in per cent, over all known pixels.

    Of the visible face: accuracy, precision, recall, f1, iou; iou of every class that the truth has, by its name; the
    mean of those.
    """
    known = truth != UNKNOWN
    found, truth = found[known].long(), truth[known].long()
    count = len(FacePart)
    table = torch.bincount(truth * count + found, minlength=count * count).reshape(count, count).double()
    both = table.diagonal()
    union = table.sum(0) + table.sum(1) - both
    parts = {part.name.lower(): float(100 * both[part] / union[part]) for part in FacePart if table[part].sum() > 0}
    face = torch.tensor([part in VISIBLE_FACE for part in FacePart])
    hit = float(table[face][:, face].sum())
    missed, wrong = float(table[face][:, ~face].sum()), float(table[~face][:, face].sum())
    return {
        "accuracy": _percent(float(table.sum()) - missed - wrong, float(table.sum())),
        "precision": _percent(hit, hit + wrong),
        "recall": _percent(hit, hit + missed),
        "f1": _percent(2 * hit, 2 * hit + missed + wrong),
        "iou": _percent(hit, hit + missed + wrong),
        "mean_iou": sum(parts.values()) / len(parts) if parts else math.nan,
        **parts,
    }


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan
