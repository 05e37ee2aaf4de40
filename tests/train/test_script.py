"""The command, with the engine's own procedural faces: train, resume, export."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyface3d.io.weights import load_weights
from pyface3d.networks.face_points import face_points_network
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint

_FLAGS = ("--batch", "8", "--train-size", "64", "--validation", "8", "--workers", "0", "--imagenet", "none")


def command(out: Path, *flags: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "scripts/train_default_weights.py", "--out", str(out), *_FLAGS, *flags],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_train_resume_export(tmp_path):
    out = tmp_path / "run"
    command(out, "--steps", "2", "--seed", "5")
    assert "resumed at step 2 of 3" in command(out, "--steps", "3", "--resume")
    state = read_checkpoint(out / "checkpoint.pt")
    assert state["step"] == 3 and state["config"]["seed"] == 5 and state["config"]["size"] == 64
    figures = (out / "metrics.csv").read_text()
    assert "train/total" in figures and "synthetic/landmarks" in figures

    command(out, "--export", str(tmp_path))
    weights = load_weights("face_points", tmp_path)  # checks the card's checksum
    card = json.loads((tmp_path / "face_points.card.json").read_text())
    (run,) = card["details"]["runs"]
    assert run["steps"] == 3 and run["samples"] == 8
    assert str(tmp_path) not in json.dumps(card) and "--steps 2" in run["commands"][0]
    assert set(card["details"]["metrics"]["synthetic"]) >= {"landmarks", "dense", "rotation"}
    for key, value in averaged_weights(state).items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(weights[key].to(value.dtype), value, atol=1e-6, rtol=1e-3)
    assert face_points_network(weights).config.size == 64
