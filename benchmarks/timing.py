"""Medians of repeated calls, and the record every benchmark hands to the report."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import torch


@dataclass(frozen=True)
class Result:
    """One workload on one number of threads.

    Attributes:
        workload: what was done, with its sizes.
        threads: of torch and of our kernels; a peer without threads runs on one whatever this says.
        ours_ms: median of our time.
        peers_ms: name of a peer to the median of its time, in the same run.
        check: what was compared before the clock started, and how far apart it was.
    """

    workload: str
    threads: int
    ours_ms: float
    peers_ms: dict[str, float] = field(default_factory=dict)
    check: str = ""


def median_ms(call: Callable[[], object], seconds: float = 1.0, most: int = 200) -> float:
    """Median time of ``call`` in milliseconds: three calls to warm up, then calls until ``seconds`` have passed.

    Inside ``torch_threads(1)`` this is the processor's time, which other work on the machine does not lengthen; with
    more threads it is the time on the wall.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = time.perf_counter()
    for _ in range(3):
        call()
        if time.perf_counter() - start > 3 * seconds:  # slow peers are not called more than they must
            break
    times: list[float] = []
    start = time.perf_counter()
    while (len(times) < 3 or time.perf_counter() - start < seconds) and len(times) < most:
        before = clock()
        call()
        times.append(clock() - before)
        if times[0] > 3 * seconds:
            break
    return 1e3 * median(times)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Runs the block with ``count`` threads in torch and in our kernels."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
