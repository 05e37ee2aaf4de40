"""3DDFA_V2's regressor: MobileNet-V1 from a face crop to pose, shape and expression of its morphable model.

Source: Guo, Zhu, Yang, Yang, Lei, Li, "Towards Fast, Accurate and Stable 3D Dense Face Alignment" (2020), and its
published files ``mb05_120x120.pth`` (width 0.5) and ``mb1_120x120.pth`` (width 1), which users bring.
"""

from __future__ import annotations

from torch import Tensor, nn

NUM_PARAMETERS = 62
CROP_SIZE = 120

# Depthwise blocks: name, channels at width 1, stride.
_BLOCKS = (
    ("dw2_1", 64, 1),
    ("dw2_2", 128, 2),
    ("dw3_1", 128, 1),
    ("dw3_2", 256, 2),
    ("dw4_1", 256, 1),
    ("dw4_2", 512, 2),
    *((f"dw5_{number}", 512, 1) for number in range(1, 6)),
    ("dw5_6", 1024, 2),
    ("dw6", 1024, 1),
)


class DepthwiseBlock(nn.Module):
    """Filter each channel, then mix them; batch norm and ReLU after both."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn_dw = nn.BatchNorm2d(inputs)
        self.conv_sep = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        features = self.relu(self.bn_dw(self.conv_dw(features)))
        out: Tensor = self.relu(self.bn_sep(self.conv_sep(features)))
        return out


class TddfaNet(nn.Module):
    """Whitened parameters (B, 62) of crops (B, 3, 120, 120), BGR, (x - 127.5) / 128 of 0…255.

    Args:
        width: share of MobileNet's channels.
    """

    def __init__(self, width: float = 0.5) -> None:
        super().__init__()
        channels = int(32 * width)
        self.conv1 = nn.Conv2d(3, channels, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        for name, outputs, stride in _BLOCKS:
            self.add_module(name, DepthwiseBlock(channels, int(outputs * width), stride))
            channels = int(outputs * width)
        self.fc = nn.Linear(channels, NUM_PARAMETERS)

    def forward(self, image: Tensor) -> Tensor:
        features = self.relu(self.bn1(self.conv1(image)))
        for name, _, _ in _BLOCKS:
            features = self.get_submodule(name)(features)
        out: Tensor = self.fc(features.mean(dim=(2, 3)))
        return out
