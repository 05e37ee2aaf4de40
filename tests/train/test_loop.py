"""The loop: it learns, it is the same from run to run, and it survives being killed."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import DotSampler

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.networks.face_points import FacePoints
from pyface3d.train.checkpoints import read_checkpoint
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.points.changes import Changes
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.points.head_tables import HeadTables
from pyface3d.train.points.measures import answers, sample_measures
from pyface3d.train.points.samples import Samples, render_samples
from pyface3d.train.points.task import PointsTask, start_network

SMALL = PointsConfig(steps=12, batch=4, size=64, reuse=2, pool=3, warm_points=4, warm_up=2)
SAMPLES = render_samples(DotSampler(), 0, 8)
MANY = render_samples(DotSampler(), 100, 40)  # more than a grid of pictures holds


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_trainer(config: PointsConfig, tables: HeadTables) -> Trainer:
    torch.manual_seed(config.seed)
    network = FacePoints(size=config.size, features=64)
    start_network(network, SAMPLES, tables)
    return Trainer(network, PointsTask(config, tables, "cpu", MANY), "cpu")


def run(folder: Path, tables: HeadTables, config: PointsConfig = SMALL, workers: int = 0, **pace: float) -> Trainer:
    trainer = make_trainer(config, tables)
    if (folder / CHECKPOINT).exists():
        trainer.load(read_checkpoint(folder / CHECKPOINT))
    run_training(trainer, DotSampler(), folder, workers=workers, pace=Pace(**pace))
    return trainer


def same(one: Trainer, other: Trainer) -> bool:
    pairs = zip(one.state()["averaged"].values(), other.state()["averaged"].values())
    return one.step == other.step and all(torch.equal(a, b) for a, b in pairs)


def test_learns_eight_samples_by_heart(tables):
    config = PointsConfig(steps=150, batch=8, size=64, warm_points=60, warm_up=10, frozen_stages=0, trunk_norms="batch")
    trainer = make_trainer(config, tables)
    trainer.task.changes = Changes(*[0.0] * 7)
    before = sample_measures(answers(trainer.averaged_copy(), SAMPLES.image), SAMPLES, tables.gram)
    losses = [trainer.train_step(SAMPLES) for _ in range(config.steps)]
    trainer.network.train()
    with torch.no_grad():
        out = trainer.network(SAMPLES.image.float() / 255)  # this batch's own statistics, as in training
    after = sample_measures(out, SAMPLES, tables.gram)
    assert losses[-1]["total"] < losses[0]["total"] / 4
    assert after["landmarks"] < before["landmarks"] / 4
    assert after["dense"] < before["dense"] / 4
    assert after["rotation"] < before["rotation"] / 2
    assert after["score"] == 1 and after["visible"] > 0.95


def test_an_interrupted_run_ends_with_the_same_bits(tables, tmp_path):
    whole = run(tmp_path / "whole", tables)
    for step in range(1, 10):
        assert run(tmp_path / "parts", tables, limit_s=0.0).step == step  # stops after one step
    resumed = run(tmp_path / "parts", tables)
    assert same(whole, resumed)


def test_samples_do_not_depend_on_who_renders_them(tables, tmp_path):
    assert same(run(tmp_path / "here", tables), run(tmp_path / "there", tables, workers=2))


def _run_slowly(folder: str, tables: HeadTables) -> None:
    torch.set_num_threads(1)
    run(Path(folder), tables, PointsConfig(**{**vars(SMALL), "steps": 10_000}), workers=1, checkpoint_s=0.0)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_leaves_no_process(tables, tmp_path):
    child = multiprocessing.get_context("spawn").Process(target=_run_slowly, args=(str(tmp_path), tables))
    child.start()
    deadline = time.monotonic() + 120
    while not (tmp_path / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    renderers = [int(pid) for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()]
    time.sleep(1)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    step = read_checkpoint(tmp_path / CHECKPOINT)["step"]  # whole, at whatever moment the signal came
    assert renderers and step > 0
    resumed = run(tmp_path, tables, PointsConfig(**{**vars(SMALL), "steps": step + 3}))
    assert resumed.step == step + 3
    while any(Path(f"/proc/{pid}").exists() for pid in renderers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in renderers)


def test_steps_that_are_not_finite_change_nothing_and_many_end_the_run(tables):
    trainer = make_trainer(SMALL, tables)
    bad = Samples(**{**vars(SAMPLES), "rotation": SAMPLES.rotation * torch.nan})
    before = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    trainer.train_step(bad)
    assert all(torch.equal(value, before[key]) for key, value in trainer.network.state_dict().items())
    assert trainer.step == 1
    for _ in range(23):
        trainer.train_step(bad)
    with pytest.raises(Pyface3dError, match="not finite"):
        trainer.train_step(bad)


def test_a_checkpoint_of_another_network_is_refused(tables, tmp_path):
    run(tmp_path, tables)
    state = read_checkpoint(tmp_path / CHECKPOINT)
    torch.manual_seed(0)
    other = Trainer(FacePoints(size=96), PointsTask(SMALL, tables, "cpu", MANY), "cpu")
    with pytest.raises(InputError, match="does not fit"):
        other.load(state)
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        read_checkpoint(tmp_path / CHECKPOINT)
