"""Processes that train together stay the same, teach what one with all their samples would, and resume."""

import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyface3d.train.checkpoints import read_checkpoint
from pyface3d.train.config import RunConfig
from pyface3d.train.feeding import SampleFeed
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.ranks import Ranks, local_device
from pyface3d.train.samples import SampleSet

CONFIG = {"steps": 5, "batch": 3, "size": 32, "reuse": 1, "pool": 1, "warm_up": 0, "clip": 1e9, "ema": 0.5}


class Numbers:
    """Sample i is a picture of the number i."""

    def batch(self, start: int, count: int) -> SampleSet:
        values = torch.arange(start, start + count).reshape(-1, 1, 1, 1)
        return SampleSet(values.expand(-1, 3, 32, 32).to(torch.uint8).contiguous())


def render(sampler: Numbers, start: int, count: int) -> SampleSet:
    return sampler.batch(start, count)


class MeanTask:
    """A line through (number, number / 100): the loss is a mean over samples, so gradients average."""

    render = staticmethod(render)

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.seen: list[list[int]] = []

    def loss_parts(
        self, network: nn.Module, samples: SampleSet, rng: np.random.Generator, step: int
    ) -> dict[str, Tensor]:
        value = samples.image[:, 0, 0, :1].float() / 100
        self.seen.append(samples.image[:, 0, 0, 0].tolist())
        return {"square": (network(value) - value).square().mean()}

    def validate(self, network: nn.Module, step: int, monitor: object) -> dict[str, float]:
        return {}


def trainer_of(ranks: Ranks, **values: float) -> Trainer:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    return Trainer(network, MeanTask(RunConfig(**{**CONFIG, "optimizer": "sgd", **values})), "cpu", ranks)


def _work(rank: int, port: int, folder: str, limit_s: float | None) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    trainer = trainer_of(Ranks.join("cpu"))
    if (Path(folder) / CHECKPOINT).exists():
        trainer.load(read_checkpoint(Path(folder) / CHECKPOINT))
    # Rank 1 alone would go on for ever: it stops because rank 0 says so.
    run_training(trainer, Numbers, Path(folder), pace=Pace(limit_s=limit_s if rank == 0 else 3600.0))
    torch.save((trainer.network.state_dict(), trainer.task.seen), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def together(folder: Path, limit_s: float) -> list[tuple[dict[str, Tensor], list[list[int]]]]:
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(rank, port, str(folder), limit_s)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    (first, seen), (second, others) = together(tmp_path / "two", 3600.0)
    assert seen[0] == [0, 1, 2] and others[0] == [3, 4, 5] and seen[1] == [6, 7, 8]
    assert all(torch.equal(first[key], second[key]) for key in first)
    alone = trainer_of(Ranks(), batch=6)
    run_training(alone, Numbers, tmp_path / "one")
    assert alone.task.seen[0] == [0, 1, 2, 3, 4, 5]
    for key, value in alone.network.state_dict().items():
        torch.testing.assert_close(first[key], value)
    files = sorted(path.name for path in (tmp_path / "two").iterdir())
    written = [name for name in files if name != "tensorboard"]  # a package that a run can do without
    assert written == ["checkpoint.pt", "config.json", "metrics.csv", "rank0.pt", "rank1.pt"]


@pytest.mark.slow
def test_all_stop_when_the_first_says_so_and_go_on_together(tmp_path: Path) -> None:
    together(tmp_path / "whole", 3600.0)
    together(tmp_path / "parts", 0.0)
    assert read_checkpoint(tmp_path / "parts" / CHECKPOINT)["step"] == 1
    resumed = together(tmp_path / "parts", 3600.0)
    whole = read_checkpoint(tmp_path / "whole" / CHECKPOINT)["network"]
    assert all(torch.equal(whole[key], resumed[1][0][key]) for key in whole)


def test_batches_are_taken_in_turns() -> None:
    with SampleFeed(Numbers, render, 2, first=1, ranks=Ranks(1, 3)) as feed:
        assert [feed.next().image[:, 0, 0, 0].tolist() for _ in range(2)] == [[8, 9], [14, 15]]


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert (local_device("cuda"), local_device("cpu")) == ("cuda:2", "cpu")
    monkeypatch.delenv("LOCAL_RANK")
    assert local_device("cuda") == "cuda"
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.join("cpu") == Ranks(0, 1)
