"""Networks of FOCUS: the encoder of a crop, and the U-Net that says where the face is visible.

Source: Li, Morel-Forster, Vetter, Egger, Kortylewski, "Robust Model-based Face Reconstruction through
Weakly-Supervised Outlier Segmentation" (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyface3d.networks.resnet import ResNet

# Slices of the encoder's output that are used, and what each is multiplied with afterwards (FOCUS's own factors).
PARTS = {
    "shape": (slice(0, 199), 1.0),
    "expression": (slice(199, 299), 1.0),
    "colour": (slice(299, 498), 3.0),
    "rotation": (slice(498, 501), 0.3),
    "translation_xy": (slice(501, 503), 1.0),
    "translation_z": (slice(503, 504), 0.005),
    "light": (slice(504, 531), 1.0),
}


class FocusEncoder(ResNet):
    """Raw outputs (B, 1000) of crops (B, 3, 224, 224), RGB of 0…1; ``PARTS`` says what they are."""

    def __init__(self) -> None:
        super().__init__((3, 4, 6, 3))
        self.fc = nn.Linear(self.channels, 1000)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.fc(self.pooled(image))
        return out


def _double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class _Double(nn.Module):
    """Two convolutions with norms; with ``drops`` half of the outputs are left out in training."""

    def __init__(self, inputs: int, outputs: int, *, drops: bool = False) -> None:
        super().__init__()
        self.double_conv = _double(inputs, outputs)
        if drops:
            self.double_conv = nn.Sequential(self.double_conv, nn.Dropout(0.5))

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.double_conv(features)
        return out


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            *(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, 1, 1)),
            *(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
        )

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.up(features)
        return out


class FocusUNet(nn.Module):
    """Visible face (B, 1, H, W) in 0…1 of rendered and real crops stacked (B, 6, H, W), RGB of 0…1; H, W multiples of
    16."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 6
        for level, width in enumerate((64, 128, 256, 512, 1024), start=1):
            self.add_module(f"Conv{level}", _Double(inputs, width, drops=level > 3))
            inputs = width
        for level, width in ((5, 512), (4, 256), (3, 128), (2, 64)):
            self.add_module(f"Up{level}", _Up(2 * width, width))
            self.add_module(f"Up_conv{level}", _Double(2 * width, width))
        self.pool, self.Conv = nn.MaxPool2d(2), nn.Conv2d(64, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = [self.get_submodule("Conv1")(pictures)]
        for level in (2, 3, 4, 5):
            maps.append(self.get_submodule(f"Conv{level}")(self.pool(maps[-1])))
        features = maps.pop()
        for level in (5, 4, 3, 2):
            wide = self.get_submodule(f"Up{level}")(features)
            features = self.get_submodule(f"Up_conv{level}")(torch.cat([maps.pop(), wide], dim=1))
        return torch.sigmoid(5 * self.Conv(features))
