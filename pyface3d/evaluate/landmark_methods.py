"""The methods that the landmark table compares, by name. `METHODS` may be added to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points
from pyface3d.detect.dlib_landmarks import dlib_square
from pyface3d.detect.dlib_models import load_shape_predictor
from pyface3d.detect.face import Face, face_from_landmarks
from pyface3d.detect.faces import detect_faces
from pyface3d.detect.landmarks import landmarks68
from pyface3d.errors import AssetError, InputError
from pyface3d.evaluate.annotated_faces import AnnotatedFace, face_at
from pyface3d.evaluate.onnx_peers import OPENSEEFACE_FILE, OpenSeeFace

if TYPE_CHECKING:
    from pyface3d.detect.face_points import FacePointPredictor


@dataclass(frozen=True)
class Answer:
    """What a method says about one face.

    Attributes:
        points: (68, 2) px; NaN for landmarks that the method lacks.
        sigma: standard deviation of each coordinate (68,) px, from those who give one.
        five: eyes' middles, nose tip and mouth corners (5, 2) px where they are not to be taken from ``points``.
    """

    points: Points
    sigma: Points | None = None
    five: Points | None = None


@dataclass(frozen=True)
class Sight:
    """One picture as the methods get it; what several of them ask for is computed once."""

    image: NDArray[np.uint8]
    truth: AnnotatedFace

    @cached_property
    def found(self) -> Face | None:
        """The annotated face as the default detector finds it."""
        return face_at(detect_faces(self.image), self.truth.points)

    @cached_property
    def mtcnn(self) -> Face | None:
        """The same as MTCNN alone finds it."""
        return face_at(detect_faces(self.image, "mtcnn"), self.truth.points)

    @cached_property
    def given(self) -> Face:
        """The face whose box is tight about the true landmarks; nothing more of the truth is told."""
        return replace(face_from_landmarks(self.truth.points), points5=np.full((5, 2), np.nan, np.float32))


class Method(Protocol):
    """Landmarks of a face, or None where the method finds no face."""

    def __call__(self, sight: Sight, /) -> Answer | None: ...


@dataclass(frozen=True)
class Setting:
    """What methods are made from.

    Attributes:
        faces: all pictures of the run; only the mean shape looks at their landmarks.
        weights: files of our network's weights that stand in for the shipped ones, each measured by itself.
        peer_weights: folder of public networks (`onnx_peers`), or None.
    """

    faces: Sequence[AnnotatedFace]
    weights: tuple[Path, ...] = ()
    peer_weights: Path | None = None


Makers = Callable[[Setting], Iterator[tuple[str, Method]]]


def _ours(setting: Setting) -> Iterator[tuple[str, Method]]:
    if not setting.weights:
        yield "ours", _Found()
    for path in setting.weights:
        yield f"ours {path.stem}", _Found(path)


def _ours_given(setting: Setting) -> Iterator[tuple[str, Method]]:
    if not setting.weights:
        yield "ours, true box", _Given()
    for path in setting.weights:
        yield f"ours {path.stem}, true box", _Given(path)


def _dlib_looks(setting: Setting) -> Iterator[tuple[str, Method]]:
    yield "mtcnn + dlib, 10 looks", _ten_looks


def _dlib(setting: Setting) -> Iterator[tuple[str, Method]]:
    yield "dlib, true box", _dlib_given


def _openseeface(setting: Setting) -> Iterator[tuple[str, Method]]:
    if setting.peer_weights is None:
        raise AssetError(f"OpenSeeFace needs {OPENSEEFACE_FILE}; name its folder with --peer-weights")
    network = OpenSeeFace(setting.peer_weights / OPENSEEFACE_FILE)
    yield "openseeface, true box", lambda sight: Answer(network.landmarks68(sight.image, sight.given.box))


def _mtcnn(setting: Setting) -> Iterator[tuple[str, Method]]:
    yield "mtcnn, five points", _mtcnn_five


def _mean(setting: Setting) -> Iterator[tuple[str, Method]]:
    mean = MeanShape(face.points for face in setting.faces)
    yield "mean shape, true box", lambda sight: Answer(mean.of(sight.truth.points))


METHODS: dict[str, Makers] = {
    "ours": _ours,
    "ours-box": _ours_given,
    "dlib-looks": _dlib_looks,
    "dlib": _dlib,
    "openseeface": _openseeface,
    "mtcnn": _mtcnn,
    "mean": _mean,
}
"""By name: ours as users get it (detector and network), and given the true box; dlib asked ten times from MTCNN's box;
dlib, OpenSeeFace and the mean shape given the true box; MTCNN's own five points."""


def make_methods(names: Sequence[str], setting: Setting) -> dict[str, Method]:
    """The methods of ``names`` (keys of `METHODS`), by the label of their rows.

    Raises:
        InputError: a name is unknown, or two weights files have the same name.
        AssetError: a file that a method needs is missing or damaged.
    """
    methods: dict[str, Method] = {}
    for name in names:
        if name not in METHODS:
            raise InputError(f"methods must be of {', '.join(METHODS)}, got {name!r}")
        for label, method in METHODS[name](setting):
            if label in methods:
                raise InputError(f"two rows would be called {label!r}; give each method and each weights file once")
            methods[label] = method
    return methods


class _Ours:
    """Our landmarks of a face, by the shipped weights or those of a file."""

    def __init__(self, weights: Path | None = None) -> None:
        self._predictor = None if weights is None else predictor_of(weights)

    def _answer(self, image: NDArray[np.uint8], face: Face) -> Answer:
        if self._predictor is None:
            return Answer(*landmarks68(image, face))
        found = self._predictor.predict(image, [face])[0]
        return Answer(found.points[:68], found.sigma[:68])


class _Found(_Ours):
    def __call__(self, sight: Sight, /) -> Answer | None:
        return None if sight.found is None else self._answer(sight.image, sight.found)


class _Given(_Ours):
    def __call__(self, sight: Sight, /) -> Answer | None:
        return self._answer(sight.image, sight.given)


def predictor_of(weights: Path) -> FacePointPredictor:
    """Our landmark network with the weights of a file.

    Raises:
        AssetError: the file is missing, damaged, or not of this network.
    """
    from pyface3d.detect.face_points import points_predictor
    from pyface3d.io.weights import read_weights

    return points_predictor(read_weights(weights))


def _ten_looks(sight: Sight, /) -> Answer | None:
    return None if sight.mtcnn is None else Answer(*landmarks68(sight.image, sight.mtcnn, "dlib"))


def _dlib_given(sight: Sight, /) -> Answer:
    """dlib as its users call it: once, on the picture, from the box it was trained with."""
    import dlib

    center, side, _ = dlib_square(sight.given)
    x, y, half = *center, side / 2
    square = dlib.rectangle(*(round(float(v)) for v in (x - half, y - half, x + half - 1, y + half - 1)))
    parts = load_shape_predictor()(sight.image, square).parts()
    return Answer(np.array([(part.x + 0.5, part.y + 0.5) for part in parts]))


def _mtcnn_five(sight: Sight, /) -> Answer | None:
    if sight.mtcnn is None:
        return None
    return Answer(np.full((68, 2), np.nan), five=sight.mtcnn.points5)


class MeanShape:
    """The mean of known shapes, each scaled to its tight box; the box of the face at hand is given.

    Args:
        shapes: landmarks (68, 2) px of every face.
    """

    def __init__(self, shapes: Iterable[Points]) -> None:
        inside = [self._in_box(points) for points in shapes]
        self._count, self._total = len(inside), np.sum(inside, axis=0)

    def of(self, truth: Points) -> Points:
        """The mean of the other shapes in the box of this one, which must be among them."""
        own = self._in_box(truth)
        # Leave the face's own shape out of its mean, unless it is the only one.
        mean = (self._total - own) / (self._count - 1) if self._count > 1 else own
        low, high = truth.min(axis=0), truth.max(axis=0)
        return low + mean * (high - low)

    @staticmethod
    def _in_box(points: Points) -> Points:
        low, high = points.min(axis=0), points.max(axis=0)
        return (points - low) / (high - low)
