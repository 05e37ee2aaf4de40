"""Landmarks, visibility, pose and coefficients of a face by our own network.

The network sees a square of the picture about the 68 landmarks. Where that is, is first guessed from the detector's
box and then known from the network's own points: every face is looked at again from there, closer, upright, from two
places and as a mirror image too. Looks that disagree widen the standard deviations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.detect.crops import Crop, Points, square_crop
from pyface3d.detect.face import Face, face_roll, five_points
from pyface3d.detect.faces import check_image
from pyface3d.detect.shipped import ready_to_ask, shipped_predictor
from pyface3d.errors import InputError
from pyface3d.face_models.landmarks import CROP_MARGIN, IBUG68_FLIP

if TYPE_CHECKING:
    from pyface3d.networks.face_points import FacePoints


# Where the network's square lies, seen from each detector's box: its middle `down` box sizes below the box's (along the
# face's own vertical), its side `side` box sizes (size: `Face.size`). Medians over rendered people, by
# scripts/calibrate_crops.py. A box from landmarks is measured exactly instead.
CROP_SQUARES = {"mtcnn": (0.14, 1.14), "dlib": (0.11, 1.19), "dlib-cnn": (0.15, 1.28)}
CROP_SQUARES["retinaface"] = CROP_SQUARES["mtcnn"]  # trained with the same boxes (WIDER FACE); not measured by itself
# The second look is a little closer, as the network sees few pixels, and taken twice, a little shifted each time:
# on 300-W the median error falls by a tenth.
SECOND_MARGIN = 1.25
_SECOND_SHIFTS = ((0.03, 0.02), (-0.03, -0.02))
_PASSES_APART = 0.5  # share of the distance between the two passes that counts as deviation
_MOST_MOVED, _MOST_SCALED = 0.5, 2.0  # of the second square against the first, sides; beyond, the first was no face
_SCORE_SCALES = (0.87, 1.0, 1.15)  # of the squares that a face is judged by
_BATCH = 32


@dataclass(frozen=True, eq=False)
class FacePrediction:
    """What the network says about one face. P points: the 68 iBUG landmarks, then the dense ones.

    Attributes:
        points: (P, 2) float32, px of the picture.
        sigma: standard deviation of each coordinate, (P,) float32, px.
        visible: probability that the point is seen, (P,) float32.
        rotation: model frame to camera frame as seen along the ray through the crop's middle, (3, 3) float32.
        identity: coefficients of the head model in σ units, (I,) float32.
        expression: strengths of its actions, (E,) float32.
        score: probability that there is a face, in [0, 1].
        crop: the square that was looked at last.
    """

    points: NDArray[np.float32]
    sigma: NDArray[np.float32]
    visible: NDArray[np.float32]
    rotation: NDArray[np.float32]
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    score: float
    crop: Crop


@dataclass(frozen=True)
class _Looks:
    """The network's answers about N crops, points and deviations in pixels of the crops."""

    points: NDArray[np.float64]
    variance: NDArray[np.float64]
    visible: NDArray[np.float64]
    rotation: NDArray[np.float64]
    identity: NDArray[np.float64]
    expression: NDArray[np.float64]
    logit: NDArray[np.float64]

    def __getitem__(self, part: slice) -> _Looks:
        return _Looks(**{name: value[part] for name, value in vars(self).items()})


class FacePointPredictor:
    """The network and how it is asked; no state from picture to picture.

    Args:
        network: see `networks.face_points.FacePoints`.
        device: where it runs.
    """

    def __init__(self, network: FacePoints, device: str = "cpu") -> None:
        self.network = ready_to_ask(network, device)
        self.device = torch.device(device)
        self.size = network.config.size
        self._mirrored_points = _mirrored_points(network.dense_mirror)

    def predict(self, image: NDArray[np.uint8], faces: Sequence[Face], *, mirror: bool = True) -> list[FacePrediction]:
        """What the network says about each of ``faces``, all together.

        Args:
            image: (H, W, 3) uint8, sRGB, the picture that they were found in.
            faces: from `detect_faces` or `face_from_landmarks`.
            mirror: look at the mirror images too: twice the time, smaller errors.

        Raises:
            InputError: the image or a face cannot be used.
        """
        check_image(image)
        first_crops = [face_crop(face, self.size) for face in faces]
        if not first_crops:
            return []
        first = self._look(image, first_crops, mirror=False)
        crops = [_second_crop(crop, points[:68], self.size) for crop, points in zip(first_crops, first.points)]
        looks = [_shifted(crop, shift) for crop in crops for shift in _SECOND_SHIFTS]
        second = self._look(image, looks, mirror)
        count = len(_SECOND_SHIFTS)
        return [
            self._prediction(
                (first_crops[k], crops[k], looks[k * count : (k + 1) * count]),
                first[k : k + 1],
                second[k * count : (k + 1) * count],
            )
            for k in range(len(faces))
        ]

    def face_log_odds(self, image: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.float64]:
        """Log-odds (N,) that each of ``faces`` is one: the mean over looks at several scales and at mirror images."""
        crops = [face_crop(face, self.size, scale) for face in faces for scale in _SCORE_SCALES]
        if not crops:
            return np.zeros(0)
        return self._look(image, crops, mirror=True).logit.reshape(len(faces), -1).mean(axis=1)

    def _prediction(self, crops: tuple[Crop, Crop, list[Crop]], first: _Looks, second: _Looks) -> FacePrediction:
        """One face from its first look and the second ones; crops: the first, the second unshifted, those looked at."""
        first_crop, crop, shifted = crops
        each = np.stack([one.to_image(points) for one, points in zip(shifted, second.points)])
        points = each.mean(axis=0)
        between = np.square(each - points).sum(axis=-1).mean(axis=0) / 2
        passes = np.square(points - first_crop.to_image(first.points[0])).sum(axis=-1) / 2
        variance = second.variance.mean(axis=0) / crop.scale**2 + between + _PASSES_APART**2 * passes
        return FacePrediction(
            points=points.astype(np.float32),
            sigma=np.sqrt(variance).astype(np.float32),
            visible=second.visible.mean(axis=0).astype(np.float32),
            rotation=(_turned_back(crop) @ _mean_rotation(second.rotation)).astype(np.float32),
            identity=second.identity.mean(axis=0).astype(np.float32),
            expression=second.expression.mean(axis=0).astype(np.float32),
            score=float(_sigmoid((first.logit[0] + second.logit.mean()) / 2)),
            crop=crop,
        )

    def _look(self, image: NDArray[np.uint8], crops: Sequence[Crop], mirror: bool) -> _Looks:
        pixels = np.stack([crop.warp(image) for crop in crops])
        straight = self._ask(pixels)
        if not mirror:
            return straight
        return _averaged(straight, self._mirrored(self._ask(np.ascontiguousarray(pixels[:, :, ::-1]))))

    @torch.inference_mode()
    def _ask(self, pixels: NDArray[np.uint8]) -> _Looks:
        """Answers about crops (N, S, S, 3) uint8."""
        rows: list[tuple[Tensor, ...]] = []
        for start in range(0, len(pixels), _BATCH):
            batch = torch.from_numpy(pixels[start : start + _BATCH]).to(self.device)
            out = self.network(batch.permute(0, 3, 1, 2).float() / 255)
            rows.append((out.points, out.log_sigma, out.visible, out.rotation, out.identity, out.expression, out.score))
        points, log_sigma, visible, rotation, identity, expression, score = (
            torch.cat(part).double().cpu().numpy() for part in zip(*rows)
        )
        return _Looks(
            points * self.size,
            np.square(np.exp(log_sigma) * self.size),
            _sigmoid(visible),
            rotation,
            identity,
            expression,
            score,
        )

    def _mirrored(self, looks: _Looks) -> _Looks:
        """Answers about mirror images as answers about the pictures; identity and expression stay the mirror's."""
        order = self._mirrored_points
        points = looks.points[:, order]
        points[..., 0] = self.size - points[..., 0]
        flip = np.diag([-1.0, 1.0, 1.0])
        return _Looks(
            points,
            looks.variance[:, order],
            looks.visible[:, order],
            flip @ looks.rotation @ flip,
            looks.identity,
            looks.expression,
            looks.logit,
        )


def _averaged(straight: _Looks, mirrored: _Looks) -> _Looks:
    """Means of two looks; what they differ by adds to the variance. Identity and expression are the straight look's."""
    apart = np.square(straight.points - mirrored.points).sum(axis=-1) / 2
    rotations = [_mean_rotation(np.stack(pair)) for pair in zip(straight.rotation, mirrored.rotation)]
    return _Looks(
        (straight.points + mirrored.points) / 2,
        (straight.variance + mirrored.variance) / 2 + apart / 4,
        (straight.visible + mirrored.visible) / 2,
        np.stack(rotations),
        straight.identity,
        straight.expression,
        (straight.logit + mirrored.logit) / 2,
    )


def _mean_rotation(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation nearest to the mean of (N, 3, 3)."""
    left, _, right = np.linalg.svd(rotations.mean(axis=0))
    right[2] *= np.linalg.det(left @ right)
    mean: NDArray[np.float64] = left @ right
    return mean


def upright_roll(face: Face) -> float:
    """In-plane rotation of a face by its five points, radians; 0 where the detector gives none."""
    return face_roll(face.points5) if np.isfinite(face.points5).all() else 0.0


def face_crop(face: Face, size: int, scale: float = 1.0) -> Crop:
    """The square of the picture that the network wants to see of a face, upright, brought to ``size`` pixels.

    ``scale`` makes the square larger than usual, or smaller.

    Raises:
        InputError: the face is of no known detector, or its box has no extent.
    """
    if face.detector not in (*CROP_SQUARES, "landmarks"):
        known = ", ".join((*CROP_SQUARES, "landmarks"))
        raise InputError(f"face.detector must be one of {known} (its box decides where to look), got {face.detector!r}")
    if not (1 < face.size < np.inf and np.isfinite(face.center).all()):
        raise InputError(f"face.box must span more than a pixel, got {face.box}")
    roll = upright_roll(face)
    if face.detector == "landmarks":
        x0, y0, x1, y1 = face.box
        return square_crop(np.array(face.center), scale * CROP_MARGIN * max(x1 - x0, y1 - y0), size, roll=roll)
    down, side = CROP_SQUARES[face.detector]
    center = np.array(face.center) + down * face.size * np.array([-np.sin(roll), np.cos(roll)])
    return square_crop(center, scale * side * face.size, size, roll=roll)


def points_crop(points68: Points, size: int, margin: float = CROP_MARGIN, raised: float = 0.0) -> Crop:
    """The square about 68 landmarks (68, 2) px, upright; its side is ``margin`` times the larger side of their box.

    Its middle lies ``raised`` of its sides above the box's, towards the forehead.
    """
    roll = face_roll(five_points(points68))
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    upright = np.asarray(points68, np.float64) @ turn.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    side = margin * float((high - low).max())
    return square_crop(turn.T @ ((low + high) / 2 - (0, raised * side)), side, size, roll=roll)


def _second_crop(first: Crop, points68: NDArray[np.float64], size: int) -> Crop:
    """The square about the points found in ``first`` (68, 2) crop px; ``first`` itself where they make no face."""
    try:
        second = points_crop(first.to_image(points68), size, SECOND_MARGIN)
    except InputError:
        return first
    moved = np.abs(first.to_crop(second.to_image(np.array([size / 2, size / 2]))) - size / 2).max() / size
    scaled = second.scale / first.scale * SECOND_MARGIN / CROP_MARGIN
    sane = moved < _MOST_MOVED and 1 / _MOST_SCALED < scaled < _MOST_SCALED
    return second if sane else first


def _shifted(crop: Crop, shift: tuple[float, float]) -> Crop:
    """The crop moved over the picture by shares of its side (right, down, in its own frame)."""
    matrix = crop.matrix.copy()
    matrix[:, 2] -= np.array(shift) * (crop.width, crop.height)
    return Crop(matrix, crop.width, crop.height)


def _turned_back(crop: Crop) -> NDArray[np.float64]:
    """(3, 3): undoes the in-plane turn of an upright crop in the camera frame (x right, y down)."""
    turn = np.eye(3)
    turn[:2, :2] = crop.inverse[:, :2] * crop.scale
    return turn


def _mirrored_points(dense_mirror: Tensor) -> NDArray[np.int64]:
    """Which of the network's points each one becomes in a mirror image, (P,)."""
    return np.concatenate([np.array(IBUG68_FLIP), 68 + dense_mirror.cpu().numpy()])


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def points_predictor(weights: Mapping[str, Tensor], device: str = "cpu") -> FacePointPredictor:
    """The predictor with weights of a file.

    Raises:
        AssetError: they are not this network's.
    """
    from pyface3d.networks.face_points import face_points_network

    return FacePointPredictor(face_points_network(weights), device)


load_face_points = shipped_predictor("face_points", points_predictor)
"""The predictor with its shipped weights, by device."""


def predict_points(image: NDArray[np.uint8], face: Face, *, device: str = "cpu") -> FacePrediction:
    """All that the network says about one face.

    Args:
        image: (H, W, 3) uint8, sRGB, the picture that ``face`` was found in.
        face: from `detect_faces` or `face_from_landmarks`.
        device: torch device that the network runs on.

    Raises:
        AssetError: the weights are missing or damaged.
        InputError: the image or the face cannot be used.
    """
    return load_face_points(device).predict(image, [face])[0]
