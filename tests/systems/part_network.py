"""A stand-in for the part network: a face as a disc in the middle of its square, a hand over its lower part."""

import torch
from torch import Tensor, nn

from pyface3d.detect.parts import FacePartPredictor
from pyface3d.part_labels import FacePart


class DiscNetwork(nn.Module):
    """Sure of skin in a disc, of an occluder over its lower part where there is a ``hand``, of hair around."""

    def __init__(self, hand: bool = True) -> None:
        super().__init__()
        self.hand = hand

    def forward(self, image: Tensor) -> Tensor:
        size = image.shape[-1]
        ticks = (torch.arange(size) + 0.5) / size - 0.5
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        face = x**2 + (y - 0.1) ** 2 < 0.36**2
        labels = torch.where(face, int(FacePart.SKIN), int(FacePart.HAIR))
        if self.hand:  # below the middle of the face: the same in the mirror
            labels[face & (y > 0.15)] = int(FacePart.OCCLUDER)
        hot = nn.functional.one_hot(labels, len(FacePart)).permute(2, 0, 1)
        return (20.0 * hot).expand(len(image), -1, -1, -1)


def disc_predictor(device: str = "cpu", hand: bool = True) -> FacePartPredictor:
    return FacePartPredictor(DiscNetwork(hand), device, size=64)
