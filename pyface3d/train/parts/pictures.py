"""What a run of the part network looks like: crops beside what is in them and what was found."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.part_labels import PART_COLOURS, FacePart
from pyface3d.train.monitor import grid
from pyface3d.train.parts.samples import UNKNOWN

_GREY = 128


def part_grid(image: Tensor, *label_maps: Tensor, columns: int = 4) -> Tensor:
    """Each crop with its label maps to the right of it, (3, rows · S, columns · (1 + maps) · S) uint8.

    Args:
        image: (B, 3, S, S) uint8.
        label_maps: (B, S, S) uint8, numbers of `FacePart` or `UNKNOWN`.
    """
    cells = torch.cat([image, *(drawn_parts(labels) for labels in label_maps)], 3)
    return grid(cells, columns)


def drawn_parts(labels: Tensor) -> Tensor:
    """Numbers of `FacePart` (B, S, S) in their colours, (B, 3, S, S) uint8; `UNKNOWN` is grey."""
    table = torch.full((UNKNOWN + 1, 3), _GREY, dtype=torch.uint8)
    table[: len(FacePart)] = torch.tensor([PART_COLOURS[part] for part in FacePart], dtype=torch.uint8)
    return table[labels.long()].permute(0, 3, 1, 2).contiguous()
