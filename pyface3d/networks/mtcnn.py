"""The three small networks of MTCNN: proposals on the whole picture, then two rounds of refinement on crops.

Source: Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks"
(2016). Layer sizes are those of the released weights. Input everywhere: (B, 3, H, W) RGB, (value − 127.5) / 128 of
0…255 sRGB. Pooling windows that reach over the edge count (``ceil_mode``), as in the framework of the originals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyface3d.errors import AssetError


class ProposalNet(nn.Module):
    """Fully convolutional: scores every 12 × 12 window at a stride of 2 pixels."""

    WINDOW = 12
    STRIDE = 2

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 10, 3), nn.PReLU(10), nn.MaxPool2d(2, 2, ceil_mode=True)),
            *(nn.Conv2d(10, 16, 3), nn.PReLU(16)),
            *(nn.Conv2d(16, 32, 3), nn.PReLU(32)),
        )
        self.face = nn.Conv2d(32, 2, 1)
        self.box = nn.Conv2d(32, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds of a face (B, h, w) and corner offsets (B, 4, h, w) in window sizes: left, top, right, bottom."""
        features = self.features(image)
        logits = self.face(features)
        return logits[:, 1] - logits[:, 0], self.box(features)


class RefineNet(nn.Module):
    """Judges 24 × 24 crops."""

    SIZE = 24

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(48, 64, 2), nn.PReLU(64)),
            *(nn.Flatten(), nn.Linear(576, 128), nn.PReLU(128)),
        )
        self.face = nn.Linear(128, 2)
        self.box = nn.Linear(128, 4)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds of a face (B,) and corner offsets (B, 4) in crop sizes."""
        features = self.features(crops)
        logits = self.face(features)
        return logits[:, 1] - logits[:, 0], self.box(features)


class OutputNet(nn.Module):
    """Judges 48 × 48 crops and finds five points."""

    SIZE = 48

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 32, 3), nn.PReLU(32), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(32, 64, 3), nn.PReLU(64), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(64, 64, 3), nn.PReLU(64), nn.MaxPool2d(2, 2, ceil_mode=True)),
            *(nn.Conv2d(64, 128, 2), nn.PReLU(128)),
            *(nn.Flatten(), nn.Linear(1152, 256), nn.PReLU(256)),
        )
        self.face = nn.Linear(256, 2)
        self.box = nn.Linear(256, 4)
        self.points = nn.Linear(256, 10)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-odds (B,), corner offsets (B, 4) in crop sizes, and points (B, 5, 2) as fractions of the crop.

        Points: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
        """
        features = self.features(crops)
        logits = self.face(features)
        points = self.points(features).unflatten(1, (2, 5)).transpose(1, 2)  # stored as five x, then five y
        return logits[:, 1] - logits[:, 0], self.box(features), points


class MtcnnNetworks(NamedTuple):
    """The cascade in order."""

    proposal: ProposalNet
    refine: RefineNet
    output: OutputNet


def mtcnn_networks(weights: Mapping[str, Tensor]) -> MtcnnNetworks:
    """Networks in evaluation mode with the given weights.

    Args:
        weights: keys ``proposal.…``, ``refine.…``, ``output.…`` as in the asset ``mtcnn``.

    Raises:
        AssetError: keys or shapes are not those of the three networks; the message lists them.
    """
    networks = MtcnnNetworks(ProposalNet(), RefineNet(), OutputNet())
    modules = nn.ModuleDict(networks._asdict())
    try:
        modules.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise AssetError(f"the weights are not those of MTCNN: {error}; run scripts/convert_mtcnn.py again") from error
    modules.eval().requires_grad_(False)
    return networks


def normalise(image: Tensor) -> Tensor:
    """(…) uint8 or floating 0…255 to the range the networks were trained on."""
    return (image.to(torch.float32) - 127.5) / 128
