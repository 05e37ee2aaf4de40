"""The regressor of "occlusion robust 3D face reconstruction" and of its baseline.

Sources: Ju, Lee, Hong, Kim, "Complete Face Recovery GAN" (2022), whose files it comes with; Deng et al., "Accurate 3D
Face Reconstruction with Weakly-Supervised Learning" (2019), the baseline.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyface3d.networks.resnet import ResNet

# Heads in the order of the output, and their sizes: identity, expression, texture, angles, light, shift and distance.
HEADS = {"fcid": 80, "fcex": 64, "fctex": 80, "fcangles": 3, "fcgamma": 27, "fcXY": 2, "fcZ": 1}


class Or3dRegressor(ResNet):
    """Coefficients (B, 257) of crops (B, 3, 224, 224), BGR of 0…1; the baseline's file wants 0…255."""

    def __init__(self) -> None:
        super().__init__((3, 4, 6, 3), stride_on="first", pool="ceil")
        for name, size in HEADS.items():
            self.add_module(name, nn.Conv2d(self.channels, size, 1))

    def forward(self, image: Tensor) -> Tensor:
        pooled = self.pooled(image)[:, :, None, None]
        return torch.cat([self.get_submodule(name)(pooled) for name in HEADS], dim=1).flatten(1)
