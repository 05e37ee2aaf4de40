"""Where a face lies in the crop, from its 68 points: the frame in which things are held before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CELLS = 32  # per side, at which coverage is counted


@dataclass(frozen=True)
class FaceFrame:
    """Places and directions of B faces in crop pixels.

    Attributes:
        points: (B, 68, 2) px, iBUG order.
        center: (B, 2) px, middle of the points' box along ``right`` and ``down``.
        right: (B, 2) unit vector to the right of the picture when the head is upright.
        down: (B, 2) unit vector, from the brows to the chin.
        width, height: (B,) px, extent of the points along both.
        turn: (B,) about -0.5 … 0.5: how far the nose lies to the right of the middle of the jaw's ends, in widths.
    """

    points: Tensor
    center: Tensor
    right: Tensor
    down: Tensor
    width: Tensor
    height: Tensor
    turn: Tensor

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, 2) px of a place given in half widths to the right of and half heights below the middle."""
        across, along = (x * self.width / 2)[:, None], (y * self.height / 2)[:, None]
        return self.center + across * self.right + along * self.down

    def of(self, index: Tensor) -> FaceFrame:
        """The frames of some of the faces, (n,) int64."""
        return FaceFrame(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def face_frame(points: Tensor) -> FaceFrame:
    """The frame of (B, 68, 2) points; "down" goes from eyes and brows to mouth and chin, so profiles have one too."""
    upper = points[:, 17:48].mean(1) * 0.5 + points[:, [27]].mean(1) * 0.5
    lower = points[:, [8, 57, 62, 66]].mean(1)
    down = torch.nn.functional.normalize(lower - upper, dim=1)
    right = torch.stack([down[:, 1], -down[:, 0]], 1)
    x, y = (points * right[:, None]).sum(2), (points * down[:, None]).sum(2)
    low = torch.stack([x.amin(1), y.amin(1)], 1)
    high = torch.stack([x.amax(1), y.amax(1)], 1)
    middle = (low + high) / 2
    center = middle[:, :1] * right + middle[:, 1:] * down
    width, height = (high - low).clamp_min(1).unbind(1)
    turn = (x[:, 30] - (x[:, 0] + x[:, 16]) / 2) / width
    return FaceFrame(points, center, right, down, width, height, turn)


def face_cells(points: Tensor, size: int, cells: int = CELLS) -> Tensor:
    """Which cells of a grid over the crop are the face's.

    Args:
        points: (B, 68, 2) px of an S x S crop.
        size: S px.
        cells: N along each side.

    Returns:
        (B, N, N) float 0 or 1: inside the outline of jaw and brows, the brows' line lifted to the middle of the
        forehead; cells outside the crop do not exist, so a face at the edge has fewer.
    """
    brows, jaw = points[:, 17:27].flip(1), points[:, :17]
    forehead = brows + 0.35 * (points[:, [27]] - points[:, [33]])
    outline = torch.cat([jaw, forehead], 1)
    following = outline.roll(-1, 1)
    at = (torch.arange(cells, device=points.device, dtype=points.dtype) + 0.5) * (size / cells)
    (x0, y0), (x1, y1) = outline.unbind(2), following.unbind(2)
    # A row crosses an edge at one place: where, per edge and row; beyond the picture for edges it does not cross.
    rise = torch.where((y1 - y0).abs() < 1e-6, torch.ones_like(y0), y1 - y0)
    share = (at[:, None] - y0[:, None]) / rise[:, None]
    crossed = (y0[:, None] > at[:, None]) != (y1[:, None] > at[:, None])
    place = torch.where(crossed, x0[:, None] + share * (x1 - x0)[:, None], -1.0)
    to_the_right = (place[:, :, None] > at[:, None]).sum(3)
    return (to_the_right % 2).to(points.dtype)


def coverage(cells: Tensor, cover: Tensor) -> Tensor:
    """(B,) share of the face's cells (B, 32, 32) under ``cover`` (B, S, S); 0 where no cell is the face's."""
    coarse = torch.nn.functional.interpolate(cover[:, None], size=(CELLS, CELLS), mode="area")[:, 0]
    return (coarse * cells).sum((1, 2)) / cells.sum((1, 2)).clamp_min(1)
