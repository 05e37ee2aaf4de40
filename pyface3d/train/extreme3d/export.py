"""The networks of Extreme 3D Faces as files that `systems.extreme3d.predict.read_networks` finds in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pyface3d.convert.checkpoints import SIZES
from pyface3d.io.weights import Asset
from pyface3d.networks.originals import load_original
from pyface3d.networks.published import ORIGINALS
from pyface3d.train.export import half_precision, write_asset

_EXACT = ("mean",)  # colours to 255
_LICENCE = "that of who trained it; started from nothing and with the shipped material, Apache-2.0"


def stored_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored."""
    return half_precision(weights, _EXACT)


def write_network(
    folder: Path,
    name: str,
    weights: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    source: str,
    details: Mapping[str, Any],
) -> Asset:
    """Write ``<folder>/<name>.safetensors`` and its card; other arguments and errors as of `write_asset`.

    Args:
        folder: made when missing.
        name: "extreme3d_bump_generator" or "extreme3d_shape".
        weights: of the averaged network.
        sizes: of the network, where they are not the published ones.

    Raises:
        AssetError: the weights are not those of the network.
    """
    stored = stored_weights(weights)
    load_original(name, stored, sizes)
    what = {"extreme3d_bump_generator": "Relief and face mask", "extreme3d_shape": "Face model coefficients"}[name]
    return write_asset(
        folder / f"{name}.safetensors",
        stored,
        description=f"{what} of a crop of Extreme 3D Faces; trained with pyface3d, not the published weights.",
        licence=_LICENCE,
        source=source,
        made_by=f"pyface3d train extreme3d {'bump' if name == 'extreme3d_bump_generator' else 'shape'}",
        details={"network": name, "input": ORIGINALS[name].inputs, SIZES: dict(sizes), **details},
    )
