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

        self._bar: Any = None

    def advance(self, step: int, steps: int) -> None:
        """Move the progress bar, where one can be shown: at a terminal, with tqdm installed."""
        if self._bar is None:
            self._bar = _progress_bar(step, steps)
        self._bar.update(step - self._bar.n)

    def say(self, line: str) -> None:
        """Print a line, above the progress bar where there is one."""
        if self._bar is None or getattr(self._bar, "disable", True):
            print(line, flush=True)
        else:
            self._bar.write(line)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.close()
        if self._bar is not None:
            self._bar.close()
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
        self.say(f"{step:7d} {group}: " + "  ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def pictures(self, step: int, name: str, image: Tensor) -> None:
        """Record one picture (3, H, W) uint8, a grid for instance."""
        if self._board is not None:
            self._board.add_image(name, image, step)


class Silence(Monitor):
    """A monitor that keeps everything to itself: of the processes that train together one speaks."""

    def __init__(self) -> None:
        pass

    def advance(self, step: int, steps: int) -> None:
        pass

    def say(self, line: str) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def figures(self, step: int, group: str, values: Mapping[str, float]) -> None:
        pass

    def pictures(self, step: int, name: str, image: Tensor) -> None:
        pass


class _NoBar:
    """Where tqdm is not installed."""

    n = 0

    def update(self, steps: int) -> None: ...

    def close(self) -> None: ...


def _progress_bar(step: int, steps: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return _NoBar()
    return tqdm(initial=step, total=steps, unit="step", disable=None, dynamic_ncols=True)


def grid(image: Tensor, columns: int = 8) -> Tensor:
    """Pictures (B, 3, H, W) uint8 beside each other, (3, rows · H, columns · W); black where there is none."""
    height, width = image.shape[2:]
    rows = -(-len(image) // columns)
    cells = image.new_zeros(rows * columns, 3, height, width)
    cells[: len(image)] = image
    cells = cells.reshape(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4)
    return cells.reshape(3, rows * height, columns * width)
