"""From a face's box to points in the picture: crops, passes, mirror images, deviations.

A stand-in for the network answers from what it sees: it finds the coloured dots of a drawn face and places all points
by them, left and right as the picture shows them, like a network does. So every map on the way is tested exactly.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyface3d.detect import detect_faces, landmarks68, predict_points
from pyface3d.detect.face import Face, face_from_landmarks
from pyface3d.detect.face_points import (
    CROP_MARGIN,
    SECOND_MARGIN,
    FacePointPredictor,
    face_crop,
    points_crop,
    upright_roll,
)
from pyface3d.errors import InputError
from pyface3d.face_models import IBUG68_FLIP, load_face_model
from pyface3d.face_models.dense_points import dense_mirror, dense_points
from pyface3d.geometry import rotation_from_euler
from pyface3d.networks import face_points as networks

# Two red dots beside each other, a blue one in the middle below, in units of the face.
_DOTS = np.array([[-0.3, -0.25], [0.3, -0.25], [0.0, 0.35]])


MIRROR = np.concatenate([np.array(IBUG68_FLIP), 68 + dense_mirror(load_face_model("head")).numpy()])


def _template() -> np.ndarray:
    """388 points of the mean head from the front, (P, 2) in units of its landmarks' box, y down; exactly symmetric."""
    head = load_face_model("head")
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))
    points = torch.cat([e.points(verts, head.topology)[0] for e in (head.landmarks("ibug68"), dense_points(head))])
    flat = points[:, :2].numpy() * (1, -1)
    flat = (flat + flat[MIRROR] * (-1, 1)) / 2
    low, high = flat[:68].min(axis=0), flat[:68].max(axis=0)
    return (flat - (low + high) / 2) / (high - low).max()


class _DotNetwork(nn.Module):
    """Finds the dots in a crop and answers with the template laid over them."""

    def __init__(self) -> None:
        super().__init__()
        self.config = networks.FacePointsConfig()
        self.dense_mirror = torch.from_numpy(MIRROR[68:] - 68)
        self.size = self.config.size
        self.template = _template()
        self.asked = 0

    def forward(self, image: Tensor) -> networks.FacePointsOutput:
        rows = [self._one(crop.permute(1, 2, 0).numpy()) for crop in image]
        self.asked += len(rows)
        points = torch.tensor(np.array([row[0] for row in rows]), dtype=torch.float32) / self.size
        turns = [rotation_from_euler(torch.tensor([0.2]), torch.zeros(1), torch.tensor([-row[1]]))[0] for row in rows]
        count, number = len(rows), points.shape[1]
        sigma = 0.01 + 0.04 * (torch.arange(number) % 2)
        return networks.FacePointsOutput(
            points,
            sigma.log().expand(count, -1),
            torch.linspace(-3, 3, number).expand(count, -1),
            torch.stack(turns).float(),
            torch.zeros(count, 70),
            torch.zeros(count, 52),
            torch.full((count,), 2.0),
        )

    def _one(self, crop: np.ndarray) -> tuple[np.ndarray, float]:
        red = (crop[..., 0] - crop[..., 1:].max(axis=-1)).clip(0)
        blue = (crop[..., 2] - crop[..., :2].max(axis=-1)).clip(0)
        columns = np.arange(self.size) + 0.5
        middle = float((red.sum(axis=0) * columns).sum() / red.sum())
        left, right = (self._centre(np.where((columns < middle) == side, red, 0)) for side in (True, False))
        dots = np.stack([left, right, self._centre(blue)])
        design = np.column_stack([_DOTS, np.ones(3)])
        affine = np.linalg.solve(design, dots)
        across = right - left
        return np.column_stack([self.template, np.ones(len(self.template))]) @ affine, math.atan2(across[1], across[0])

    def _centre(self, weight: np.ndarray) -> np.ndarray:
        rows, columns = np.mgrid[: self.size, : self.size] + 0.5
        return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def _drawn(center: tuple[float, float], size: float, roll: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the dots, and where all points are in it."""
    picture = np.full((480, 640, 3), 90, np.uint8)
    turn = size * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    for dot, colour in zip(_DOTS @ turn.T + center, [(255, 60, 60), (255, 60, 60), (60, 60, 255)]):
        spot = tuple(round(float(v - 0.5) * 16) for v in dot)
        cv2.circle(picture, spot, round(0.05 * size * 16), colour, -1, cv2.LINE_AA, shift=4)
    return picture, _template() @ turn.T + center


@pytest.mark.parametrize("roll", [0.0, 0.5, -0.9])
@pytest.mark.parametrize(("center", "size"), [((300.0, 220.0), 200.0), ((330.3, 260.8), 90.0)])
def test_points_come_back_to_the_picture(center: tuple[float, float], size: float, roll: float) -> None:
    picture, truth = _drawn(center, size, roll)
    predictor = FacePointPredictor(_DotNetwork())
    found = predictor.predict(picture, [face_from_landmarks(truth[:68])])[0]
    scale = size * CROP_MARGIN / 128
    np.testing.assert_allclose(found.points, truth, atol=0.3 * scale)  # dots are anti-aliased discs
    assert found.points.dtype == found.sigma.dtype == np.float32
    expected = np.where(np.arange(388) % 2, 0.05, 0.01) * size * SECOND_MARGIN
    middle_line = np.arange(388) % 2 == MIRROR % 2  # the mirror image has the same deviation there
    np.testing.assert_allclose(found.sigma[middle_line], expected[middle_line], rtol=0.02, atol=0.2 * scale)
    # The face's own turn in the crop is none; in the picture it is the roll.
    turned = rotation_from_euler(torch.zeros(1), torch.zeros(1), torch.tensor([-roll]))[0].numpy()  # anticlockwise
    np.testing.assert_allclose(found.rotation[:, 1], turned[:, 1], atol=0.03)
    assert found.score == pytest.approx(1 / (1 + math.exp(-2)))
    np.testing.assert_allclose(found.crop.to_image(found.crop.to_crop(truth)), truth, atol=1e-6)


def test_the_second_look_is_where_the_first_saw_the_face() -> None:
    """A box that is off by a fifth leads to the same points as one that is right."""
    picture, truth = _drawn((300.0, 220.0), 160.0, 0.3)
    predictor = FacePointPredictor(_DotNetwork())
    low, high = truth[:68].min(axis=0), truth[:68].max(axis=0)
    nowhere = np.full((5, 2), np.nan, np.float32)
    box = tuple(float(v) for v in (*(low - 25), *(high + 40)))
    found = predictor.predict(picture, [Face(box, 1.0, nowhere, "landmarks")])[0]
    assert np.abs(found.points - truth).max() < 0.6
    canonical = points_crop(truth[:68], 128, SECOND_MARGIN)
    assert found.crop.scale == pytest.approx(canonical.scale, rel=0.02)
    np.testing.assert_allclose(found.crop.to_image(np.array([64, 64])), canonical.to_image(np.array([64, 64])), atol=2)


def test_passes_that_disagree_widen_the_deviation() -> None:
    class Wandering(_DotNetwork):
        def forward(self, image: Tensor) -> networks.FacePointsOutput:
            out = super().forward(image)
            moved = out.points.clone()
            if self.asked == 1:  # the first pass
                moved[:, 100] += 0.1
            return out._replace(points=moved)

    picture, truth = _drawn((300.0, 220.0), 200.0, 0.0)
    face = face_from_landmarks(truth[:68])
    steady = FacePointPredictor(_DotNetwork()).predict(picture, [face])[0]
    wandering = FacePointPredictor(Wandering()).predict(picture, [face])[0]
    np.testing.assert_allclose(wandering.points, steady.points, atol=1e-4)
    assert wandering.sigma[100] > 1.2 * steady.sigma[100]
    np.testing.assert_allclose(np.delete(wandering.sigma, 100), np.delete(steady.sigma, 100), rtol=1e-4)


def test_several_faces_do_not_see_each_other() -> None:
    picture, first = _drawn((180.0, 200.0), 120.0, 0.2)
    other, second = _drawn((460.0, 260.0), 110.0, -0.4)
    both = np.where((picture == 90).all(axis=2, keepdims=True), other, picture)
    predictor = FacePointPredictor(_DotNetwork())
    faces = [face_from_landmarks(points[:68]) for points in (first, second)]
    together = predictor.predict(both, faces)
    for one, face in zip(together, faces):
        np.testing.assert_array_equal(one.points, predictor.predict(both, [face])[0].points)
    assert predictor.predict(both, []) == []
    np.testing.assert_allclose(predictor.face_log_odds(both, faces), 2.0)
    assert predictor.face_log_odds(both, []).shape == (0,)


def test_a_mirror_image_of_all_points() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(388))
    assert (MIRROR[:68] < 68).all()
    template = _template()
    np.testing.assert_allclose(template[MIRROR] * (-1, 1), template, atol=1e-6)


def test_an_untrained_network_answers_in_the_picture() -> None:
    torch.manual_seed(0)
    predictor = FacePointPredictor(networks.FacePoints())
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    face = Face((60.0, 40.0, 160.0, 150.0), 0.9, np.full((5, 2), np.nan, np.float32), "mtcnn")
    found = predictor.predict(picture, [face])[0]
    assert found.points.shape == (388, 2)
    assert found.sigma.shape == found.visible.shape == (388,)
    assert found.identity.shape == (70,) and found.expression.shape == (52,)
    assert (found.sigma > 0).all() and ((found.visible > 0) & (found.visible < 1)).all()
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(found.rotation) == pytest.approx(1, abs=1e-5)
    assert 0 < found.score < 1


def test_where_detectors_put_the_crop() -> None:
    points5 = np.array([[40, 50], [60, 50], [50, 60], [43, 72], [57, 72]], np.float32)
    box = (30.0, 30.0, 70.0, 80.0)
    upright = face_crop(Face(box, 1.0, points5, "mtcnn"), 128)
    assert upright.matrix[0, 1] == pytest.approx(0, abs=1e-12)
    turned = (points5 - 50) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 50  # a quarter turn clockwise
    face = Face(box, 1.0, turned.astype(np.float32), "mtcnn")
    assert upright_roll(face) == pytest.approx(math.pi / 2)
    crop = face_crop(face, 128)
    assert crop.scale == pytest.approx(upright.scale)
    eyes, mouth = crop.to_crop(turned[:2].mean(axis=0)), crop.to_crop(turned[3:].mean(axis=0))
    assert eyes[0] == pytest.approx(mouth[0]) and eyes[1] < mouth[1]
    nowhere = np.full((5, 2), np.nan, np.float32)
    with pytest.raises(InputError, match=r"face\.detector"):
        face_crop(Face(box, 1.0, nowhere, "mine"), 128)
    for bad in [(5.0, 5.0, 5.0, 9.0), (0.0, 0.0, np.nan, 9.0)]:
        with pytest.raises(InputError, match=r"face\.box"):
            face_crop(Face(bad, 1.0, nowhere, "dlib"), 128)


def test_shipped_network_on_a_real_face(astronaut: np.ndarray) -> None:
    """Where the eye sees the landmarks, with deviations that cover what it misses."""
    (face,) = detect_faces(astronaut)
    points, sigma = landmarks68(astronaut, face)
    seen = {
        36: (195, 102),
        39: (213, 104),
        42: (238, 106),
        45: (256, 105),
        30: (225, 127),
        48: (202, 140),
        8: (221, 179),
    }
    for index, place in seen.items():
        assert np.linalg.norm(points[index] - place) < 0.08 * face.size, index
        assert np.linalg.norm(points[index] - place) < 4 * sigma[index], index
    found = predict_points(astronaut, face)
    assert found.score > 0.8 and found.points.shape == (388, 2)
    down = found.rotation @ np.array([0.0, -1.0, 0.0])
    assert down[1] > 0.9, "upright"


def test_a_covered_face_is_trusted_less(astronaut: np.ndarray) -> None:
    (face,) = detect_faces(astronaut)
    clear = predict_points(astronaut, face)
    covered = astronaut.copy()
    x, y = int(face.points5[2, 0]), int(face.points5[2, 1])
    covered[y - 5 : y + 70, x - 50 : x + 50] = np.random.default_rng(0).integers(0, 256, (75, 100, 3))
    hidden = predict_points(covered, face)
    assert hidden.sigma[48:68].mean() > 1.2 * clear.sigma[48:68].mean()
    assert hidden.visible[48:68].mean() < 0.5 < clear.visible[48:68].mean()
