"""The relief network as the asset that ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pyface3d.io.weights import Asset
from pyface3d.networks.relief import relief_network
from pyface3d.train.export import half_precision, write_asset

NAME = "relief"
_LICENCE = "Apache-2.0"


def write_relief(path: Path, weights: Mapping[str, Tensor], source: str, details: Mapping[str, Any]) -> Asset:
    """Write the network's weights and their card.

    Args:
        path: ``…/relief.safetensors``.
        weights: of the averaged network.
        source: material of the training samples.
        details: command, commit, samples and figures.

    Raises:
        AssetError: the weights are not those of the network.
    """
    stored = half_precision(weights)
    relief_network(stored)
    return write_asset(
        path,
        stored,
        description="Relief of the skin in mm along the normal (wrinkles, folds), from one crop of a face.",
        licence=_LICENCE,
        source=source,
        made_by="pyface3d train relief",
        details=details,
    )
