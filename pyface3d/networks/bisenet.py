"""Face parsing in 19 classes.

Source: Yu, Wang, Peng, Gao, Yu, Sang, "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation"
(2018), in the form that published face parsers share: no spatial path, ResNet-18's map at 1/8 in its place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.networks.resnet import ResNet, conv_norm

NUM_CLASSES = 19


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv, self.bn = conv_norm(inputs, outputs, kernel)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(features)))


class _Attention(nn.Module):
    """A convolution whose channels are weighted by what they hold in the mean ("attention refinement")."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _Conv(inputs, outputs, 3)
        self.conv_atten, self.bn_atten = conv_norm(outputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        mean = features.mean(dim=(2, 3), keepdim=True)
        return features * torch.sigmoid(self.bn_atten(self.conv_atten(mean)))


class _Context(nn.Module):
    """ResNet-18's maps, and what the coarse ones say at the size of the finer."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet((2, 2, 2, 2), "basic")
        self.arm16, self.arm32 = _Attention(256, 128), _Attention(512, 128)
        self.conv_head32, self.conv_head16 = _Conv(128, 128, 3), _Conv(128, 128, 3)
        self.conv_avg = _Conv(512, 128, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, eighth, sixteenth, last = self.resnet.stages(image)
        coarse = self.arm32(last) + self.conv_avg(last.mean(dim=(2, 3), keepdim=True))
        coarse = self.conv_head32(functional.interpolate(coarse, size=sixteenth.shape[2:], mode="nearest"))
        fine = self.arm16(sixteenth) + coarse
        fine = self.conv_head16(functional.interpolate(fine, size=eighth.shape[2:], mode="nearest"))
        return eighth, fine, coarse


class _Fusion(nn.Module):
    """Join two maps and weight the channels ("feature fusion")."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = _Conv(256, 256, 1)
        self.conv1, self.conv2 = nn.Conv2d(256, 64, 1, bias=False), nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, eighth: Tensor, context: Tensor) -> Tensor:
        features = self.convblk(torch.cat([eighth, context], dim=1))
        mean = features.mean(dim=(2, 3), keepdim=True)
        return features + features * torch.sigmoid(self.conv2(functional.relu(self.conv1(mean))))


class _Output(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv = _Conv(inputs, width, 3)
        self.conv_out = nn.Conv2d(width, NUM_CLASSES, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv_out(self.conv(features))
        return out


class BiSeNet(nn.Module):
    """Logits (B, 19, H, W) of pictures (B, 3, H, W), RGB less ImageNet's mean, by its deviation.

    What a class is depends on the weights: published files order them in two ways. ``conv_out16`` and ``conv_out32``
    are the heads of the training, stored and never run here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cp, self.ffm = _Context(), _Fusion()
        self.conv_out, self.conv_out16, self.conv_out32 = _Output(256, 256), _Output(128, 64), _Output(128, 64)

    def forward(self, image: Tensor) -> Tensor:
        eighth, context, _ = self.cp(image)
        logits = self.conv_out(self.ffm(eighth, context))
        return functional.interpolate(logits, size=image.shape[2:], mode="bilinear", align_corners=True)
