"""Weights and inputs drawn by the rule of the parity data: what the original networks were run with."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()), 1])


def key_table(shared_data: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a published file."""
    path = shared_data.parent / "specs" / "checkpoints" / f"{name}.tsv"
    if not path.is_file():
        pytest.skip("the tables of published files are not on this machine")
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {key: () if shape == "scalar" else tuple(map(int, shape.split(","))) for key, shape, _ in rows}


def drawn_weights(table: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict with the names and shapes of a table; flow and offsets inside of a video network are smaller."""
    state = {}
    for stored, shape in table.items():
        key = stored.removeprefix("module.")
        rng = _rng(key)
        if key.endswith("num_batches_tracked"):
            state[stored] = torch.tensor(0)
            continue
        if key in ("mean", "std") or key.endswith((".mean", ".std")):
            continue
        if key.endswith("running_mean"):
            values = 0.1 * rng.standard_normal(shape)
        elif key.endswith("running_var"):
            values = rng.uniform(0.5, 1.5, shape)
        elif key.endswith(("weight_u", "weight_v")):
            values = rng.standard_normal(shape)
            values /= np.linalg.norm(values)
        elif key.endswith("bias"):
            values = 0.05 * rng.standard_normal(shape)
        elif len(shape) <= 1:
            values = rng.uniform(0.6, 1.4, shape)
        else:
            values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        state[stored] = torch.from_numpy(values.astype(np.float32))
        state[stored] *= 0.5 if ".spynet." in key else 0.15 if ".conv_offset.6." in key else 1.0
    return state


def recorded(shared_data: Path, name: str) -> tuple[list[Tensor], dict[str, tuple]]:
    """Inputs of the original network; and of each output its shape, positions and values there."""
    path = shared_data / "parity" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("the outputs of the original networks are not on this machine")
    with np.load(path) as arrays:
        inputs = [
            torch.from_numpy(_rng("input:" + key).uniform(low, high, shape).astype(np.float32))
            for key, shape, low, high in json.loads(str(arrays["inputs"]))
        ]
        names = [key.removesuffix("_shape") for key in arrays.files if key.endswith("_shape")]
        return inputs, {n: (tuple(arrays[f"{n}_shape"]), arrays[f"{n}_index"], arrays[f"{n}_value"]) for n in names}
