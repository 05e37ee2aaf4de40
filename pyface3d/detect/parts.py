"""What every pixel of a face's picture shows, by our part network: skin, brows, eyes … and what hides them.

The network looks at an upright square about the landmarks, the head's hair and the neck included. Its probabilities are
averaged with those of the mirror image, freed from specks (`detect.specks`) and brought back to the picture, where the
classes are decided: first whether the face itself is seen, then which of its parts, or which of the other things. So
`visible_face` and `face_parts` never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.detect.crops import Crop, Points, check_landmarks
from pyface3d.detect.face import Face
from pyface3d.detect.face_points import points_crop, predict_points
from pyface3d.detect.faces import check_image
from pyface3d.detect.shipped import ready_to_ask, shipped_predictor
from pyface3d.detect.specks import decided, without_specks
from pyface3d.face_models.landmarks import PARTS_MARGIN, PARTS_RAISE
from pyface3d.part_labels import VISIBLE_FACE, FacePart

if TYPE_CHECKING:
    from torch import Tensor

    from pyface3d.networks.face_parts import FaceParts

ASSET = "face_parts"
"""Name of the network's weights (`io.weights`)."""
CROP_SIZE = 192
"""Side of the square in pixels."""
_BATCH = 16


@dataclass(frozen=True, eq=False)
class PartPrediction:
    """What the network says about one face.

    Attributes:
        probabilities: of each `FacePart`, (12, S, S) float32, in the square.
        crop: the square.
    """

    probabilities: NDArray[np.float32]
    crop: Crop

    def face_parts(self, height: int, width: int) -> NDArray[np.uint8]:
        """`FacePart` numbers in the picture, (H, W); BACKGROUND outside of the square."""
        labels = np.full((height, width), FacePart.BACKGROUND, np.uint8)
        window = _Window.under(self.crop, height, width)
        if window is not None:
            shares = np.stack([window.brought_back(plane) for plane in self.probabilities])
            labels[window.slices] = np.where(window.inside, decided(shares), FacePart.BACKGROUND)
        return labels

    def visible_probability(self, height: int, width: int) -> NDArray[np.float32]:
        """Probability that a pixel of the picture shows the face itself, (H, W); 0 outside of the square."""
        return self.probability(VISIBLE_FACE, height, width)

    def probability(self, parts: Sequence[FacePart], height: int, width: int) -> NDArray[np.float32]:
        """Probability that a pixel of the picture shows any of ``parts``, (H, W); 0 outside of the square."""
        picture = np.zeros((height, width), np.float32)
        window = _Window.under(self.crop, height, width)
        if window is not None:
            share = np.add.reduce([window.brought_back(self.probabilities[part]) for part in parts])
            picture[window.slices] = np.where(window.inside, share, 0)
        return picture

    def visible_face(self, height: int, width: int) -> NDArray[np.bool_]:
        """Where the picture shows the face itself, (H, W)."""
        return self.visible_probability(height, width) > 0.5


@dataclass(frozen=True, eq=False)
class _Window:
    """The part of a picture that a crop's square may touch, in whole pixels.

    Attributes:
        slices: rows and columns.
        back: crop px to px of the window.
        inside: pixels whose middle lies in the square.
    """

    slices: tuple[slice, slice]
    back: Crop
    inside: NDArray[np.bool_]

    @classmethod
    def under(cls, crop: Crop, height: int, width: int) -> _Window | None:
        """None where the square lies outside of the picture."""
        corners = crop.to_image(np.array([[0, 0], [crop.width, 0], [0, crop.height], [crop.width, crop.height]]))
        limit = np.array([width, height])
        low = np.clip(np.floor(corners.min(axis=0)), 0, limit).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)), 0, limit).astype(int)
        if (high <= low).any():
            return None
        columns, rows = (np.arange(a, b) + 0.5 for a, b in zip(low, high))
        spots = crop.to_crop(np.stack(np.meshgrid(columns, rows), axis=-1))
        inside: NDArray[np.bool_] = np.all((spots >= 0) & (spots < (crop.width, crop.height)), axis=-1)
        matrix = crop.inverse.copy()
        matrix[:, 2] -= low
        slices = slice(low[1], high[1]), slice(low[0], high[0])
        return cls(slices, Crop(matrix, int(high[0] - low[0]), int(high[1] - low[1])), inside)

    def brought_back(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map of the square in the window's pixels; its rim goes on outside."""
        warped: NDArray[np.float32] = self.back.warp(np.ascontiguousarray(plane), border=None)
        return warped


class FacePartPredictor:
    """The network and how it is asked; no state from picture to picture.

    Args:
        network: from pictures (B, 3, S, S) RGB in [0, 1] to logits (B, 12, S, S), see `networks.face_parts`.
        device: where it runs.
        size: S, the square's side in pixels.
    """

    def __init__(self, network: FaceParts, device: str = "cpu", size: int = CROP_SIZE) -> None:
        self.network = ready_to_ask(network, device)
        self.device = torch.device(device)
        self.size = size

    def predict(
        self, image: NDArray[np.uint8], points: Sequence[Points], *, mirror: bool = True
    ) -> list[PartPrediction]:
        """What the network says about faces of one picture.

        Args:
            image: (H, W, 3) uint8, sRGB.
            points: the 68 landmarks (68, 2) px of each face.
            mirror: look at the mirror images too: twice the time, smaller errors.

        Raises:
            InputError: the image or a face's landmarks cannot be used.
        """
        check_image(image)
        crops = [parts_crop(one, self.size) for one in points]
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(crops), _BATCH):
            pixels = np.stack([crop.warp(image) for crop in crops[start : start + _BATCH]])
            rows.extend(self._ask(pixels, mirror))
        face_area = (self.size / PARTS_MARGIN) ** 2
        rows = [without_specks(row, face_area) for row in rows]
        return [PartPrediction(row, crop) for row, crop in zip(rows, crops)]

    @torch.inference_mode()
    def _ask(self, pixels: NDArray[np.uint8], mirror: bool) -> NDArray[np.float32]:
        """Probabilities (N, 12, S, S) about squares (N, S, S, 3)."""
        batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
        shares = self.network(batch).softmax(dim=1)
        if mirror:  # no class is of one side only
            shares = (shares + self.network(batch.flip(-1)).softmax(dim=1).flip(-1)) / 2
        result: NDArray[np.float32] = shares.float().cpu().numpy()
        return result


def parts_crop(points68: Points, size: int = CROP_SIZE) -> Crop:
    """The square that the part network looks at, about 68 landmarks (68, 2) px.

    Raises:
        InputError: the landmarks are no face.
    """
    return points_crop(check_landmarks(points68), size, PARTS_MARGIN, PARTS_RAISE)


def has_part_network() -> bool:
    """Whether the network's weights are installed; without them occluders are told by colour alone."""
    from pyface3d.io.weights import has_asset

    return has_asset(ASSET)


def part_predictor(weights: Mapping[str, Tensor], device: str = "cpu") -> FacePartPredictor:
    """The predictor with weights of a file.

    Raises:
        AssetError: they are not this network's.
    """
    from pyface3d.networks.face_parts import face_parts_network

    return FacePartPredictor(face_parts_network(weights), device)


load_part_predictor = shipped_predictor(ASSET, part_predictor)
"""The predictor with its shipped weights, by device."""


def predict_parts(
    image: NDArray[np.uint8], face: Face, *, points: Points | None = None, device: str = "cpu"
) -> PartPrediction:
    """The network's probabilities about one face.

    Args:
        image: (H, W, 3) uint8, sRGB, the picture that ``face`` was found in.
        face: from `detect_faces` or `face_from_landmarks`.
        points: its 68 landmarks (68, 2) px where they are known; else our landmark network finds them.
        device: torch device that the networks run on.

    Raises:
        AssetError: weights are missing or damaged.
        InputError: the image, the face or the landmarks cannot be used.
    """
    check_image(image)
    predictor = load_part_predictor(device)
    if points is None:
        points = predict_points(image, face, device=device).points[:68]
    return predictor.predict(image, [points])[0]


def face_parts(
    image: NDArray[np.uint8], face: Face, *, points: Points | None = None, device: str = "cpu"
) -> NDArray[np.uint8]:
    """What every pixel shows, as `FacePart` numbers (H, W); BACKGROUND far from this face.

    Arguments and errors as of `predict_parts`.
    """
    return predict_parts(image, face, points=points, device=device).face_parts(*image.shape[:2])


def visible_face(
    image: NDArray[np.uint8], face: Face, *, points: Points | None = None, device: str = "cpu"
) -> NDArray[np.bool_]:
    """Where the picture shows this face's skin, brows, eyes, nose, lips or inner mouth, (H, W).

    Arguments and errors as of `predict_parts`.
    """
    return predict_parts(image, face, points=points, device=device).visible_face(*image.shape[:2])
