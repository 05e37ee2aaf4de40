"""The steps of a system: timed, and on one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: its sums over several differ in their last bits, and a fit makes visible steps of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Write into ``timings`` how many seconds the block took."""
    start = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - start
