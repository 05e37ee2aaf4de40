"""Relief of the face in a photo: a compact U-Net from a crop to heights in millimetres.

A small sibling of the bump network of Extreme 3D Face Reconstruction (Tran et al., CVPR 2018): image to image, with
skip connections, without discriminator. It works at half the crop's resolution (2 x 2 pixels become channels and back),
has an eighth of the convolutions' channels and answers in millimetres, not in grey levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from pyface3d.errors import AssetError

SIZE = 256
"""Side of the crops it is trained on, px."""
STEP = 16
"""Sides must be multiples of this."""
_CHANNELS = (24, 48, 96, 160)  # at 1/2, 1/4, 1/8 and 1/16 of the crop's resolution
_DILATIONS = (1, 2, 4)  # at the coarsest: what is a wrinkle depends on where in the face it is
_INPUT_MEAN, _INPUT_STD = 0.45, 0.25
_OUTPUT_MM = 0.2  # what 1 at the last layer stands for: about the relief of wrinkled skin


class _Conv(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.02),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = _Conv(channels, channels, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv(features)


class ReliefNet(nn.Module):
    """Heights of the skin over the smooth face, from one crop.

    Args:
        channels: at 1/2, 1/4, 1/8 and 1/16 of the crop's resolution.
    """

    def __init__(self, channels: tuple[int, int, int, int] = _CHANNELS) -> None:
        super().__init__()
        fine, *_, coarse = channels
        self.stem = _Conv(12, fine)
        self.down = nn.ModuleList(_Conv(a, b, stride=2) for a, b in pairwise(channels))
        self.encode = nn.ModuleList(_Residual(c) for c in channels[:-1])
        self.middle = nn.Sequential(*(_Residual(coarse, dilation) for dilation in _DILATIONS))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.decode = nn.ModuleList(_Residual(c) for c in channels[:-1])
        self.last = nn.Conv2d(fine, 4, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)  # the flat face to start from

    def forward(self, image: Tensor) -> Tensor:
        """Relief in mm, positive outwards along the normal, (B, S, T).

        Args:
            image: RGB in [0, 1] of `detect.relief.relief_crop`, (B, 3, S, T), S and T multiples of 16.

        Raises:
            ValueError: the sides are no multiples of 16.
        """
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % STEP or image.shape[3] % STEP:
            raise ValueError(f"image must have shape (B, 3, S, T), sides multiples of {STEP}, got {tuple(image.shape)}")
        features = self.stem(functional.pixel_unshuffle((image - _INPUT_MEAN) / _INPUT_STD, 2))
        kept = []
        for encode, down in zip(self.encode, self.down):
            kept.append(encode(features))
            features = down(kept[-1])
        features = self.middle(features)
        for up, decode, skip in zip(reversed(self.up), reversed(self.decode), reversed(kept)):
            raised = functional.interpolate(up(features), scale_factor=2.0, mode="nearest")
            features = decode(raised + skip)
        return _OUTPUT_MM * functional.pixel_shuffle(self.last(features), 2)[:, 0]


def relief_network(weights: Mapping[str, Tensor]) -> ReliefNet:
    """The network with stored weights, in evaluation mode, float32.

    Raises:
        AssetError: the weights are of another network.
    """
    network = ReliefNet()
    known = network.state_dict()
    counters = {key: value for key, value in known.items() if key.endswith("num_batches_tracked")}
    given = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    try:
        network.load_state_dict(counters | given)
    except RuntimeError as error:
        raise AssetError(f"these weights are not of the relief network: {error}") from error
    return network.eval()
