"""Face identity networks: residual networks that keep twice the resolution of the usual and end in 512 numbers.

Source: Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019): IR-SE-50
with squeeze-and-excitation (Hu, Shen, Sun, 2018), and IResNet-50.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.networks.resnet import conv_norm

_DEPTHS, _WIDTHS = (3, 4, 14, 3), (64, 128, 256, 512)
_LAST_MAP = 7 * 7  # of crops of 112²


class _Squeeze(nn.Module):
    """Weight the channels by what they hold in the mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        mean = features.mean(dim=(2, 3), keepdim=True)
        return features * torch.sigmoid(self.fc2(functional.relu(self.fc1(mean))))


class _IrseUnit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        convolution, norm = conv_norm(outputs, outputs, 3, stride)
        self.res_layer = nn.Sequential(
            *(nn.BatchNorm2d(inputs), conv_norm(inputs, outputs, 3)[0], nn.PReLU(outputs)),
            *(convolution, norm, _Squeeze(outputs)),
        )
        same = inputs == outputs
        self.shortcut_layer: nn.Module = (
            nn.MaxPool2d(1, stride) if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride))
        )

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.res_layer(features) + self.shortcut_layer(features)
        return out


class IrSe50(nn.Module):
    """Embeddings (B, 512), not normalised, of crops (B, 3, 112, 112), RGB of -1…1."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(*conv_norm(3, 64, 3), nn.PReLU(64))
        self.output_layer = nn.Sequential(
            *(nn.BatchNorm2d(512), nn.Dropout(0.5), nn.Flatten()),
            *(nn.Linear(512 * _LAST_MAP, 512), nn.BatchNorm1d(512)),
        )
        units, inputs = [], 64
        for depth, width in zip(_DEPTHS, _WIDTHS, strict=True):
            for number in range(depth):
                units.append(_IrseUnit(inputs, width, 2 if number == 0 else 1))
                inputs = width
        self.body = nn.Sequential(*units)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.output_layer(self.body(self.input_layer(image)))
        return out


class _IResNetUnit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1, self.bn2 = conv_norm(inputs, outputs, 3)
        self.prelu = nn.PReLU(outputs)
        self.conv2, self.bn3 = conv_norm(outputs, outputs, 3, stride)
        self.downsample = nn.Sequential(*conv_norm(inputs, outputs, 1, stride)) if stride > 1 else None

    def forward(self, features: Tensor) -> Tensor:
        inner = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(features))))))
        out: Tensor = inner + (features if self.downsample is None else self.downsample(features))
        return out


class IResNet50(nn.Module):
    """Embeddings (B, 512), not normalised, of crops (B, 3, 112, 112), RGB of -1…1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(3, 64, 3)
        self.prelu = nn.PReLU(64)
        inputs = 64
        for stage, (depth, width) in enumerate(zip(_DEPTHS, _WIDTHS, strict=True)):
            units = [
                _IResNetUnit(inputs if number == 0 else width, width, 1 + (number == 0)) for number in range(depth)
            ]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
            inputs = width
        self.bn2 = nn.BatchNorm2d(512)
        self.fc, self.features = nn.Linear(512 * _LAST_MAP, 512), nn.BatchNorm1d(512)

    def shallow(self, image: Tensor) -> Tensor:
        """Maps (B, 64, 56, 56) after the first stage, which say what a place looks like."""
        out: Tensor = self.get_submodule("layer1")(self.prelu(self.bn1(self.conv1(image))))
        return out

    def forward(self, image: Tensor) -> Tensor:
        features = self.shallow(image)
        for stage in (2, 3, 4):
            features = self.get_submodule(f"layer{stage}")(features)
        out: Tensor = self.features(self.fc(self.bn2(features).flatten(1)))
        return out
