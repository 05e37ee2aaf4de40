"""RetinaFace with its published weights, which users bring.

The picture keeps its proportions here: the longer side is brought to the size that the networks were trained at, and
the rest is filled with their mean colour. Channels go in as the networks learned them, blue first.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.detect.boxes import suppress_overlaps
from pyface3d.detect.crops import Crop
from pyface3d.detect.face import Face
from pyface3d.errors import AssetError
from pyface3d.networks.retinaface import MEAN_BGR, STRIDES, RetinaFace

FILES = ("Resnet50_Final.pth", "mobilenet0.25_Final.pth")
NETWORKS = ("retinaface_resnet50", "retinaface_mobilenet025")
_LONGEST = 640  # px: faces of a tenth of the picture and more are within what the anchors cover
_SMALLEST_ANCHOR = 16.0
_OVERLAP = 0.4
_MOST = 5000  # candidates that are compared


class RetinaFaceDetector:
    """Faces of a picture by one of the two networks, in evaluation mode."""

    def __init__(self, network: RetinaFace, device: str = "cpu") -> None:
        self._network, self._device = network.to(device).eval(), torch.device(device)

    def faces(self, image: NDArray[np.uint8], min_size: float, threshold: float) -> list[Face]:
        """Faces of ``min_size`` px and more with a score of ``threshold`` and more, best first.

        Args:
            image: (H, W, 3) uint8 sRGB.
        """
        crop = letterbox(image.shape[1], image.shape[0], min_size)
        # The mean colour beyond the picture: after it is taken off, nothing.
        inside = crop.warp(np.full(image.shape[:2], 255, np.uint8)) > 127
        pixels = crop.warp(image, border=None)[..., ::-1].astype(np.float32)
        pixels[~inside] = MEAN_BGR
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].to(self._device)
            boxes, scores, points = (answer[0].float().cpu().numpy() for answer in self._network(batch))
        return read_answers(crop, boxes, scores, points, min_size, threshold)


def letterbox(width: int, height: int, min_size: float = _SMALLEST_ANCHOR) -> Crop:
    """The whole picture at the network's size, sides filled up to multiples of the coarsest stride.

    Small faces, when wanted, keep the picture larger: one of ``min_size`` px shows at least the smallest anchor's 16.
    """
    scale = min(max(_LONGEST / max(width, height), _SMALLEST_ANCHOR / min_size), 4.0)
    step = STRIDES[-1]
    size = [max(-(-round(side * scale) // step) * step, step) for side in (width, height)]
    return Crop(np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]]), size[0], size[1])


def read_answers(
    crop: Crop,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    points: NDArray[np.float32],
    min_size: float,
    threshold: float,
) -> list[Face]:
    """Faces in the picture's pixels of a network's answers (N, 4), (N,) and (N, 5, 2) in those of ``crop``."""
    sure = np.flatnonzero(scores >= threshold)
    sure = sure[np.argsort(-scores[sure], kind="stable")[:_MOST]]
    found = crop.to_image(boxes[sure].reshape(-1, 2, 2)).reshape(-1, 4)
    faces = []
    for kept in suppress_overlaps(found.astype(np.float32), scores[sure], _OVERLAP):
        x0, y0, x1, y1 = (float(value) for value in found[kept])
        face = Face(
            (x0, y0, x1, y1),
            float(scores[sure[kept]]),
            crop.to_image(points[sure[kept]]).astype(np.float32),
            "retinaface",
        )
        if face.size >= min_size:
            faces.append(face)
    return faces


def read_retinaface(path: Path, device: str = "cpu") -> RetinaFaceDetector:
    """The detector with the weights of a published or converted file; which network it is of is told from its keys.

    Raises:
        AssetError: the file is missing, or holds neither network.
        InputError: it is damaged.
    """
    from pyface3d.io.checkpoints import read_state_dict
    from pyface3d.networks.originals import find_networks, load_original

    if not path.is_file():
        raise AssetError(f"{path} does not exist; give {' or '.join(FILES)} of github.com/biubug6/Pytorch_Retinaface")
    state = read_state_dict(path)
    network = load_original(find_networks(state, NETWORKS)[0].name, state)
    return RetinaFaceDetector(cast(RetinaFace, network), device)


@lru_cache(maxsize=2)
def load_retinaface(device: str = "cpu") -> RetinaFaceDetector:
    """The detector with the weights that lie in the folder of PYFACE3D_MODELS; ResNet-50's where both do.

    Raises:
        AssetError: the variable is not set, or the folder has no such file.
    """
    folder = os.environ.get("PYFACE3D_MODELS")
    for name in (*FILES, *(f"{network}.safetensors" for network in NETWORKS)):
        if folder is not None and (Path(folder) / name).is_file():
            return read_retinaface(Path(folder) / name, device)
    raise AssetError(
        f"the detector retinaface needs {FILES[0]} or {FILES[1]} of github.com/biubug6/Pytorch_Retinaface (trained "
        "on WIDER FACE): put one into a folder and set PYFACE3D_MODELS to it"
    )
