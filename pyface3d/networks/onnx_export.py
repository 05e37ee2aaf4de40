"""Networks as ONNX files, for other runtimes. Needs the extra ``[onnx]``."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from torch import nn

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.networks.face_parts import STRIDE, FaceParts
from pyface3d.networks.face_points import FacePoints, FacePointsOutput
from pyface3d.networks.relief import SIZE, ReliefNet

_OPSET = 17


def face_points_onnx(network: FacePoints) -> bytes:
    """The landmark network as an ONNX model.

    Input ``image`` (B, 3, S, S) float32, RGB of sRGB values in [0, 1], any B; outputs are those of `FacePointsOutput`
    by name. Batch norms are merged into the convolutions.

    Args:
        network: in evaluation mode, on the CPU.

    Raises:
        InputError: the network is in training mode.
        Pyface3dError: the package onnx is not installed.
    """
    size = network.config.size
    return _exported(network, torch.rand(2, 3, size, size), FacePointsOutput._fields, {0: "batch"})


def face_parts_onnx(network: FaceParts) -> bytes:
    """The part network as an ONNX model.

    Input ``image`` (B, 3, H, W) float32, RGB of sRGB values in [0, 1], any B, H and W multiples of 32; output ``parts``
    (B, 12, H, W), log-odds in the order of `FacePart`. Arguments and errors as of `face_points_onnx`.
    """
    axes = {0: "batch", 2: "height", 3: "width"}
    return _exported(network, torch.rand(2, 3, 2 * STRIDE, 3 * STRIDE), ("parts",), axes)


def relief_onnx(network: ReliefNet, size: int = SIZE) -> bytes:
    """The relief network as an ONNX model.

    Input ``image`` (B, 3, S, S) float32, RGB of sRGB values in [0, 1], any B; output ``relief`` (B, S, S) mm. ``size``
    is S, a multiple of 16. Other arguments and errors as of `face_points_onnx`.
    """
    return _exported(network, torch.rand(2, 3, size, size), ("relief",), {0: "batch"})


def _exported(network: nn.Module, image: torch.Tensor, outputs: Sequence[str], free: dict[int, str]) -> bytes:
    """A network traced with ``image``; ``free`` axes of its input and outputs may have any length."""
    if network.training:
        raise InputError("network must be in evaluation mode, call network.eval() first")
    try:
        import onnx
    except ImportError as error:
        raise Pyface3dError("ONNX export needs the package onnx; pip install 'pyface3d[onnx]'") from error
    stream = io.BytesIO()
    torch.onnx.export(
        _Plain(network).eval(),
        (image,),
        stream,  # type: ignore[arg-type]  # a stream is served, the annotation forgets it
        input_names=["image"],
        output_names=list(outputs),
        dynamic_axes=dict.fromkeys(["image", *outputs], free),
        opset_version=_OPSET,
        dynamo=False,  # the newer exporter needs onnxscript and fixes the batch in some releases
    )
    content = stream.getvalue()
    onnx.checker.check_model(onnx.load_from_string(content))
    return content


class _Plain(nn.Module):
    """The network with a tuple for an answer: exporters know no named ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.network(image)
        return (answer,) if isinstance(answer, torch.Tensor) else tuple(answer)
