"""Rendered samples in a fixed order, made by processes of their own.

Which samples a batch holds depends on its number alone, so a run may stop anywhere, change the number of processes and
go on with the very same samples.
"""

from __future__ import annotations

import multiprocessing
import queue
import time
from collections.abc import Callable
from multiprocessing import process
from types import TracebackType
from typing import Any

import torch

from pyface3d.errors import Pyface3dError
from pyface3d.train.ranks import Ranks
from pyface3d.train.samples import Render, SampleSet

_ALONE = Ranks()
_AHEAD = 2  # batches that each process keeps ready
_PATIENCE_S = 2.0  # between looks at whether the other side is still there


class SampleFeed:
    """Batches of samples by rising number; a context manager that ends its processes.

    Args:
        make_sampler: makes the sampler where it is used; with ``workers`` it must be picklable.
        render: makes samples with it.
        batch: samples a batch; batch n holds the samples ``n * batch`` to ``(n + 1) * batch``, and beside
            other ranks this one's n is the sequence's ``n * count + rank``.
        first: number of the first batch.
        workers: rendering processes, one thread each; 0 renders in this process (on a GPU).
        ranks: processes that train together, which take the batches in turns.

    Attributes:
        first: as given.
        waited_s: seconds spent so far in `next`.
    """

    def __init__(
        self,
        make_sampler: Callable[[], Any],
        render: Render,
        batch: int,
        first: int = 0,
        workers: int = 0,
        ranks: Ranks = _ALONE,
    ) -> None:
        self._ranks = ranks
        self._render, self._batch, self._next, self.first = render, batch, first, first
        self.waited_s = 0.0
        self._sampler = make_sampler() if workers == 0 else None
        # Spawned, not forked: torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._queues: list[Any] = [context.Queue(maxsize=_AHEAD) for _ in range(workers)]
        self._processes = [
            context.Process(
                target=_render_every,
                args=(make_sampler, render, batch, first + i, workers, ranks, self._queues[i]),
                daemon=True,
            )
            for i in range(workers)
        ]
        for worker in self._processes:
            worker.start()

    def __enter__(self) -> SampleFeed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker, ready in zip(self._processes, self._queues):
            worker.terminate()
            ready.cancel_join_thread()
        for worker in self._processes:
            worker.join()

    def next(self) -> SampleSet:
        """The next batch, on the sampler's device (on the CPU with ``workers``).

        Raises:
            Pyface3dError: a rendering process has failed; the message holds its error.
        """
        began = time.perf_counter()
        number, self._next = self._next, self._next + 1
        if self._sampler is not None:
            samples = self._render(self._sampler, _start(number, self._batch, self._ranks), self._batch)
        else:
            samples = self._receive((number - self.first) % len(self._processes))
        self.waited_s += time.perf_counter() - began
        return samples

    def _receive(self, index: int) -> SampleSet:
        while True:
            try:
                answer = self._queues[index].get(timeout=_PATIENCE_S)
            except queue.Empty:
                if not self._processes[index].is_alive():
                    raise Pyface3dError(
                        f"rendering process {index} ended with code {self._processes[index].exitcode}; "
                        "its own output above says why (out of memory?); resume the run"
                    ) from None
                continue
            if isinstance(answer, str):
                raise Pyface3dError(f"rendering process {index} failed: {answer}")
            kind, arrays = answer
            return kind.of_arrays(arrays)


def _render_every(
    make_sampler: Callable[[], Any], render: Render, batch: int, first: int, stride: int, ranks: Ranks, ready: Any
) -> None:
    """Body of a rendering process: batches ``first``, ``first + stride``, … until the parent is gone."""
    torch.set_num_threads(1)
    try:
        sampler = make_sampler()
        number = first
        while True:
            samples = render(sampler, _start(number, batch, ranks), batch)
            if not _put(ready, (type(samples), samples.arrays())):
                return
            number += stride
    except Exception as error:
        import traceback

        traceback.print_exc()
        _put(ready, f"{type(error).__name__}: {error}")


def _start(number: int, batch: int, ranks: Ranks) -> int:
    return (number * ranks.count + ranks.rank) * batch


def _put(ready: Any, item: object) -> bool:
    """Wait for room; False when the parent has died (killed, it cannot end its children)."""
    parent = process.parent_process()
    while parent is None or parent.is_alive():
        try:
            ready.put(item, timeout=_PATIENCE_S)
            return True
        except queue.Full:
            continue
    ready.cancel_join_thread()
    return False
