"""The regressor of "occlusion robust 3D face reconstruction" and of its baseline.

Sources: Ju, Lee, Hong, Kim, "Complete Face Recovery GAN" (2022), whose files it comes with; Deng et al., "Accurate 3D
Face Reconstruction with Weakly-Supervised Learning" (2019), the baseline.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyface3d.networks.resnet import ResNet

_BYTES = 255.0
# Variance behind the first convolution over the square of its kernels: about that of the pixels, give or take how much
# neighbours are alike. Pixels of 0…1 vary by less than 0.1, those of 0…255 by thousands.
_VARIANCE_OF_BYTES = 10.0


class Or3dRegressor(ResNet):
    """Coefficients (B, 257) of crops (B, 3, 224, 224), BGR of 0…1; the baseline's file wants 0…255.

    Args:
        identity, expression, albedo: coefficients of the face model; angles (3), light (27) and translation follow.
    """

    def __init__(self, identity: int = 80, expression: int = 64, albedo: int = 80) -> None:
        super().__init__((3, 4, 6, 3), stride_on="first", pool="ceil")
        # In the order of the output; the last two are shift and distance.
        self.heads = {"fcid": identity, "fcex": expression, "fctex": albedo}
        self.heads |= {"fcangles": 3, "fcgamma": 27, "fcXY": 2, "fcZ": 1}
        for name, size in self.heads.items():
            self.add_module(name, nn.Conv2d(self.channels, size, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.features(image)[-1]

    def features(self, image: Tensor) -> list[Tensor]:
        """What a student is taught: maps at 1/8, 1/16 and 1/32 of the size (512, 1024 and 2048 channels), their last
        one's means (B, 2048), coefficients."""
        _, *maps = self.stages(image)
        pooled = maps[-1].mean(dim=(2, 3))
        cell = pooled[:, :, None, None]
        answers = [self.get_submodule(name)(cell).flatten(1) for name in self.heads]
        return [*maps, pooled, torch.cat(answers, dim=1)]

    def begin_with_the_mean_face(self) -> None:
        """Set all heads to 0: the mean face in the middle, whatever the picture, where training finds a render."""
        for name in self.heads:
            for parameter in self.get_submodule(name).parameters():
                nn.init.zeros_(parameter)

    @property
    def expects_bytes(self) -> bool:
        """Whether the weights are of pictures of 0…255, told from the statistics behind the first convolution."""
        assert self.bn1.running_var is not None
        squares = self.conv1.weight.detach().square().sum(dim=(1, 2, 3)).mean()
        return bool(self.bn1.running_var.mean() > _VARIANCE_OF_BYTES * squares)

    @torch.no_grad()
    def take_unit_pictures(self) -> None:
        """Turn weights of pictures of 0…255 into those that give the same for 0…1."""
        self.conv1.weight.mul_(_BYTES)


def regressor_input(crops: NDArray[np.uint8]) -> Tensor:
    """Crops (B, 224, 224, 3) uint8 sRGB as the network takes them: (B, 3, 224, 224), BGR of 0…1."""
    channels_first = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2))
    return torch.from_numpy(channels_first).float() / _BYTES
