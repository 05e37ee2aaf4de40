"""Relief of a face in a picture, by our relief network: wrinkles and folds in millimetres.

The network looks at a square about the landmarks (`relief_crop`); its answer is averaged with that for
the mirror image. What is not seen of the face has no relief: see `faded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pyface3d.detect.crops import Crop, Points, check_landmarks
from pyface3d.detect.face_points import points_crop
from pyface3d.detect.faces import check_image
from pyface3d.detect.shipped import ready_to_ask, shipped_predictor
from pyface3d.face_models.landmarks import RELIEF_MARGIN, RELIEF_RAISE

if TYPE_CHECKING:
    from torch import Tensor

    from pyface3d.networks.relief import ReliefNet

ASSET = "relief"
"""Name of the network's weights (`io.weights`)."""
CROP_SIZE = 256
"""Side of the square in pixels."""
# Towards what is not skin the relief fades out: first this much is taken off, then the edge is as soft as that (shares
# of the square's side; 0.012 are 3 mm). A network's borders are a few pixels off, and dark rims look like creases.
_TAKEN_OFF, _SOFT = 0.015, 0.015


@dataclass(frozen=True, eq=False)
class ReliefPrediction:
    """What the network says about one face.

    Attributes:
        relief: mm outwards along the face's normal, (S, S) float32, in the square.
        crop: the square.
    """

    relief: NDArray[np.float32]
    crop: Crop

    def over(self, crop: Crop) -> NDArray[np.float32]:
        """The same relief in the pixels of another crop of the same picture, (H, W) float32; 0 beyond the square.

        By cubic splines, as the slopes of what is interpolated linearly jump at every pixel, and shading shows slopes.
        """
        from scipy.ndimage import affine_transform

        linear = self.crop.matrix[:, :2] @ crop.inverse[:, :2]
        shift = self.crop.matrix[:, :2] @ crop.inverse[:, 2] + self.crop.matrix[:, 2]
        middle = np.full(2, 0.5)  # arrays count from the middle of the first pixel
        offset = linear @ middle + shift - middle
        moved: NDArray[np.float32] = affine_transform(
            self.relief, linear[::-1, ::-1], offset[::-1], (crop.height, crop.width), order=3, mode="grid-constant"
        )
        return moved


class ReliefPredictor:
    """The network and how it is asked; no state from picture to picture.

    Args:
        network: see `networks.relief`.
        device: where it runs.
        size: S, the square's side in pixels.
    """

    def __init__(self, network: ReliefNet, device: str = "cpu", size: int = CROP_SIZE) -> None:
        self.network = ready_to_ask(network, device)
        self.device = torch.device(device)
        self.size = size

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], points: Points, head: object = None) -> ReliefPrediction:
        """Relief of one face of a picture.

        Args:
            image: (H, W, 3) uint8, sRGB.
            points: its 68 landmarks (68, 2) px.
            head: what was fitted to it; a network needs none.

        Raises:
            InputError: the image or the landmarks cannot be used.
        """
        check_image(image)
        crop = relief_crop(points, self.size)
        pixels = torch.from_numpy(crop.warp(image)).to(self.device).permute(2, 0, 1)[None].float() / 255
        both = self.network(torch.cat([pixels, pixels.flip(-1)]))
        return ReliefPrediction((0.5 * (both[0] + both[1].flip(-1))).cpu().numpy(), crop)


def relief_crop(points68: Points, size: int = CROP_SIZE) -> Crop:
    """The square that the relief network looks at, about 68 landmarks (68, 2) px.

    Raises:
        InputError: the landmarks are no face.
    """
    return points_crop(check_landmarks(points68), size, RELIEF_MARGIN, RELIEF_RAISE)


def faded(visible: NDArray[np.bool_], crop: Crop) -> NDArray[np.float32]:
    """How much of the relief in a square counts, (S, S) in [0, 1].

    Args:
        visible: where the picture shows the face itself, (H, W).
        crop: the square.
    """
    mask = crop.warp(np.where(visible, np.float32(1), np.float32(0)))
    share = torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]
    taken, soft = (max(round(part * crop.width), 1) for part in (_TAKEN_OFF, _SOFT))
    reach = taken + soft
    least = -functional.max_pool2d(-share, 2 * reach + 1, 1, reach)
    smooth = functional.avg_pool2d(least, 2 * soft + 1, 1, soft, count_include_pad=False)[0, 0]
    result: NDArray[np.float32] = smooth.numpy()
    return result


def has_relief_network() -> bool:
    """Whether the network's weights are installed."""
    from pyface3d.io.weights import has_asset

    return has_asset(ASSET)


def relief_predictor(weights: Mapping[str, Tensor], device: str = "cpu") -> ReliefPredictor:
    """The predictor with weights of a file.

    Raises:
        AssetError: they are not this network's.
    """
    from pyface3d.networks.relief import relief_network

    return ReliefPredictor(relief_network(weights), device)


load_relief_predictor = shipped_predictor(ASSET, relief_predictor)
"""The predictor with its shipped weights, by device."""
