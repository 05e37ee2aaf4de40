"""State of a run in one file, which is whole at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.io.atomic import atomic_file


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Store tensors, numbers and texts in nested dictionaries and lists (by ``torch.save``, atomically)."""
    with atomic_file(path) as stream:
        torch.save(dict(state), stream)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Undoes `write_checkpoint`; nothing in the file is executed.

    Raises:
        InputError: the file is missing, damaged or not a checkpoint.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged archive raises whatever zipfile or the unpickler stumble over
        raise InputError(f"cannot read the checkpoint {path}: {error}; give one written by a training run") from error
    if not isinstance(state, dict) or "network" not in state:
        raise InputError(f"{path} is not a checkpoint of a training run; give the checkpoint.pt of a run's folder")
    return state


def averaged_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The averaged network's weights in a checkpoint: what is measured and shipped."""
    prefix = "module."
    return {key.removeprefix(prefix): value for key, value in state["averaged"].items() if key.startswith(prefix)}
