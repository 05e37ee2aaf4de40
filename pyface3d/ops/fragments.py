"""What a rasterised picture holds before it has colours."""

from typing import NamedTuple

from torch import Tensor


class Fragments(NamedTuple):
    """The nearest face under the middle of every pixel.

    Attributes:
        face_index: (B, H, W) int32, row of ``topology.faces``; −1 where there is no face.
        barycentrics: (B, H, W, 3), weights of the face's three corners, in the order of its row; 0 where empty.
        depth: (B, H, W), in the unit of the vertices' depth (mm); 0 where empty.
    """

    face_index: Tensor
    barycentrics: Tensor
    depth: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool, True where there is a face."""
        return self.face_index >= 0
