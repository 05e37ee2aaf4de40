"""Networks of DECA: two encoders of one crop, and the decoder of its relief.

Source: Feng, Feng, Black, Bolkart, "Learning an Animatable Detailed 3D Face Model from In-The-Wild Images" (2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyface3d.networks.resnet import ResNet

NUM_COARSE, NUM_DETAIL = 236, 128
DETAIL_INPUTS = 3 + 50 + NUM_DETAIL  # jaw, expression, detail code


class DecaEncoder(nn.Module):
    """Codes (B, ``outputs``) of crops (B, 3, 224, 224), RGB of 0…1."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = ResNet((3, 4, 6, 3))
        self.layers = nn.Sequential(nn.Linear(self.encoder.channels, 1024), nn.ReLU(), nn.Linear(1024, outputs))

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.layers(self.encoder.pooled(image))
        return out


class DetailDecoder(nn.Module):
    """Displacements (B, 1, 256, 256) in the UV chart of codes (B, 181).

    Args:
        max_displacement: of the output: 0.01 m in DECA, 0.001 m in its temporal successor.
    """

    def __init__(self, max_displacement: float = 0.01) -> None:
        super().__init__()
        self.max_displacement = max_displacement
        self.l1 = nn.Sequential(nn.Linear(DETAIL_INPUTS, 128 * 8 * 8))
        layers: list[nn.Module] = [nn.BatchNorm2d(128)]
        inputs = 128
        for outputs in (128, 64, 64, 32, 16):
            # The original gives 0.8 where the outputs' norm takes its eps, and its weights were trained with it.
            layers += [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(inputs, outputs, 3, 1, 1)]
            layers += [nn.BatchNorm2d(outputs, eps=0.8), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.conv_blocks = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, 1, 1))

    def forward(self, code: Tensor) -> Tensor:
        maps = self.conv_blocks(self.l1(code).unflatten(1, (128, 8, 8)))
        return torch.tanh(maps) * self.max_displacement
