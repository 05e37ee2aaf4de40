"""The training loop of every network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.io.atomic import atomic_file
from pyface3d.train.checkpoints import write_checkpoint
from pyface3d.train.config import RunConfig
from pyface3d.train.feeding import SampleFeed
from pyface3d.train.flags import CHECKPOINT_S, PRINT_STEPS, VALIDATION_S
from pyface3d.train.monitor import Monitor, Silence
from pyface3d.train.pool import SamplePool, first_batch
from pyface3d.train.ranks import Ranks
from pyface3d.train.samples import Render
from pyface3d.train.schedule import averaged_network, make_optimizer, set_rates, set_training

CHECKPOINT = "checkpoint.pt"
_MOST_BAD_STEPS = 25  # in a row; then the weights themselves are spoilt
_ALONE = Ranks()
_STREAM = 77  # of random numbers for the changes, apart from those of the samples


class Task(Protocol):
    """What a network learns. A step may depend on the samples, the generator and the step's number alone.

    Attributes:
        config: of the run.
        render: makes its samples, see `pyface3d.train.samples`.
    """

    @property
    def config(self) -> RunConfig: ...

    @property
    def render(self) -> Render: ...

    def loss_parts(self, network: Any, samples: Any, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Change the samples, look at them with the network: the weighted parts of the loss, their sum is minimised.

        Args:
            network: in training mode, channels last.
            samples: rendered ones, on the network's device.
            rng: the source of all random draws.
            step: number of the step.
        """
        ...

    def validate(self, network: Any, step: int, monitor: Monitor) -> dict[str, float]:
        """Measure a network in evaluation mode on fixed samples, and draw what it finds."""
        ...


@dataclass(frozen=True)
class Pace:
    """When a run speaks and stores, in seconds, and when it stops.

    Attributes:
        checkpoint_s, validation_s: between checkpoints and between validations.
        print_steps: steps between lines on the screen.
        limit_s: the run stops (with a checkpoint) after so long; None goes on to the last step.
    """

    checkpoint_s: float = CHECKPOINT_S
    validation_s: float = VALIDATION_S
    print_steps: int = PRINT_STEPS
    limit_s: float | None = None


class Trainer:
    """A network in training, with everything a checkpoint holds.

    A step's samples, changes and dropout depend on the seed and the step's number alone, so a run that was killed and
    resumed ends, on one CPU thread, with the same bits as one that was not.

    Args:
        network: with the weights to start from; a sub-module ``trunk`` with ``stages`` learns at a rate of its own.
        task: what it learns.
        device: where to compute.
        ranks: the processes that train together.
    """

    def __init__(self, network: nn.Module, task: Task, device: torch.device | str, ranks: Ranks = _ALONE):
        # Convolutions of these networks are faster with channels last, on both kinds of device.
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.task, self.config, self.device, self.ranks = task, task.config, torch.device(device), ranks
        set_training(self.network, self.config)
        self.optimizer = make_optimizer(self.network, self.config)
        self.averaged = averaged_network(self.network, self.config.ema)
        self.step = 0
        self.bad_steps = 0

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint stopped.

        Raises:
            InputError: the checkpoint is of another network or another optimiser.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"the checkpoint does not fit this configuration: {error}; resume with the flags of the run"
            ) from error
        for group, fresh in zip(self.optimizer.param_groups, make_optimizer(self.network, self.config).param_groups):
            group["highest"] = fresh["highest"]  # the schedule is the configuration's, not the checkpoint's

    def train_step(self, samples: Any) -> dict[str, float]:
        """One step on rendered samples, on the network's device; returns the parts of the loss.

        A step whose loss or gradient is not finite changes nothing but the count.

        Raises:
            Pyface3dError: many steps in a row were not finite.
        """
        config = self.config
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout
        own = [self.ranks.rank] if self.ranks.rank else []
        rng = np.random.default_rng([config.seed, self.step, _STREAM, *own])
        set_rates(self.optimizer, self.step, config)
        self.optimizer.zero_grad()
        statistics = [value.clone() for value in self.network.buffers()]  # the forward pass changes them
        sums: dict[str, Tensor] = {}
        for some in samples.split(config.accumulate):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                parts = self.task.loss_parts(self.network, some, rng, self.step)
            (torch.stack(list(parts.values())).sum() / config.accumulate).backward()
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value.detach() / config.accumulate
        gradients = [value.grad for value in self.network.parameters() if value.grad is not None]
        self.ranks.average([*gradients, *sums.values()])
        total = torch.stack(list(sums.values())).sum()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        # One transfer for all figures: each would wait for the device.
        numbers = torch.stack([*sums.values(), total, norm]).tolist()
        values = dict(zip([*sums, "total", "gradient"], numbers))
        if math.isfinite(values["total"]) and math.isfinite(values["gradient"]):
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            self.bad_steps = 0
        else:
            self.bad_steps += 1
            for value, kept in zip(self.network.buffers(), statistics):
                value.copy_(kept)
            print(f"step {self.step}: the loss is not finite {values}; left out", flush=True)
            if self.bad_steps >= _MOST_BAD_STEPS:
                raise Pyface3dError(
                    f"{self.bad_steps} steps in a row were not finite; resume from the last checkpoint with a lower "
                    "learning rate"
                )
        self.step += 1
        return values

    def averaged_copy(self) -> Any:
        """The averaged network, in evaluation mode; shares its weights with the running mean."""
        return self.averaged.module.eval()


def run_training(
    trainer: Trainer,
    make_sampler: Callable[[], Any],
    folder: Path,
    *,
    workers: int = 0,
    pace: Pace | None = None,
) -> None:
    """Train to the last step or the time limit; leaves checkpoints, metrics.csv and TensorBoard files in ``folder``.

    Args:
        trainer: fresh or loaded from a checkpoint.
        make_sampler: makes the sampler of the training samples, see `SampleFeed`.
        folder: of the run.
        workers: rendering processes; 0 renders in this one.
        pace: when to store, to measure and to stop.
    """
    config, pace, ranks = trainer.config, pace or Pace(), trainer.ranks
    if ranks.leads:
        with atomic_file(folder / "config.json") as stream:
            stream.write(config.to_json().encode())
    first = first_batch(trainer.step, config)
    feed = SampleFeed(make_sampler, trainer.task.render, config.batch, first, workers, ranks)
    with Monitor(folder) if ranks.leads else Silence() as monitor, feed:
        pool = SamplePool(feed, config, trainer.device)
        began = checked = printed = stored = time.monotonic()
        sums: dict[str, float] = {}
        printed_step, waited = trainer.step, 0.0
        while trainer.step < config.steps:
            for name, value in trainer.train_step(pool.draw(trainer.step)).items():
                sums[name] = sums.get(name, 0.0) + value
            monitor.advance(trainer.step, config.steps)
            now, done = time.monotonic(), trainer.step - printed_step
            if done >= pace.print_steps or trainer.step == config.steps:
                means = {name: value / done for name, value in sums.items()}
                seconds = (now - printed) / done
                speed = {"s_a_step": seconds, "images_a_s": config.batch / seconds}
                speed["waited"] = (feed.waited_s - waited) / (now - printed)
                monitor.figures(trainer.step, "train", means | speed)
                sums, printed, printed_step, waited = {}, now, trainer.step, feed.waited_s
            over = pace.limit_s is not None and ranks.agree(now - began >= pace.limit_s, trainer.device)
            last = over or trainer.step == config.steps
            if ranks.leads and (last or now - stored >= pace.checkpoint_s):
                write_checkpoint(folder / CHECKPOINT, trainer.state())
                stored = time.monotonic()
            if ranks.leads and (last or now - checked >= pace.validation_s):
                trainer.task.validate(trainer.averaged_copy(), trainer.step, monitor)
                checked = time.monotonic()
            if over:
                monitor.say(f"stopped at step {trainer.step} of {config.steps} for the time limit; --resume goes on")
                break
