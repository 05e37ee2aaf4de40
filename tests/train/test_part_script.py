"""The command, with the engine's own procedural faces: train, resume with larger crops, export."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyface3d.io.weights import load_weights
from pyface3d.networks.face_parts import face_parts_network
from pyface3d.train.checkpoints import read_checkpoint

_FLAGS = ("--batch", "4", "--train-size", "64", "--validation", "4", "--workers", "0", "--pool", "2", "--trunk", "none")


def command(out: Path, *flags: str) -> str:
    run = subprocess.run(
        [sys.executable, "scripts/train_part_weights.py", "--out", str(out), *_FLAGS, *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_train_resume_export(tmp_path):
    out = tmp_path / "run"
    command(out, "--steps", "1", "--seed", "5")
    assert "resumed at step 1 of 2" in command(out, "--steps", "2", "--resume", "--train-size", "96")
    state = read_checkpoint(out / "checkpoint.pt")
    assert state["step"] == 2 and state["config"]["seed"] == 5 and state["config"]["size"] == 96
    figures = (out / "metrics.csv").read_text()
    assert "train/classes" in figures and "synthetic/iou" in figures

    command(out, "--export", str(tmp_path))
    network = face_parts_network(load_weights("face_parts", tmp_path))  # checks the card's checksum
    assert network.config.widths == (32, 48, 64, 96, 128)
    card = json.loads((tmp_path / "face_parts.card.json").read_text())
    (run,) = card["details"]["runs"]
    assert run["steps"] == 2 and str(tmp_path) not in json.dumps(card)
    assert set(card["details"]["metrics"]["synthetic"]) >= {"iou", "f1", "skin"}


def test_photos_of_unknown_kinds_are_refused(tmp_path):
    run = subprocess.run(
        [sys.executable, "scripts/train_part_weights.py", "--out", str(tmp_path), *_FLAGS, "--validation", "1"]
        + ["--photos", "holidays", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0 and "face_masks_celebahq" in run.stderr
