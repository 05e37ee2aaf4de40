"""Public networks in ONNX form that the tables set ours beside; they run through onnxruntime (extra ``onnx``).

Only how a network is fed and read is written here; the files are the user's own (see docs/evaluation.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.boxes import suppress_overlaps
from pyface3d.detect.crops import Crop, Points
from pyface3d.detect.face import Face
from pyface3d.errors import AssetError

OPENSEEFACE_FILE = "lm_model0_opt.onnx"
RFB_FILE = "version-RFB-320.onnx"

OPENSEEFACE_IBUG68 = np.array([*range(48), *range(49, 54), *range(55, 60), 48, 61, 62, 63, 54, 65, 66, 67])
"""Which iBUG landmark each of OpenSeeFace's 66 is; it has no inner mouth corners (60 and 64)."""


def open_onnx(path: Path, threads: int = 1) -> Any:
    """An onnxruntime session of one file on the CPU.

    Raises:
        AssetError: the file or onnxruntime is missing, or the file is no network that it can run.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise AssetError(
            f"onnxruntime is needed to run {path.name}; get it with pip install 'pyface3d[onnx]'"
        ) from error
    if not path.is_file():
        raise AssetError(f"{path} does not exist; --peer-weights names the folder that holds {path.name}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3  # errors only: older files warn about every one of their weights
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no documented base
        raise AssetError(f"{path} is not a network that onnxruntime can run: {error}") from error


class OpenSeeFace:
    """Landmarks of OpenSeeFace's ``lm_model0`` (BSD-2): a heat map and two offset maps for each of 66 points.

    Args:
        path: the ONNX file.

    Raises:
        AssetError: see `open_onnx`.
    """

    _SIZE, _CELLS = 224, 28
    _MARGIN = np.array([0.1, 0.125])  # that its tracker leaves about a face's box on every side, of width and height
    _MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    _OFFSET_SCALE = 16.0  # offsets are stored as the sigmoid of so many times their value

    def __init__(self, path: Path) -> None:
        self._session = open_onnx(path)
        self._input = self._session.get_inputs()[0].name

    def landmarks68(self, image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.float64]:
        """The 68 iBUG landmarks (68, 2) px, NaN for the two that it lacks.

        Args:
            image: (H, W, 3) sRGB.
            box: tight about the face, px.
        """
        low, high = np.array(box[:2]), np.array(box[2:])
        margin = self._MARGIN * (high - low)
        scale = self._SIZE / (high - low + 2 * margin)
        crop = Crop(np.column_stack([np.diag(scale), -(low - margin) * scale]), self._SIZE, self._SIZE)
        pixels = (crop.warp(image, border=None) / 255 - self._MEAN) / self._STD
        maps = self._session.run(None, {self._input: pixels.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        points = np.full((68, 2), np.nan)
        points[OPENSEEFACE_IBUG68] = crop.to_image(self.read_maps(maps))
        return points

    @classmethod
    def read_maps(cls, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """Points (66, 2) in pixels of the crop of maps (198, 28, 28): heat, offsets down, offsets to the right."""
        heat, down, right = maps.reshape(3, 66, -1).astype(np.float64)
        peak = heat.argmax(axis=1)
        offsets = np.stack([each[np.arange(66), peak] for each in (right, down)], axis=1)
        offsets = np.clip(offsets, 1e-7, 1 - 1e-7)
        offsets = np.log(offsets / (1 - offsets)) / cls._OFFSET_SCALE
        cells = np.stack([peak % cls._CELLS, peak // cls._CELLS], axis=1) / (cls._CELLS - 1)
        # Cell 0 is the middle of the first pixel and the last cell that of the last.
        return (cells + offsets) * (cls._SIZE - 1) + 0.5


class UltraLight:
    """Faces by ``version-RFB-320`` of the Ultra-Light-Fast-Generic-Face-Detector (MIT), on a letterboxed picture.

    Args:
        path: the ONNX file.

    Raises:
        AssetError: see `open_onnx`.
    """

    _WIDTH, _HEIGHT = 320, 240
    _OVERLAP = 0.3  # of two boxes that are one face, as its authors set it

    def __init__(self, path: Path) -> None:
        self._session = open_onnx(path)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: NDArray[np.uint8], threshold: float = 0.7) -> list[Face]:
        """Faces of score ``threshold`` or more, best first, without five points (NaN).

        Args:
            image: (H, W, 3) sRGB.
            threshold: least probability.
        """
        crop = self.letterbox(image.shape[1], image.shape[0])
        pixels = (crop.warp(image).astype(np.float32) - 127) / 128
        scores, boxes = self._session.run(None, {self._input: pixels.transpose(2, 0, 1)[None]})
        score = scores[0, :, 1]
        passed = np.flatnonzero(score > threshold)
        corners = boxes[0, passed].reshape(-1, 2, 2) * (self._WIDTH, self._HEIGHT)
        found = crop.to_image(corners).reshape(-1, 4)
        kept = suppress_overlaps(found.astype(np.float32), score[passed], self._OVERLAP)
        nothing: Points = np.full((5, 2), np.nan, np.float32)
        return [
            Face((float(x0), float(y0), float(x1), float(y1)), float(score[passed[k]]), nothing, "rfb-320")
            for k in kept
            for x0, y0, x1, y1 in [found[k]]
        ]

    @classmethod
    def letterbox(cls, width: int, height: int) -> Crop:
        """The whole picture in the middle of the network's input, its proportions kept."""
        scale = min(cls._WIDTH / width, cls._HEIGHT / height)
        shift = (np.array([cls._WIDTH, cls._HEIGHT]) - scale * np.array([width, height])) / 2
        return Crop(np.column_stack([scale * np.eye(2), shift]), cls._WIDTH, cls._HEIGHT)
