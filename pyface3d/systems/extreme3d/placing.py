"""The faces of a photo with their heads before the camera of their crops: by the default fit, or as published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.detect import detect_faces, face_from_landmarks, landmarks68
from pyface3d.detect.crops import Crop, extreme3d_crop
from pyface3d.detect.faces import no_face
from pyface3d.face_models import FaceModel
from pyface3d.geometry.bump_maps import CROP_SIZE
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems.extreme3d.carried import carry
from pyface3d.systems.extreme3d.geometry_only import Case, Placed, place_case
from pyface3d.systems.extreme3d.predict import Extreme3dNetworks
from pyface3d.systems.extreme3d.relief import Relief
from pyface3d.systems.steps import timed

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class FoundFace:
    """A face whose head stands before the camera of its crop.

    Attributes:
        box: x0, y0, x1, y1 of the detected face, px.
        points: (68, 2) px of the photo.
        crop: photo to crop.
        picture: the crop, (500, 500, 3) uint8 sRGB.
        placed: the head.
        fitted: the default fit that it was carried from; None where it was found as published.
        timings, quality: so far.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float32]
    crop: Crop
    picture: Picture
    placed: Placed
    fitted: Reconstruction | None
    timings: dict[str, float]
    quality: dict[str, float]


def carried_face(image: Picture, result: Reconstruction, model: FaceModel) -> FoundFace:
    """A face of the default fit, before the camera of its crop."""
    assert result.landmarks is not None
    points = result.landmarks.numpy()
    crop = extreme3d_crop(points, whole_pixels=False)
    placed = carry(result, model, crop)
    timings, quality = dict(result.timings), dict(result.quality)
    return FoundFace(result.box, points, crop, crop.warp(image), placed, result, timings, quality)


def published_faces(
    image: Picture,
    landmarks: NDArray[np.floating[Any]] | None,
    model: FaceModel,
    networks: Extreme3dNetworks | None,
    detector: str,
    predictor: str,
    max_faces: int | None,
    compat: bool,
    device: str,
) -> Iterator[FoundFace]:
    """The faces of a photo as the published program poses them; arguments as of `photo.reconstruct_photo`.

    Raises:
        NoFaceError: no face was found.
    """
    timings: dict[str, float] = {}
    if landmarks is not None:
        faces = [face_from_landmarks(landmarks)]
    else:
        with timed(timings, "detect"):
            faces = detect_faces(image, detector, device=device)
    if not faces:
        raise no_face(image, detector)
    for face in faces[:max_faces]:
        own = dict(timings)
        if landmarks is not None:
            points = np.asarray(landmarks, np.float32)
        else:
            with timed(own, "landmarks"):
                points = landmarks68(image, face, predictor)[0]
        crop = extreme3d_crop(points)
        picture = crop.warp(image)
        with timed(own, "pose"):
            alpha = None
            if networks is not None and networks.gives_identity_of(model):
                alpha = networks.coefficients(picture)[0]
            flat = Relief(torch.zeros(CROP_SIZE, CROP_SIZE), torch.zeros(CROP_SIZE, CROP_SIZE, dtype=torch.uint8))
            case = Case("face", picture, torch.from_numpy(crop.to_crop(points)), alpha, flat)
            placed = place_case(case, model, fit_identity=alpha is None, compat=compat)
        quality = {"detection_score": float(face.score)}
        if placed.landmark_rms_px is not None:
            quality["landmark_rms_crop_px"] = placed.landmark_rms_px
        yield FoundFace(face.box, points, crop, picture, placed, None, own, quality)
