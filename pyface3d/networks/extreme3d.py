"""Networks of "Extreme 3D Face Reconstruction": shape coefficients, relief of a face crop, and the judge of relief.

Sources: Tran, Hassner, Masi, Paz, Nirkin, Medioni, "Extreme 3D Face Reconstruction: Seeing Through Occlusions" (2018);
Tran, Hassner, Masi, Medioni, "Regressing Robust and Discriminative 3D Morphable Models with a very Deep Neural
Network" (2017). What their outputs mean in millimetres: :mod:`pyface3d.geometry.bump_maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.networks.resnet import ResNet

SHAPE_SIZE, NUM_SHAPES, NUM_TEXTURES = 224, 99, 99
CROP_SIZE, MAP_SIZE = 500, 512

_STAGES = 7
_JUDGE_WIDTHS = (32, 64, 128, 256, 256, 512, 512)
_NUM_VERDICTS = 1024


class ShapeRegressor(ResNet):
    """Coefficients (B, shapes + textures) of crops (B, 3, 224, 224), BGR of 0…255, in σ units: those of shape first.

    ResNet-101 as published for Caffe (stride on the first 1 × 1, pooling in ceil mode). The mean picture that it
    subtracts is a file of its own in the original, and a buffer here.

    Args:
        shapes, textures: coefficients of the face model; 99 each of the Basel Face Model in the published one.
        depths: blocks of the four stages; others than ResNet-101's make a smaller network of the same kind.
    """

    mean: Tensor

    def __init__(
        self, shapes: int = NUM_SHAPES, textures: int = NUM_TEXTURES, depths: Sequence[int] = (3, 4, 23, 3)
    ) -> None:
        super().__init__(depths, stride_on="first", pool="ceil")
        self.shapes, self.textures = shapes, textures
        self.fc_ftnew = nn.Linear(self.channels, shapes + textures)
        self.register_buffer("mean", torch.zeros(3, SHAPE_SIZE, SHAPE_SIZE))

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.fc_ftnew(self.pooled(image - self.mean))
        return out


def shape_input(image: Tensor) -> Tensor:
    """What :class:`ShapeRegressor` takes of crops (B, 3, 500, 500), RGB of 0…1 (sRGB): 224², BGR, 0…255."""
    small = functional.interpolate(image, size=(SHAPE_SIZE, SHAPE_SIZE), mode="bilinear", align_corners=False)
    return 255 * small.flip(1)


class _Down(nn.Module):
    """Halve the size, then two 3 × 3 convolutions, the first to ``outputs`` channels."""

    def __init__(self, inputs: int, outputs: int, padding: int = 1, *, halves: bool = True) -> None:
        super().__init__()
        self.halves = halves
        self.conv_down = nn.Conv2d(inputs, inputs, 3, 2, 1)
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, padding)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        if self.halves:
            features = functional.relu(self.conv_down(features))
        return functional.relu(self.conv2(functional.relu(self.conv(features))))


class _Up(nn.Module):
    """Double the size, halve the channels, and join the map of the same size from the way down."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        outputs = inputs // 2
        self.conv0 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.conv = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        wide = self.conv0(functional.interpolate(features, scale_factor=2, mode="nearest"))
        return functional.relu(self.conv2(functional.relu(self.conv(torch.cat([wide, skip], dim=1)))))


class BumpNet(nn.Module):
    """Mask and relief of face crops: a U-Net with two last steps from the same 32 channels.

    The first convolution is padded by seven pixels, so that a crop of 500² becomes maps of 512² in which crop pixel
    (x, y) is pixel (x + 6, y + 6). The first block's ``conv_down`` is stored in the published file and never run.

    Args:
        channels: at the crop's resolution, doubled by each of six halvings; parts are named by channels, as published.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self._widths = tuple(channels * 2**stage for stage in range(_STAGES))
        self.add_module(f"conv_block1_{channels}", _Down(3, channels, 7, halves=False))
        for wider in pairwise(self._widths):
            self.add_module(f"conv_block{wider[0]}_{wider[1]}", _Down(*wider))
            self.add_module(f"up_block{wider[1]}_{wider[0]}", _Up(wider[1]))
        self.add_module(f"up_block{2 * channels}_{channels}_mask", _Up(2 * channels))
        self.last_alt, self.last_alt_mask = nn.Conv2d(channels, 1, 3, 1, 1), nn.Conv2d(channels, 1, 3, 1, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight, gain=2**0.5)
                nn.init.constant_(layer.bias, 0.1) if layer.bias is not None else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mask and bump.

        Args:
            image: RGB of -1…1 (sRGB), (B, 3, H, W), H + 12 and W + 12 multiples of 64; 500² in the original.

        Returns:
            Two maps (B, 1, H + 12, W + 12) in (-1, 1).
        """
        maps = [self.get_submodule(f"conv_block1_{self._widths[0]}")(image)]
        for narrow, wide in pairwise(self._widths):
            maps.append(self.get_submodule(f"conv_block{narrow}_{wide}")(maps[-1]))
        features = maps.pop()
        for narrow, wide in reversed(list(pairwise(self._widths))[1:]):
            features = self.get_submodule(f"up_block{wide}_{narrow}")(features, maps.pop())
        last = f"up_block{self._widths[1]}_{self._widths[0]}"
        mask, bump = (self.get_submodule(name)(features, maps[0]) for name in (f"{last}_mask", last))
        return torch.tanh(self.last_alt_mask(mask)), torch.tanh(self.last_alt(bump))


def bump_input(image: Tensor) -> Tensor:
    """What :class:`BumpNet` takes of crops (B, 3, H, W), RGB of 0…1 (sRGB)."""
    return 2 * image - 1


class BumpJudge(nn.Module):
    """Tells true maps of relief from made ones: the whole-image discriminator that the published file holds.

    Its losses are switched off in the published training; the last layer's sigmoid is left to the loss, which is the
    safer for it.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = 1
        for number, outputs in enumerate(_JUDGE_WIDTHS, 1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, 2, 1))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.conv8 = nn.Conv2d(inputs, _NUM_VERDICTS, 4)

    def forward(self, bump: Tensor) -> Tensor:
        """Log-odds that maps (B, 1, 512, 512) in (-1, 1) are true, (B, 1024)."""
        for number in range(1, len(_JUDGE_WIDTHS) + 1):
            bump = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(bump))
            bump = functional.leaky_relu(bump, 0.2)
        out: Tensor = self.conv8(bump).flatten(1)
        return out
