"""RetinaFace as its PyTorch port publishes it, on a narrow MobileNet or on ResNet-50: boxes and five points of faces.

Source: Deng, Guo, Ververas, Kotsia, Zafeiriou, "RetinaFace: Single-shot Multi-level Face Localisation in the Wild"
(CVPR 2020); feature pyramid of Lin et al. (2017), context modules of Najibi et al., "SSH" (2017). Users bring files.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.networks.resnet import ResNet, conv_norm

STRIDES: tuple[int, ...] = (8, 16, 32)
_SIDES = ((16, 32), (64, 128), (256, 512))  # of the anchors of each map, px
_ANCHORS = 2  # a cell
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
MEAN_BGR = (104.0, 117.0, 123.0)
_NARROW = 64  # maps of so many channels or fewer leak
_LEAK = 0.1
# MobileNet of a quarter of the width: channels and stride of each block behind the first convolution, by stage.
_MOBILE_STAGES = (
    ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)),
    ((128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1)),
    ((256, 2), (256, 1)),
)


def _active(inputs: int, outputs: int, kernel: int, stride: int, leak: float) -> nn.Sequential:
    return nn.Sequential(*conv_norm(inputs, outputs, kernel, stride), nn.LeakyReLU(leak))


def depthwise_block(inputs: int, outputs: int, stride: int, leak: float = _LEAK) -> nn.Sequential:
    """Each channel by itself (3 × 3), then across channels (1 × 1), each with batch norm."""
    alone = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
    across = _active(inputs, outputs, 1, 1, leak)
    return nn.Sequential(alone, nn.BatchNorm2d(inputs), nn.LeakyReLU(leak), *across)


class _MobileTrunk(nn.Module):
    """Maps of 64, 128 and 256 channels at 1/8, 1/16 and 1/32 of the size."""

    channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        inputs = 8
        for number, blocks in enumerate(_MOBILE_STAGES, 1):
            stage: list[nn.Module] = [_active(3, inputs, 3, 2, _LEAK)] if number == 1 else []
            for outputs, stride in blocks:
                stage.append(depthwise_block(inputs, outputs, stride))
                inputs = outputs
            self.add_module(f"stage{number}", nn.Sequential(*stage))

    def maps(self, image: Tensor) -> tuple[Tensor, ...]:
        first = self.get_submodule("stage1")(image)
        second = self.get_submodule("stage2")(first)
        return first, second, self.get_submodule("stage3")(second)


class _ResNetTrunk(ResNet):
    """Maps of 512, 1024 and 2048 channels at the same sizes."""

    map_channels = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__((3, 4, 6, 3))

    def maps(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.stages(image)[1:]


class FeaturePyramid(nn.Module):
    """Maps of one width, coarse ones added to the finer ones below."""

    def __init__(self, inputs: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        leak = _LEAK if outputs <= _NARROW else 0.0
        self.output1, self.output2, self.output3 = (_active(each, outputs, 1, 1, leak) for each in inputs)
        self.merge1, self.merge2 = (_active(outputs, outputs, 3, 1, leak) for _ in range(2))

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = maps
        third = self.output3(coarse)
        second = self.output2(middle)
        second = self.merge2(second + functional.interpolate(third, size=second.shape[2:], mode="nearest"))
        first = self.output1(fine)
        first = self.merge1(first + functional.interpolate(second, size=first.shape[2:], mode="nearest"))
        return first, second, third


class ContextModule(nn.Module):
    """One, two and three 3 × 3 convolutions side by side: receptive fields of 3, 5 and 7."""

    def __init__(self, width: int) -> None:
        super().__init__()
        leak = _LEAK if width <= _NARROW else 0.0
        half, quarter = width // 2, width // 4
        self.conv3X3 = nn.Sequential(*conv_norm(width, half, 3))
        self.conv5X5_1 = _active(width, quarter, 3, 1, leak)
        self.conv5X5_2 = nn.Sequential(*conv_norm(quarter, quarter, 3))
        self.conv7X7_2 = _active(quarter, quarter, 3, 1, leak)
        self.conv7x7_3 = nn.Sequential(*conv_norm(quarter, quarter, 3))

    def forward(self, features: Tensor) -> Tensor:
        shared = self.conv5X5_1(features)
        branches = [self.conv3X3(features), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return functional.relu(torch.cat(branches, dim=1))


class _Head(nn.Module):
    """``size`` numbers for each anchor of a map."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(width, _ANCHORS * size, 1)
        self.size = size

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.conv1x1(features)
        return answers.permute(0, 2, 3, 1).reshape(len(features), -1, self.size)


class RetinaFace(nn.Module):
    """Boxes, scores and five points of every anchor.

    Args:
        trunk: "mobilenet0.25" or "resnet50".
    """

    def __init__(self, trunk: Literal["mobilenet0.25", "resnet50"] = "mobilenet0.25") -> None:
        super().__init__()
        if trunk == "mobilenet0.25":
            self.body: _MobileTrunk | _ResNetTrunk = _MobileTrunk()
            inputs, width = _MobileTrunk.channels, 64
        else:
            self.body = _ResNetTrunk()
            inputs, width = _ResNetTrunk.map_channels, 256
        self.fpn = FeaturePyramid(inputs, width)
        self.ssh1, self.ssh2, self.ssh3 = (ContextModule(width) for _ in STRIDES)
        self.ClassHead = nn.ModuleList(_Head(width, 2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(_Head(width, 4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(_Head(width, 10) for _ in STRIDES)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, N, 4) px, probabilities (B, N) and points (B, N, 5, 2) px of (B, 3, H, W), BGR of 0…255.

        The points are the image-left and image-right eye, the nose and the two mouth corners in the same order.
        """
        maps = self.body.maps(image - image.new_tensor(MEAN_BGR)[:, None, None])
        return self.answers(maps, *image.shape[2:])

    def answers(self, maps: tuple[Tensor, ...], height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """The same from the trunk's maps of a picture of that size."""
        pyramid = self.fpn(maps)
        seen = [context(level) for context, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid)]

        def every(heads: nn.ModuleList) -> Tensor:
            return torch.cat([head(features) for head, features in zip(heads, seen)], dim=1)

        anchors = anchors_of(height, width).to(seen[0])
        centre, side = anchors[:, :2], anchors[:, 2:]
        offsets = every(self.BboxHead)
        middle = centre + offsets[..., :2] * _CENTRE_VARIANCE * side
        half = side * torch.exp(offsets[..., 2:] * _SIZE_VARIANCE) / 2
        points = every(self.LandmarkHead).unflatten(2, (5, 2)) * _CENTRE_VARIANCE * side[:, None] + centre[:, None]
        scores = torch.softmax(every(self.ClassHead), dim=2)[..., 1]
        return torch.cat([middle - half, middle + half], dim=2), scores, points


def anchors_of(height: int, width: int) -> Tensor:
    """Centre and side px (N, 3) of a picture's anchors: two in the middle of each cell of each map, by rows."""
    rows = []
    for stride, sides in zip(STRIDES, _SIDES):
        y, x = torch.meshgrid(torch.arange(-(-height // stride)), torch.arange(-(-width // stride)), indexing="ij")
        centre = (torch.stack([x, y], dim=-1).reshape(-1, 1, 2) + 0.5) * stride
        side = torch.tensor(sides, dtype=torch.float32)[None, :, None].expand(len(centre), -1, 1)
        rows.append(torch.cat([centre.expand(-1, len(sides), 2), side], dim=2).reshape(-1, 3))
    return torch.cat(rows)
