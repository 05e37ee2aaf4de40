"""The ways to a mask of the visible face that `evaluate masks` compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points
from pyface3d.detect.face import Face
from pyface3d.detect.faces import detect_faces
from pyface3d.detect.landmarks import landmarks68
from pyface3d.detect.parts import FacePartPredictor, load_part_predictor, part_predictor
from pyface3d.errors import InputError
from pyface3d.evaluate.annotated_faces import face_at
from pyface3d.evaluate.mask_scores import Mask
from pyface3d.io.images import read_image
from pyface3d.io.weights import read_weights

METHODS = ("ours", "colours", "hull", "all")
"""What can be measured: our part network; what `reconstruct` tells by the colours of skin without it (seconds a
picture: measured when asked for); the hull of the landmarks with a forehead, which is blind to what hides the face;
and every pixel of the picture."""
FOREHEAD = 0.75
"""How far the hull reaches above the brows, in distances from between the brows to the nose's bottom."""


@dataclass(frozen=True)
class Answer:
    """What a method says about one picture.

    Attributes:
        visible: where the face is seen, (H, W).
        parts: `FacePart` numbers (H, W) from those who know classes.
        path: the file that it was read from, for messages.
    """

    visible: Mask
    parts: NDArray[np.uint8] | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Sight:
    """One picture as the methods get it. The truth only says which of its faces is meant.

    Attributes:
        stem: of the photo.
        photo: or None where there is none.
        truth: the true mask of the face, (H, W).
    """

    stem: str
    photo: Path | None
    truth: Mask

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The photo, (H, W, 3).

        Raises:
            InputError: it cannot be read, or its size is not the mask's.
        """
        assert self.photo is not None
        image = read_image(self.photo)
        if image.shape[:2] != self.truth.shape:
            raise InputError(
                f"{self.photo} has {image.shape[0]} x {image.shape[1]} pixels but its mask has "
                f"{self.truth.shape[0]} x {self.truth.shape[1]}; give photos of the masks' size"
            )
        return image

    @cached_property
    def found(self) -> Face | None:
        """The face that the truth shows, as the default detector finds it."""
        rows, columns = np.nonzero(self.truth)
        if self.photo is None or not len(rows):
            return None
        corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float64)
        return face_at(detect_faces(self.image), corners)

    @cached_property
    def points(self) -> NDArray[np.float32] | None:
        """Its 68 landmarks, (68, 2) px."""
        return None if self.found is None else landmarks68(self.image, self.found)[0]


class MaskMethod(Protocol):
    """A mask of the face in a picture, or None where the method finds none."""

    def __call__(self, sight: Sight, /) -> Answer | None: ...


def make_method(name: str, weights: Sequence[Path] = ()) -> dict[str, MaskMethod]:
    """Methods by the labels of their rows: one, or one for each of ``weights``.

    Raises:
        AssetError: weights are missing or damaged.
    """
    if name == "hull":
        return {"landmark hull with forehead": _hull}
    if name == "all":
        return {"all face": lambda sight: Answer(np.ones_like(sight.truth))}
    if name == "colours":
        return {"colours, no network": _colours}
    if not weights:
        return {"ours": _Network(load_part_predictor())}
    return {f"ours {path.stem}": _Network(part_predictor(read_weights(path))) for path in weights}


def _hull(sight: Sight) -> Answer | None:
    return None if sight.points is None else Answer(landmark_hull(sight.points, *sight.truth.shape))


def _colours(sight: Sight) -> Answer | None:
    if sight.points is None:
        return None
    from pyface3d.systems.fit import reconstruct

    (face,) = reconstruct(sight.image, sight.points, occlusion="colours")
    return None if face.occlusion_mask is None else Answer(face.occlusion_mask.numpy())


@dataclass(frozen=True)
class _Network:
    predictor: FacePartPredictor

    def __call__(self, sight: Sight) -> Answer | None:
        if sight.points is None:
            return None
        (said,) = self.predictor.predict(sight.image, [sight.points])
        return Answer(said.visible_face(*sight.truth.shape), said.face_parts(*sight.truth.shape))


def landmark_hull(points68: Points, height: int, width: int, forehead: float = FOREHEAD) -> Mask:
    """Pixels inside the convex hull of 68 landmarks (68, 2) px and of the brows raised by a forehead, (H, W).

    ``forehead``: in distances from between the brows to the nose's bottom. The default gives about the best F1 that
    such a hull can reach on CelebAMask-HQ, so that it is no straw man.
    """
    points = np.asarray(points68, np.float64)
    up = forehead * ((points[21] + points[22]) / 2 - points[33])
    outline = cv2.convexHull(np.concatenate([points, points[17:27] + up]).astype(np.float32))
    # OpenCV counts the middle of the first pixel as 0; four more bits for fractions of pixels.
    corners = np.round((outline - 0.5) * 16).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, corners, 1, cv2.LINE_8, shift=4)
    return mask > 0
