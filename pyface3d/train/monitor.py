"""What a run says while it goes: a line on the screen, metrics.csv, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor


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

    def pictures(self, step: int, name: str, image: Tensor) -> None:
        """Record one picture (3, H, W) uint8, a grid for instance."""
        if self._board is not None:
            self._board.add_image(name, image, step)


def grid(image: Tensor, columns: int = 8) -> Tensor:
    """Pictures (B, 3, H, W) uint8 beside each other, (3, rows · H, columns · W); black where there is none."""
    height, width = image.shape[2:]
    rows = -(-len(image) // columns)
    cells = image.new_zeros(rows * columns, 3, height, width)
    cells[: len(image)] = image
    cells = cells.reshape(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4)
    return cells.reshape(3, rows * height, columns * width)
