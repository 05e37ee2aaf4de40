"""From a checkpoint to the asset that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyface3d.io.weights import Asset, Card, write_weights


def half_precision(weights: Mapping[str, Tensor], exact: Sequence[str] = ()) -> dict[str, Tensor]:
    """Weights as they are stored: matrices and kernels float16, all vectors and the parameters named ``exact`` float32.

    Vectors are a hundredth of the bytes and hold variances that float16 would flush to zero. The batch norms' counters
    are left out.
    """

    def stored(key: str, value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        return value.half() if value.ndim > 1 and key not in exact else value.float()

    return {key: stored(key, value) for key, value in weights.items() if not key.endswith("num_batches_tracked")}


def write_asset(
    path: Path,
    stored: Mapping[str, Tensor],
    *,
    description: str,
    licence: str,
    source: str,
    made_by: str,
    details: Mapping[str, Any],
) -> Asset:
    """Write a network's weights and their card.

    Args:
        path: ``…/NAME.safetensors``.
        stored: as `half_precision` gives them.
        description, licence: of the weights.
        source: material of the training samples.
        made_by: the command.
        details: command, commit, samples and figures.

    Raises:
        ValueError: a weight is not finite in half precision.
        OutputError: the file cannot be written.
    """
    if not all(bool(torch.isfinite(value).all()) for value in stored.values()):
        raise ValueError("weights are not finite in half precision; train with a higher weight decay")
    card = Card(
        name=path.stem,
        description=description,
        licence=licence,
        source=source,
        made_by=made_by,
        details={"parameters": sum(value.numel() for value in stored.values()), **details},
    )
    return write_weights(path, dict(stored), card)
