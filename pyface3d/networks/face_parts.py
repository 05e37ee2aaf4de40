"""The part network: which part of the face, or what before it, every pixel of a crop shows.

A U-Net (Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015) whose
contracting half is the landmark network's trunk. The expanding half is narrow and ends at half the crop's resolution:
borders of parts are smooth, and the last doubling would cost as much as all else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from pyface3d.errors import AssetError, InputError
from pyface3d.networks.efficientnet_lite import STAGE_CHANNELS, EfficientNetLite0, Layers, SameConv2d
from pyface3d.part_labels import FacePart

STRIDE = 32
"""Sides of crops are multiples of it."""
_SKIPS = (1, 2, 3, 5, 7)  # the trunk's last maps at strides 2, 4, 8, 16, 32


@dataclass(frozen=True)
class FacePartsConfig:
    """Sizes of the network.

    Attributes:
        classes: of the answer.
        widths: channels of the expanding half at strides 2, 4, 8, 16, 32.
    """

    classes: int = len(FacePart)
    widths: tuple[int, int, int, int, int] = (32, 48, 64, 96, 128)


class _Raise(nn.Module):
    """Coarse maps, doubled, joined with the trunk's at that stride and filtered."""

    def __init__(self, below: int, beside: int, width: int) -> None:
        super().__init__()
        # Narrowed before they are doubled: a quarter of the work.
        self.below = SameConv2d(below, width, 1)
        self.beside = SameConv2d(beside, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.around = Layers(SameConv2d(width, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True))

    def forward(self, below: Tensor, beside: Tensor) -> Tensor:
        raised = functional.interpolate(self.below(below), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.around(functional.relu(self.norm(raised + self.beside(beside)), inplace=True))


class FaceParts(nn.Module):
    """Classes of every pixel of crops; fully convolutional.

    Args:
        sizes: fields of `FacePartsConfig`.

    Attributes:
        config: all of them.
    """

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        self.config = config = FacePartsConfig(**sizes)
        self.trunk = EfficientNetLite0()
        channels = [STAGE_CHANNELS[stage] for stage in _SKIPS]
        # The trunk's maps spread over tens of units; taken as they are they drive whatever reads them out of its range.
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in channels)
        self.middle = Layers(
            SameConv2d(channels[-1], config.widths[-1], 1), nn.BatchNorm2d(config.widths[-1]), nn.ReLU()
        )
        self.up = nn.ModuleList(
            _Raise(below, beside, width)
            for (width, below), beside in reversed(list(zip(pairwise(config.widths), channels)))
        )
        self.classes = nn.Conv2d(config.widths[0], config.classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Log-odds of the classes, before the softmax.

        Args:
            image: (B, 3, H, W) float, RGB of sRGB values in [0, 1]; H and W multiples of `STRIDE`.

        Returns:
            (B, classes, H, W), the classes in the order of `FacePart`.

        Raises:
            InputError: H or W is no multiple of `STRIDE`.
        """
        if image.ndim != 4 or image.shape[-2] % STRIDE or image.shape[-1] % STRIDE or not image.numel():
            raise InputError(
                f"image must have shape (B, 3, H, W) with H and W multiples of {STRIDE}, got {tuple(image.shape)}"
            )
        logits = self.coarse(image)
        return functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)

    def coarse(self, image: Tensor) -> Tensor:
        """The answer at half the resolution, (B, classes, H / 2, W / 2)."""
        *finer, last = (norm(maps) for norm, maps in zip(self.norms, self.trunk.maps(image, _SKIPS)))
        found = self.middle(last)
        for up, beside in zip(self.up, reversed(finer)):
            found = up(found, beside)
        return self.classes(found)


def face_parts_network(weights: Mapping[str, Tensor]) -> FaceParts:
    """The network with trained weights, in evaluation mode and float32; sizes are read off the weights.

    Args:
        weights: as in the asset ``face_parts``, any floating type.

    Raises:
        AssetError: keys or shapes are not those of the network; the message lists them.
    """
    try:
        widths = [len(weights[f"up.{k}.beside.weight"]) for k in reversed(range(len(_SKIPS) - 1))]
        sizes = {"classes": len(weights["classes.bias"]), "widths": (*widths, len(weights["middle.0.weight"]))}
        network = FaceParts(**sizes)
        tensors = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
        network.load_state_dict(counters | tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise AssetError(
            f"the weights are not those of the part network: {error}; run pyface3d train parts --export"
        ) from error
    return network.eval().requires_grad_(False)
