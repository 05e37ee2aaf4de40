"""Processes that train one network together, each on samples of its own, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone it is rank 0 of 1.

    All begin with the same weights and step by the mean of their gradients, so they stay the same. Rank 0 measures,
    speaks and stores. Statistics of batch norms are each rank's own, and rank 0's are kept.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: str) -> Ranks:
        """Meet the others that torchrun has started; nobody where it has not."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def average(self, values: Sequence[Tensor]) -> None:
        """Set tensors to their means over the processes, in place; all on one device, in the same order everywhere."""
        if self.count == 1 or not values:
            return
        flat = torch.cat([value.flatten() for value in values])  # one message instead of hundreds
        distributed.all_reduce(flat)
        for value, mean in zip(values, (flat / self.count).split([value.numel() for value in values])):
            value.copy_(mean.view_as(value))

    def agree(self, answer: bool, device: torch.device) -> bool:
        """What rank 0 answers: clocks differ, and nobody may stop alone."""
        if self.count == 1:
            return answer
        said = torch.tensor(int(answer), device=device)
        distributed.broadcast(said, 0)
        return bool(said)


def local_device(device: str) -> str:
    """The device of this process: torchrun's processes on one machine take one CUDA device each."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device
