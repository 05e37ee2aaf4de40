"""Networks by name. Modules load on first use; weights come from files elsewhere (`pyface3d.io.weights`)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyface3d.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

# Name: module, class, and sizes where one class serves several names.
_NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "face_points": ("face_points", "FacePoints", {}),
    "face_parts": ("face_parts", "FaceParts", {}),
    "relief": ("relief", "ReliefNet", {}),
    "efficientnet_lite0": ("efficientnet_lite", "EfficientNetLite0", {}),
    "mtcnn_proposal": ("mtcnn", "ProposalNet", {}),
    "mtcnn_refine": ("mtcnn", "RefineNet", {}),
    "mtcnn_output": ("mtcnn", "OutputNet", {}),
    "tddfa_mb05": ("tddfa", "TddfaNet", {"width": 0.5}),
    "tddfa_mb1": ("tddfa", "TddfaNet", {"width": 1.0}),
    "faceboxes": ("faceboxes", "FaceBoxes", {}),
    "retinaface_mobilenet025": ("retinaface", "RetinaFace", {"trunk": "mobilenet0.25"}),
    "retinaface_resnet50": ("retinaface", "RetinaFace", {"trunk": "resnet50"}),
    "extreme3d_shape": ("extreme3d", "ShapeRegressor", {}),
    "extreme3d_bump_generator": ("extreme3d", "BumpNet", {}),
    "extreme3d_bump_discriminator": ("extreme3d", "BumpJudge", {}),
    "or3d_regressor": ("or3d", "Or3dRegressor", {}),
    "bisenet_parsing": ("bisenet", "BiSeNet", {}),
    "irse50_identity": ("identity", "IrSe50", {}),
    "focus_iresnet50": ("identity", "IResNet50", {}),
    "focus_encoder": ("focus", "FocusEncoder", {}),
    "focus_unet": ("focus", "FocusUNet", {}),
    "cfrgan_generator": ("cfrgan", "Generator", {}),
    "cfrgan_discriminator": ("cfrgan", "Discriminator", {}),
    "deca_e_flame": ("deca", "DecaEncoder", {"outputs": 236}),
    "deca_e_detail": ("deca", "DecaEncoder", {"outputs": 128}),
    "deca_d_detail": ("deca", "DetailDecoder", {}),
    "tv_e_flame": ("temporal", "TemporalEncoder", {"outputs": 236}),
    "tv_e_detail": ("temporal", "TemporalEncoder", {"outputs": 128}),
    "spynet": ("spynet", "SpyNet", {}),
}


def network_names() -> tuple[str, ...]:
    """What :func:`create_network` can make."""
    return tuple(_NETWORKS)


def create_network(name: str, **sizes: Any) -> nn.Module:
    """A network with fresh weights, in training mode.

    Args:
        name: as :func:`network_names` lists them, for example ``"face_points"``, ``"or3d_regressor"``.
        sizes: arguments of its class, see there.

    Raises:
        InputError: there is no such network, or it has no such size.
    """
    if name not in _NETWORKS:
        raise InputError(f"there is no network {name!r}; there are {', '.join(_NETWORKS)}")
    module, attribute, own = _NETWORKS[name]
    try:
        network: nn.Module = getattr(import_module(f"pyface3d.networks.{module}"), attribute)(**{**own, **sizes})
    except TypeError as error:
        raise InputError(f"the network {name!r} cannot be made with sizes {sizes}: {error}") from error
    return network


def load_original(name: str, state_dict: Mapping[str, Tensor], sizes: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with the weights of a published file; see :func:`pyface3d.networks.originals.load_original`."""
    from pyface3d.networks import originals

    return originals.load_original(name, state_dict, sizes)
