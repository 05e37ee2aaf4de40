"""Networks of the complete face recovery GAN: the generator that fills what is hidden, and its discriminator.

Source: Ju, Lee, Hong, Kim, "Complete Face Recovery GAN: Unsupervised Joint Face Rotation and De-Occlusion from a
Single-View Image" (2022). Convolutions are divided by their spectral norm as Miyato et al. (2018) have it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

_RESIDUAL_BLOCKS = 9
_SLOPE = 0.2


class _SpectralConv(nn.Module):
    """A convolution of spectral norm one."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        nn.init.kaiming_normal_(convolution.weight)
        self.conv2d = spectral_norm(convolution)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv2d(features)
        return out


class _InstanceNorm(nn.Module):
    """Each channel of each picture less its mean, by its deviation."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.instance_norm(features)


def _reflected(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.ReflectionPad2d(kernel // 2), _SpectralConv(inputs, outputs, kernel, stride)]


class _Stem(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(*_reflected(3, 64, 7), _InstanceNorm(), nn.LeakyReLU(_SLOPE))


class _Difference(nn.Module):
    """Where the two pictures differ. The embeddings are stored in the published file and never run."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding_r = nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1))
        self.embedding_g = nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1))
        self.conv_IN = nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1), _InstanceNorm())

    def forward(self, rotated: Tensor, guide: Tensor) -> Tensor:
        out: Tensor = self.conv_IN((rotated - guide) ** 2)
        return out


class _GatedHalving(nn.Module):
    """Features at half the size, shut where the gate says so; the gate comes too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gating = nn.Sequential(*_reflected(inputs, outputs, 3, 2), _InstanceNorm())
        self.feature_extract = nn.Sequential(*_reflected(inputs, outputs, 3, 2), _InstanceNorm(), nn.LeakyReLU(_SLOPE))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        gate = self.gating(features)
        return self.feature_extract(features) * (1 - torch.sigmoid(gate)), gate


class _GatedResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gating = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1), _InstanceNorm())
        self.conv_block = nn.Sequential(
            *(*_reflected(channels, channels, 3), _InstanceNorm(), nn.LeakyReLU(_SLOPE)),
            *(*_reflected(channels, channels, 3), _InstanceNorm()),
        )

    def forward(self, features: Tensor) -> Tensor:
        features = features * torch.sigmoid(self.gating(features))
        return features + cast(Tensor, self.conv_block(features))


class _Doubling(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        convolution = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
        nn.init.kaiming_normal_(convolution.weight)
        self.conv_trans = spectral_norm(convolution)

    def forward(self, features: Tensor) -> Tensor:
        return functional.leaky_relu(functional.instance_norm(self.conv_trans(features)), _SLOPE)


def _plain_doubling(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1), nn.BatchNorm2d(outputs), nn.LeakyReLU(_SLOPE)]


class _Mask(nn.Module):
    """Where the face is hidden, from the gates of all sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.upsample_64_to_128 = nn.Sequential(*_plain_doubling(256, 128))
        self.upsample_128_to_256 = nn.Sequential(
            *(nn.Conv2d(256, 128, 3, 1, 1), nn.BatchNorm2d(128), nn.LeakyReLU(_SLOPE)), *_plain_doubling(128, 64)
        )
        self.conv = nn.Sequential(nn.Conv2d(64, 1, 3, 1, 1))

    def forward(self, difference: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        coarse = torch.cat([half, self.upsample_64_to_128(quarter)], dim=1)
        return torch.sigmoid(self.conv(self.upsample_128_to_256(coarse) + difference))


class Generator(nn.Module):
    """A face without what hides it, and where it was hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_r, self.conv_g, self.afd = _Stem(), _Stem(), _Difference()
        self.downsample = nn.ModuleList([_GatedHalving(64, 128), _GatedHalving(128, 256)])
        self.resblocks = nn.Sequential(*(_GatedResidual(256) for _ in range(_RESIDUAL_BLOCKS)))
        self.upsample = nn.Sequential(_Doubling(256, 128), _Doubling(128, 64))
        self.last_conv = nn.Sequential(*_reflected(64, 3, 7), nn.Tanh())
        self.mixing = _Mask()

    def forward(self, rotated: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        """Recovered face and occlusion mask.

        Args:
            rotated, guide: RGB of -1…1, (B, 3, H, W), H and W multiples of 4.

        Returns:
            (B, 3, H, W) in -1…1, and (B, 1, H, W) in 0…1, 1 = hidden.
        """
        features = self.conv_r(rotated)
        difference = self.afd(features, self.conv_g(guide))
        features = features * (1 - torch.sigmoid(difference))
        gates = []
        for halving in self.downsample:
            features, gate = halving(features)
            gates.append(gate)
        image = self.last_conv(self.upsample(self.resblocks(features)))
        return image, self.mixing(difference, *gates)


class _Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = (3, 64, 128, 256, 512)
        layers = [_SpectralConv(a, b, 4, 2, 2) for a, b in pairwise(sizes)]
        self.net = nn.ModuleList([*layers, _SpectralConv(512, 1, 1)])

    def forward(self, image: Tensor) -> Tensor:
        for number, layer in enumerate(self.net):
            image = layer(functional.leaky_relu(image, _SLOPE) if number else image)
        return image.flatten(1)


class Discriminator(nn.Module):
    """Logits (B, 289) of patches of pictures (B, 3, 224, 224), RGB of -1…1, at full and at half size."""

    def __init__(self) -> None:
        super().__init__()
        self.D1, self.D2 = _Judge(), _Judge()

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([self.D1(image), self.D2(functional.avg_pool2d(image, 2))], dim=1)
