"""3DDFA_V2 with its published files: 68 landmarks of any pose by regressing its morphable model.

Users bring its folder; nothing of it ships, as the basis is the Basel face model's. Conventions (crop, whitening,
pixels) are the original's; points come back in pixels of the picture, the first one's middle at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.detect.boxes import suppress_overlaps
from pyface3d.detect.face import Face
from pyface3d.errors import AssetError, InputError
from pyface3d.io.checkpoints import read_state_dict
from pyface3d.io.pickles import read_pickled_arrays
from pyface3d.networks.faceboxes import FaceBoxes
from pyface3d.networks.originals import find_networks, load_original
from pyface3d.networks.tddfa import CROP_SIZE, NUM_PARAMETERS, TddfaNet

_WEIGHTS = ("mb1_120x120.pth", "mb05_120x120.pth")
_WHITENING = "param_mean_std_62d_120x120.pkl"
_BASIS = "bfm_noneck_v3.pkl"
_DETECTOR = "FaceBoxesProd.pth"
_POSE, _SHAPES, _EXPRESSIONS = 12, 40, 10

# The crop: its centre lies so far below the box's, its side is so many box sizes (mean of width and height).
_DOWN, _SIDE = 0.14, 1.58
_MOST_HEIGHT, _MOST_WIDTH = 720, 1080  # larger pictures are shrunk for the detector
_LEAST_SCORE, _OVERLAP = 0.5, 0.3


@dataclass(frozen=True, eq=False)
class TddfaBasis:
    """The morphable model at its 68 landmarks, and the spread of the regressed parameters.

    Attributes:
        mean: (68, 3) in the model's micrometres.
        shapes, expressions: (68, 3, 40) and (68, 3, 10).
        parameter_mean, parameter_std: (62,), of pose (12), shapes (40) and expressions (10).
    """

    mean: NDArray[np.float64]
    shapes: NDArray[np.float64]
    expressions: NDArray[np.float64]
    parameter_mean: NDArray[np.float64]
    parameter_std: NDArray[np.float64]

    def points(self, whitened: NDArray[np.floating]) -> NDArray[np.float64]:
        """Landmarks (68, 3) in the crop, y up, counted from 1, for the network's answer (62,).

        The pose is an affine camera: three rows of scaled rotation and shift.
        """
        values = whitened * self.parameter_std + self.parameter_mean
        pose = values[:_POSE].reshape(3, 4)
        shape = values[_POSE : _POSE + _SHAPES]
        face = self.mean + self.shapes @ shape + self.expressions @ values[_POSE + _SHAPES :]
        return face @ pose[:, :3].T + pose[:, 3]


class Tddfa:
    """Detector, regressor and basis of 3DDFA_V2.

    Attributes:
        has_detector: whether its detector's weights are there; other boxes have to stand in where not.
    """

    def __init__(self, network: TddfaNet, basis: TddfaBasis, detector: FaceBoxes | None = None) -> None:
        self._network, self._basis, self._detector = network, basis, detector
        self.has_detector = detector is not None

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces of a picture (H, W, 3), best first, without points5 (NaN).

        Raises:
            AssetError: the detector's weights were not given.
        """
        if self._detector is None:
            raise AssetError(f"{_DETECTOR} was not in the folder of 3DDFA_V2; put it there, or use another detector")
        height, width = image.shape[:2]
        scale = min(1.0, _MOST_HEIGHT / height, _MOST_WIDTH / width)
        if scale < 1:
            size = max(round(width * scale), 1), max(round(height * scale), 1)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        pixels = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            boxes, scores = (values.double().numpy() for values in self._detector(pixels))
        sure = scores >= _LEAST_SCORE
        boxes, scores = boxes[sure] * np.tile([width / image.shape[1], height / image.shape[0]], 2), scores[sure]
        nowhere = np.full((5, 2), np.nan, np.float32)
        faces = []
        for index in suppress_overlaps(boxes, scores, _OVERLAP):
            x0, y0, x1, y1 = (float(value) for value in boxes[index])
            faces.append(Face((x0, y0, x1, y1), float(scores[index]), nowhere, "faceboxes"))
        return faces

    def landmarks(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """The 68 landmarks (68, 2) px of a face; the jaw's are fixed points of the head, hidden or not.

        Raises:
            InputError: the face's box has no extent.
        """
        x0, y0, x1, y1 = face.box
        size = (x1 - x0 + y1 - y0) / 2
        side = int(size * _SIDE)
        if not (np.isfinite(face.box).all() and side >= 1):
            raise InputError(f"face.box must span more than a pixel, got {face.box}")
        left = (x0 + x1) / 2 - side / 2
        top = (y0 + y1) / 2 + _DOWN * size - side / 2
        pixels = _cut(image, round(left), round(top), round(left + side), round(top + side))
        whitened = torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1])).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            answer = self._network((whitened - 127.5) / 128)[0].double().numpy()
        points = self._basis.points(answer)
        in_crop = np.column_stack([points[:, 0] - 1, CROP_SIZE - points[:, 1]])
        return (in_crop * (side / CROP_SIZE) + (left, top) + 0.5).astype(np.float32)


def _cut(image: NDArray[np.uint8], left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
    """A part of the picture at the network's size; black beyond the picture."""
    height, width = image.shape[:2]
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.size == 0:
        return np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    pads = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    whole = cv2.copyMakeBorder(inside, *pads, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    small = cv2.resize(whole, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    return small.astype(np.uint8, copy=False)


def read_tddfa(folder: Path) -> Tddfa:
    """3DDFA_V2 from a folder with its published files: ``mb1_120x120.pth`` or ``mb05_120x120.pth``,
    ``param_mean_std_62d_120x120.pkl``, ``bfm_noneck_v3.pkl``, and ``FaceBoxesProd.pth`` where its detector is wanted.

    Sub-folders are searched, so a checkout of the original will do.

    Raises:
        AssetError: a file is missing, or is not the published one.
        InputError: a file cannot be read.
    """
    if not folder.is_dir():
        raise AssetError(f"{folder} is no folder; give one with the files of 3DDFA_V2 (github.com/cleardusk/3DDFA_V2)")
    weights = next((found for name in _WEIGHTS if (found := _find(folder, name))), None)
    files = {_WEIGHTS[1]: weights, _WHITENING: _find(folder, _WHITENING), _BASIS: _find(folder, _BASIS)}
    missing = [name for name, path in files.items() if path is None]
    if missing:
        raise AssetError(
            f"{folder} lacks {', '.join(missing)} of 3DDFA_V2 (github.com/cleardusk/3DDFA_V2; its basis is for "
            "research only, from the Basel face model's licence)"
        )
    assert weights is not None
    basis = read_tddfa_basis(files[_BASIS] or folder, files[_WHITENING] or folder)
    detector = _find(folder, _DETECTOR)
    boxes = None if detector is None else load_original("faceboxes", read_state_dict(detector))
    state = read_state_dict(weights)
    network = load_original(find_networks(state, ("tddfa_mb05", "tddfa_mb1"))[0].name, state)
    return Tddfa(cast(TddfaNet, network), basis, cast("FaceBoxes | None", boxes))


def read_tddfa_basis(basis_file: Path, whitening_file: Path) -> TddfaBasis:
    """The basis at the 68 landmarks from ``bfm_noneck_v3.pkl`` and the parameters' spread from ``param_mean_std…pkl``.

    Raises:
        InputError: a file cannot be read, or does not hold these arrays.
    """
    basis, whitening = read_pickled_arrays(basis_file), read_pickled_arrays(whitening_file)
    try:
        rows = basis["keypoints"].reshape(-1).astype(np.int64)
        flat = basis["u"].reshape(-1).astype(np.float64)
        shapes = basis["w_shp"].astype(np.float64)[:, :_SHAPES]
        expressions = basis["w_exp"].astype(np.float64)[:, :_EXPRESSIONS]
        mean, std = (whitening[name].reshape(-1).astype(np.float64) for name in ("mean", "std"))
        if rows.shape != (204,) or not ((rows >= 0) & (rows < len(flat))).all():
            raise ValueError(f"keypoints are no 204 rows of {len(flat)}")
        if shapes.shape != (len(flat), _SHAPES) or expressions.shape != (len(flat), _EXPRESSIONS):
            raise ValueError(f"w_shp and w_exp have shapes {shapes.shape} and {expressions.shape}")
        if mean.shape != (NUM_PARAMETERS,) or std.shape != (NUM_PARAMETERS,):
            raise ValueError(f"mean and std have shapes {mean.shape} and {std.shape}")
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"{basis_file} and {whitening_file.name} are not the files of 3DDFA_V2: {error}; it needs u, w_shp, w_exp, "
            "keypoints, and mean, std of 62 parameters"
        ) from error
    return TddfaBasis(
        flat[rows].reshape(68, 3),
        shapes[rows].reshape(68, 3, _SHAPES),
        expressions[rows].reshape(68, 3, _EXPRESSIONS),
        mean,
        std,
    )


def _find(folder: Path, name: str) -> Path | None:
    return next(iter(sorted(folder.rglob(name))), None)
