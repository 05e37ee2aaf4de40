"""The ways from a picture to an identity that the geometry table compares, by name. `METHODS` may be added to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.detect import detect_faces
from pyface3d.detect.face_points import FacePointPredictor, FacePrediction, load_face_points
from pyface3d.detect.landmarks import PREDICTOR, landmarks68
from pyface3d.errors import NoFaceError
from pyface3d.evaluate.landmark_methods import predictor_of
from pyface3d.evaluate.model_span import identity_of_scan
from pyface3d.evaluate.scan_distance import NOW_LANDMARKS
from pyface3d.evaluate.scanned_faces import ScannedFace
from pyface3d.fit import fit_landmarks
from pyface3d.fit.results import DenseLandmarks
from pyface3d.systems.fit import reconstruct

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_SMALL_TEXTURE = 64  # texels: the texture is not measured here


@dataclass(frozen=True, eq=False)
class Subject:
    """What methods are made from.

    Attributes:
        model: the head model that is fitted.
        skin: its faces (F, 3) of skin, which scans show.
        weights: file of our network's weights that stands in for the shipped one where a method asks the network
            itself; `reconstruct` takes the shipped one.
    """

    model: FaceModel
    skin: Tensor
    weights: Path | None = None

    @cached_property
    def network(self) -> FacePointPredictor:
        return load_face_points() if self.weights is None else predictor_of(self.weights)

    def prediction(self, image: NDArray[np.uint8]) -> FacePrediction:
        """What the network says of the best face of a picture.

        Raises:
            NoFaceError: none was found.
        """
        return self.network.predict(image, detect_faces(image)[:1] or no_face())[0]

    def fit(
        self,
        image: NDArray[np.uint8],
        points: NDArray[Any],
        sigma: NDArray[Any],
        dense: DenseLandmarks | None = None,
    ) -> Tensor:
        """The identity (1, I) that explains 68 landmarks, and dense points where given, best."""
        marks, spread = (torch.from_numpy(np.ascontiguousarray(each, np.float32))[None] for each in (points, sigma))
        return fit_landmarks(self.model, marks, spread, *image.shape[:2], dense=dense).identity


Method = Callable[[Subject, ScannedFace], Tensor]
"""The identity (1, I) of a pictured face; raises NoFaceError where none is found."""


def no_face() -> Any:
    """Raise NoFaceError: for the end of an expression."""
    raise NoFaceError("no face was found")


def _product(fit: Literal["landmarks", "full"], given: bool = False, predictor: str = PREDICTOR) -> Method:
    def identity(subject: Subject, face: ScannedFace) -> Tensor:
        marks = face.landmarks if given else None
        found = reconstruct(
            *(face.image, marks),
            model=subject.model,
            fit=fit,
            predictor=predictor,
            max_faces=1,
            texture_size=_SMALL_TEXTURE,
        )
        return found[0].coefficients["identity"][None]

    return identity


def _dlib(subject: Subject, face: ScannedFace) -> Tensor:
    found = detect_faces(face.image, "mtcnn")[:1] or no_face()
    return subject.fit(face.image, *landmarks68(face.image, found[0], "dlib"))


def _network68(subject: Subject, face: ScannedFace) -> Tensor:
    found = subject.prediction(face.image)
    return subject.fit(face.image, found.points[:68], found.sigma[:68])


def _network_dense(subject: Subject, face: ScannedFace) -> Tensor:
    found = subject.prediction(face.image)
    dense = DenseLandmarks(
        *(
            torch.from_numpy(each)[None]
            for each in (found.points[68:], found.sigma[68:], found.identity, found.expression)
        )
    )
    return subject.fit(face.image, found.points[:68], found.sigma[:68], dense)


def _coefficients(subject: Subject, face: ScannedFace) -> Tensor:
    return torch.from_numpy(subject.prediction(face.image).identity)[None]


def _span(subject: Subject, face: ScannedFace) -> Tensor:
    marks = list(NOW_LANDMARKS)
    return identity_of_scan(subject.model, subject.skin, marks, face.scan_points, face.scan_landmarks[marks])


METHODS: dict[str, Method] = {
    "dlib-68": _dlib,
    "network-68": _network68,
    "network-dense": _network_dense,
    "coefficients": _coefficients,
    "landmarks": _product("landmarks"),
    "full": _product("full"),
    "full-dlib": _product("full", predictor="dlib"),
    "landmarks-true": _product("landmarks", given=True),
    "full-true": _product("full", given=True),
    "span": _span,
}
"""By name: the fit to dlib's 68 landmarks (ten looks, from MTCNN's box), to our network's 68, to its 68 and dense
points with its coefficients as expectation, and those coefficients without a fit; what `reconstruct` does with
landmarks alone, with pixels after them, and with pixels after dlib's; the same from the true landmarks, which takes the
predictor's errors out; and the model fitted to the scan itself, the least error that its identities allow."""
