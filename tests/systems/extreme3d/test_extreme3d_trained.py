"""Train, export, reconstruct: two steps of a narrow network make a file that photos are reconstructed with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_basel import basel_arrays, write_trimmed

from pyface3d.convert.checkpoints import load_network
from pyface3d.io.meshes import read_ply
from pyface3d.io.weights import ASSETS_DIR
from pyface3d.systems.extreme3d.predict import read_networks

PORTRAIT = ASSETS_DIR / "demo" / "astronaut.png"
SMALL = ("--validation", "1", "--workers", "0", "--print-steps", "1")


def command(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "pyface3d", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_train_export_reconstruct(tmp_path: Path) -> None:
    run, weights, out = (str(tmp_path / name) for name in ("run", "weights", "out"))
    bump = ("train", "extreme3d", "bump", "--out", run)
    command(*bump, "--steps", "2", "--batch", "1", "--size", "52", "--channels", "2", "--pool", "1", *SMALL)
    assert "resumed at step 2 of 3" in command(*bump, "--steps", "3", "--resume", *SMALL)
    figures = (tmp_path / "run" / "metrics.csv").read_text()
    assert "train/bump_slope" in figures and "synthetic/normals" in figures
    command(*bump, "--export", weights, *SMALL)
    card = json.loads((tmp_path / "weights" / "extreme3d_bump_generator.card.json").read_text())
    (record,) = card["details"]["runs"]
    assert record["steps"] == 3 and record["commands"][0].startswith("pyface3d train extreme3d bump")
    assert str(tmp_path) not in json.dumps(card)

    networks = read_networks(tmp_path / "weights")
    assert networks.shape is None and next(networks.bump.parameters()).shape == (3, 3, 3, 3)
    command(
        "reconstruct", str(PORTRAIT), "-o", out, "--system", "extreme3d", "--weights", weights, "--fit", "landmarks"
    )
    report = json.loads((tmp_path / "out" / "astronaut.json").read_text())
    assert report["camera"]
    mesh = read_ply(tmp_path / "out" / "astronaut_withBump_aligned.ply")
    assert np.isfinite(mesh.verts).all() and (mesh.verts[:, 2] != 0).all()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("model", "sizes"), [("head", (70, 0)), ("basel", (99, 99))])
def test_shape_network_of_a_model(model: str, sizes: tuple[int, int], tmp_path: Path) -> None:
    """One step of the whole ResNet-101, and its file: identity of our head, or shape and texture of a Basel model."""
    run, weights = str(tmp_path / "run"), str(tmp_path / "weights")
    if model == "basel":
        model = str(write_trimmed(tmp_path / "BaselFaceModel_mod.h5", basel_arrays()))
    shape = ("train", "extreme3d", "shape", "--out", run)
    command(*shape, "--model", model, "--steps", "1", "--batch", "2", "--pool", "1", *SMALL)
    assert "length" in command(*shape, "--export", weights, *SMALL)
    network = load_network(tmp_path / "weights" / "extreme3d_shape.safetensors")
    assert (network.shapes, network.textures) == sizes
    card = (tmp_path / "weights" / "extreme3d_shape.card.json").read_text()
    assert str(tmp_path) not in card
