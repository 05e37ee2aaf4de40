"""Networks of "Extreme 3D Face Reconstruction": shape coefficients, and relief of a face crop.

Sources: Tran, Hassner, Masi, Paz, Nirkin, Medioni, "Extreme 3D Face Reconstruction: Seeing Through Occlusions" (2018);
Tran, Hassner, Masi, Medioni, "Regressing Robust and Discriminative 3D Morphable Models with a very Deep Neural
Network" (2017). What their outputs mean in millimetres: :mod:`pyface3d.geometry.bump_maps`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.networks.resnet import ResNet

SHAPE_SIZE, NUM_SHAPES, NUM_TEXTURES = 224, 99, 99
CROP_SIZE, MAP_SIZE = 500, 512

_STAGES = (16, 32, 64, 128, 256, 512, 1024)


class ShapeRegressor(ResNet):
    """Coefficients (B, 198) of crops (B, 3, 224, 224), BGR of 0…255: 99 of shape and 99 of texture, in σ units.

    ResNet-101 as published for Caffe (stride on the first 1 × 1, pooling in ceil mode). The mean picture that it
    subtracts is a file of its own in the original, and a buffer here.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__((3, 4, 23, 3), stride_on="first", pool="ceil")
        self.fc_ftnew = nn.Linear(self.channels, NUM_SHAPES + NUM_TEXTURES)
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
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for stage, outputs in enumerate(_STAGES):
            first = stage == 0
            block = _Down(inputs, outputs, 7 if first else 1, halves=not first)
            self.add_module(f"conv_block{1 if first else inputs}_{outputs}", block)
            inputs = outputs
        for inputs in _STAGES[:0:-1]:
            self.add_module(f"up_block{inputs}_{inputs // 2}", _Up(inputs))
        self.up_block32_16_mask = _Up(32)
        self.last_alt, self.last_alt_mask = nn.Conv2d(16, 1, 3, 1, 1), nn.Conv2d(16, 1, 3, 1, 1)
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
        maps = []
        for stage, outputs in enumerate(_STAGES):
            name = f"conv_block{1 if stage == 0 else _STAGES[stage - 1]}_{outputs}"
            image = self.get_submodule(name)(image)
            maps.append(image)
        features = maps.pop()
        for inputs in _STAGES[:1:-1]:
            features = self.get_submodule(f"up_block{inputs}_{inputs // 2}")(features, maps.pop())
        mask = self.up_block32_16_mask(features, maps[0])
        bump = self.get_submodule("up_block32_16")(features, maps[0])
        return torch.tanh(self.last_alt_mask(mask)), torch.tanh(self.last_alt(bump))


def bump_input(image: Tensor) -> Tensor:
    """What :class:`BumpNet` takes of crops (B, 3, H, W), RGB of 0…1 (sRGB)."""
    return 2 * image - 1
