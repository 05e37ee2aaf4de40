"""Networks by name. Modules load on first use; weights come from files elsewhere (`pyface3d.io.weights`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyface3d.errors import InputError

if TYPE_CHECKING:
    from torch import nn

_NETWORKS = {
    "face_points": ("pyface3d.networks.face_points", "FacePoints"),
    "face_parts": ("pyface3d.networks.face_parts", "FaceParts"),
    "efficientnet_lite0": ("pyface3d.networks.efficientnet_lite", "EfficientNetLite0"),
    "mtcnn_proposal": ("pyface3d.networks.mtcnn", "ProposalNet"),
    "mtcnn_refine": ("pyface3d.networks.mtcnn", "RefineNet"),
    "mtcnn_output": ("pyface3d.networks.mtcnn", "OutputNet"),
    "tddfa": ("pyface3d.networks.tddfa", "TddfaNet"),
    "faceboxes": ("pyface3d.networks.faceboxes", "FaceBoxes"),
}


def create_network(name: str, **sizes: Any) -> nn.Module:
    """A network with fresh weights, in training mode.

    Args:
        name: ``"face_points"``, ``"face_parts"``, ``"efficientnet_lite0"``, ``"mtcnn_proposal"``, ``"mtcnn_refine"``,
            ``"mtcnn_output"``, ``"tddfa"``, ``"faceboxes"``.
        sizes: arguments of its class, see there.

    Raises:
        InputError: there is no such network, or it has no such size.
    """
    if name not in _NETWORKS:
        raise InputError(f"there is no network {name!r}; there are {', '.join(_NETWORKS)}")
    module, attribute = _NETWORKS[name]
    try:
        return getattr(import_module(module), attribute)(**sizes)
    except TypeError as error:
        raise InputError(f"the network {name!r} cannot be made with sizes {sizes}: {error}") from error
