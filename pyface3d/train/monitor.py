"""What a run says while it goes: a line on the screen, metrics.csv, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_TRUE, _FOUND, _DENSE = (60, 220, 60), (255, 50, 50), (70, 130, 255)
_ENLARGED = 2


class Monitor:
    """Writes figures of a run's folder; a context manager.

    Args:
        folder: of the run; ``metrics.csv`` is added to, TensorBoard's files go to ``tensorboard``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._table = (folder / "metrics.csv").open("a", newline="")
        self._rows = csv.writer(self._table)
        if self._table.tell() == 0:
            self._rows.writerow(("step", "seconds", "name", "value"))
        self._began = time.monotonic()
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("tensorboard is not installed: figures go to metrics.csv only, no pictures")
        else:
            self._board = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        if self._board is not None:
            self._board.close()

    def figures(self, step: int, group: str, values: Mapping[str, float]) -> None:
        """Record numbers and print them in one line."""
        seconds = round(time.monotonic() - self._began, 1)
        for name, value in values.items():
            self._rows.writerow((step, seconds, f"{group}/{name}", f"{value:.6g}"))
            if self._board is not None:
                self._board.add_scalar(f"{group}/{name}", value, step)
        self._table.flush()
        print(f"{step:7d} {group}: " + "  ".join(f"{name} {value:.4g}" for name, value in values.items()), flush=True)

    def pictures(self, step: int, name: str, image: Tensor, found: Tensor, truth: Tensor | None = None) -> None:
        """Record a grid of crops (B, 3, S, S) uint8 with points (B, P, 2) in fractions of the crop's side.

        True landmarks are green, found ones red, dense ones blue.
        """
        if self._board is not None:
            self._board.add_image(name, picture_grid(image, found, truth), step)


def picture_grid(image: Tensor, found: Tensor, truth: Tensor | None = None, columns: int = 8) -> Tensor:
    """Crops beside each other with their points, (3, H, W) uint8."""
    enlarged = functional.interpolate(image.float(), scale_factor=_ENLARGED, mode="nearest").byte()
    size = enlarged.shape[-1]
    layers = [(found[:, 68:], _DENSE), (found[:, :68], _FOUND)]
    if truth is not None:
        layers.insert(1, (truth[:, :68], _TRUE))
    for points, color in layers:
        _dot(enlarged, (points * size).long(), color)
    rows = -(-len(enlarged) // columns)
    grid = enlarged.new_zeros(rows * columns, 3, size, size)
    grid[: len(enlarged)] = enlarged
    return grid.reshape(rows, columns, 3, size, size).permute(2, 0, 3, 1, 4).reshape(3, rows * size, columns * size)


def _dot(image: Tensor, pixels: Tensor, color: tuple[int, int, int]) -> None:
    """Set pixels (B, P, 2) and their right and lower neighbours; those outside the crops are left out."""
    for offset in ((0, 0), (1, 0), (0, 1), (1, 1)):
        moved = pixels + pixels.new_tensor(offset)
        inside = ((moved >= 0) & (moved < image.shape[-1])).all(-1)
        sample, point = inside.nonzero(as_tuple=True)
        x, y = moved[sample, point].unbind(-1)
        image[sample, :, y, x] = torch.tensor(color, dtype=torch.uint8)
