"""The part network's asset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pyface3d.io.weights import Asset
from pyface3d.networks.face_parts import face_parts_network
from pyface3d.train.export import half_precision, write_asset

NAME = "face_parts"
_LICENCE = (
    "Apache-2.0. The trunk started from that of our landmark network (asset face_points, Apache-2.0), whose own began "
    "with ImageNet weights under Apache-2.0; all else was learnt from synthetic pictures of open material"
)


def write_face_parts(path: Path, weights: Mapping[str, Tensor], source: str, details: dict[str, Any]) -> Asset:
    """Write the part network's weights and their card; arguments and errors as in `write_asset`.

    Raises:
        AssetError: the weights are not those of the network.
    """
    stored = half_precision(weights)
    face_parts_network(stored)
    return write_asset(
        path,
        stored,
        description="Which part of the face, or what before or around it, every pixel of a crop shows: 12 classes.",
        licence=_LICENCE,
        source=source,
        made_by="pyface3d train parts",
        details=details,
    )
