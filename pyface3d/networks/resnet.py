"""Residual networks, once for every network that has one inside.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2016). Names of parts are those of the
published weight files (``conv1``, ``bn1``, ``layer1.0.conv1``, ``downsample.0``, …).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512)


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution that keeps the size at stride 1, and the batch norm that stands in for its bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut; ``widening`` is how many times more channels come out."""

    widening = 1

    def __init__(self, inputs: int, width: int, stride: int, stride_on: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(inputs, width, 3, stride)
        self.conv2, self.bn2 = conv_norm(width, width, 3)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(features)))))
        out: Tensor = self.relu(inner + (features if self.downsample is None else self.downsample(features)))
        return out


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions beside a shortcut.

    ``stride_on`` says which of them skips pixels: "first" as in the paper and its Caffe weights, "middle" as in most
    later ones ("v1.5").
    """

    widening = 4

    def __init__(self, inputs: int, width: int, stride: int, stride_on: str) -> None:
        super().__init__()
        first, middle = (stride, 1) if stride_on == "first" else (1, stride)
        self.conv1, self.bn1 = conv_norm(inputs, width, 1, first)
        self.conv2, self.bn2 = conv_norm(width, width, 3, middle)
        self.conv3, self.bn3 = conv_norm(width, 4 * width, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(inner)))))
        out: Tensor = self.relu(inner + (features if self.downsample is None else self.downsample(features)))
        return out


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    return None if inputs == outputs and stride == 1 else nn.Sequential(*conv_norm(inputs, outputs, 1, stride))


class ResNet(nn.Module):
    """The trunk, without a head.

    Args:
        depths: blocks of the four stages: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-50, (3, 4, 23, 3) ResNet-101.
        block: "basic" or "bottleneck".
        stride_on: which convolution of a bottleneck skips pixels, "first" or "middle".
        pool: the pooling after the first convolution: "padded" by a pixel all round, or "ceil": not padded, its last
            window reaching over the edge. At even sizes both halve, one pixel apart.
    """

    def __init__(
        self,
        depths: Sequence[int],
        block: Literal["basic", "bottleneck"] = "bottleneck",
        *,
        stride_on: Literal["first", "middle"] = "middle",
        pool: Literal["padded", "ceil"] = "padded",
    ) -> None:
        super().__init__()
        kind = BasicBlock if block == "basic" else Bottleneck
        self.conv1, self.bn1 = conv_norm(3, 64, 7, 2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool == "padded" else nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        inputs = 64
        for stage, (depth, width) in enumerate(zip(depths, _WIDTHS, strict=True)):
            blocks = []
            for number in range(depth):
                blocks.append(kind(inputs, width, 2 if stage > 0 and number == 0 else 1, stride_on))
                inputs = width * kind.widening
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.channels = inputs

    def stages(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps of the four stages at 1/4, 1/8, 1/16 and 1/32 of the size of ``image`` (B, 3, H, W)."""
        return self.stages_after(self.maxpool(self.relu(self.bn1(self.conv1(image)))))

    def stages_after(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same from what stands before the first stage, (B, 64, H, W), at 1, 1/2, 1/4 and 1/8 of its size."""
        first = self.get_submodule("layer1")(features)
        second = self.get_submodule("layer2")(first)
        third = self.get_submodule("layer3")(second)
        return first, second, third, self.get_submodule("layer4")(third)

    def pooled(self, image: Tensor) -> Tensor:
        """Means of the last stage's maps, (B, ``channels``)."""
        return self.stages(image)[3].mean(dim=(2, 3))
