"""The training loop of the landmark network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.io.atomic import atomic_file
from pyface3d.networks.face_points import NUM_LANDMARKS, FacePoints
from pyface3d.train.augmentation import Changes, change_samples
from pyface3d.train.checkpoints import write_checkpoint
from pyface3d.train.config import TrainConfig
from pyface3d.train.feeding import SampleFeed
from pyface3d.train.head_tables import HeadTables
from pyface3d.train.measures import answers, photo_measures, sample_measures
from pyface3d.train.monitor import Monitor
from pyface3d.train.objective import loss_parts
from pyface3d.train.photos import PhotoSet
from pyface3d.train.pool import SamplePool, first_batch
from pyface3d.train.samples import Sampler, Samples
from pyface3d.train.schedule import averaged_network, make_optimizer, set_rates, set_training

CHECKPOINT = "checkpoint.pt"
_MOST_BAD_STEPS = 25  # in a row; then the weights themselves are spoilt
_STREAM = 77  # of random numbers for the changes, apart from those of the samples
_PICTURES = 32


@dataclass(frozen=True)
class Pace:
    """When a run speaks and stores, in seconds, and when it stops.

    Attributes:
        checkpoint_s, validation_s: between checkpoints and between validations.
        print_steps: steps between lines on the screen.
        limit_s: the run stops (with a checkpoint) after so long; None goes on to the last step.
    """

    checkpoint_s: float = 120.0
    validation_s: float = 300.0
    print_steps: int = 50
    limit_s: float | None = None


class Trainer:
    """A network in training, with everything a checkpoint holds.

    A step's samples, changes and dropout depend on the seed and the step's number alone, so a run that was killed and
    resumed ends, on one CPU thread, with the same bits as one that was not.

    Args:
        network: fresh, with ImageNet weights in its trunk, or with earlier weights.
        config: of the run.
        tables: of the head model.
        device: where to compute.
    """

    def __init__(self, network: FacePoints, config: TrainConfig, tables: HeadTables, device: torch.device | str):
        # Convolutions of this network are faster with channels last, on both kinds of device.
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.device = config, torch.device(device)
        self.tables = tables.to(device)
        self.network.dense_mirror.copy_(tables.mirror.points[NUM_LANDMARKS:] - NUM_LANDMARKS)
        set_training(self.network, config)
        self.optimizer = make_optimizer(self.network, config)
        self.averaged = averaged_network(self.network, config.ema)
        self.step = 0
        self.bad_steps = 0
        self._changes = Changes() if config.occluders else Changes(covered=0.0)

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

    def train_step(self, samples: Samples) -> dict[str, float]:
        """One step on rendered samples, on the network's device; returns the parts of the loss.

        A step whose loss or gradient is not finite changes nothing but the count.

        Raises:
            Pyface3dError: many steps in a row were not finite.
        """
        config = self.config
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout
        rng = np.random.default_rng([config.seed, self.step, _STREAM])
        image, truth = change_samples(samples, self.tables.mirror, rng, self._changes)
        set_rates(self.optimizer, self.step, config)
        self.optimizer.zero_grad()
        statistics = [value.clone() for value in self.network.buffers()]  # the forward pass changes them
        out = self.network(image.contiguous(memory_format=torch.channels_last))
        parts = loss_parts(out, truth, self.tables.gram, config, self.step)
        total = torch.stack(list(parts.values())).sum()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        # One transfer for all figures: each would wait for the device.
        numbers = torch.stack([*parts.values(), total, norm]).detach().tolist()
        values = dict(zip([*parts, "total", "gradient"], numbers))
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

    def averaged_copy(self) -> FacePoints:
        """The averaged network, in evaluation mode; shares its weights with the running mean."""
        network = self.averaged.module
        assert isinstance(network, FacePoints)
        return network.eval()


def start_points(network: FacePoints, samples: Samples) -> None:
    """Set the mean shape from which the network predicts offsets."""
    network.start_from(samples.points[samples.is_face].mean(0))


def run_training(
    trainer: Trainer,
    make_sampler: Callable[[], Sampler],
    folder: Path,
    *,
    validation: Samples,
    photos: PhotoSet | None = None,
    workers: int = 0,
    pace: Pace | None = None,
) -> None:
    """Train to the last step or the time limit; leaves checkpoints, metrics.csv and TensorBoard files in ``folder``.

    Args:
        trainer: fresh or loaded from a checkpoint.
        make_sampler: makes the sampler of the training samples, see `SampleFeed`.
        folder: of the run.
        validation: fixed synthetic samples, on the CPU.
        photos: annotated photos to look at.
        workers: rendering processes; 0 renders in this one.
        pace: when to store, to measure and to stop.
    """
    config, pace = trainer.config, pace or Pace()
    with atomic_file(folder / "config.json") as stream:
        stream.write(config.to_json().encode())
    first = first_batch(trainer.step, config)
    with Monitor(folder) as monitor, SampleFeed(make_sampler, config.batch, first, workers) as feed:
        pool = SamplePool(feed, config, trainer.device)
        began = checked = printed = stored = time.monotonic()
        sums: dict[str, float] = {}
        printed_step, waited = trainer.step, 0.0
        while trainer.step < config.steps:
            for name, value in trainer.train_step(pool.draw(trainer.step)).items():
                sums[name] = sums.get(name, 0.0) + value
            now, done = time.monotonic(), trainer.step - printed_step
            if done >= pace.print_steps or trainer.step == config.steps:
                means = {name: value / done for name, value in sums.items()}
                seconds = (now - printed) / done
                speed = {"s_a_step": seconds, "images_a_s": config.batch / seconds}
                speed["waited"] = (feed.waited_s - waited) / (now - printed)
                monitor.figures(trainer.step, "train", means | speed)
                sums, printed, printed_step, waited = {}, now, trainer.step, feed.waited_s
            over = pace.limit_s is not None and now - began >= pace.limit_s
            last = over or trainer.step == config.steps
            if last or now - stored >= pace.checkpoint_s:
                write_checkpoint(folder / CHECKPOINT, trainer.state())
                stored = time.monotonic()
            if last or now - checked >= pace.validation_s:
                validate(trainer, monitor, validation, photos)
                checked = time.monotonic()
            if over:
                print(f"stopped at step {trainer.step} of {config.steps} for the time limit; --resume goes on")
                break


def validate(trainer: Trainer, monitor: Monitor, validation: Samples, photos: PhotoSet | None) -> dict[str, float]:
    """Measure the averaged network on fixed samples and on photos, and draw what it finds."""
    network, step = trainer.averaged_copy(), trainer.step
    out = answers(network, validation.image)
    figures = sample_measures(out, validation, trainer.tables.gram.cpu())
    monitor.figures(step, "synthetic", figures)
    monitor.pictures(
        step, "synthetic", validation.image[:_PICTURES], out.points[:_PICTURES], validation.points[:_PICTURES]
    )
    if photos is not None:
        out = answers(network, photos.image)
        measured = photo_measures(out, photos.points)
        monitor.figures(step, "photos", measured)
        monitor.pictures(step, "photos", photos.image[:_PICTURES], out.points[:_PICTURES], photos.points[:_PICTURES])
        figures |= {f"photos_{name}": value for name, value in measured.items()}
    return figures
