"""From a face's landmarks to labels in the picture: square, mirror image, the way back.

A stand-in for the network reads the class of every pixel off its colour, so every map on the way has a known answer.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyface3d.detect import face_from_landmarks, face_parts, parts, visible_face
from pyface3d.detect.parts import FacePartPredictor, parts_crop
from pyface3d.detect.shipped import shipped_predictor
from pyface3d.errors import AssetError, InputError
from pyface3d.face_models.landmarks import PARTS_MARGIN, PARTS_RAISE
from pyface3d.io.label_maps import drawn_labels
from pyface3d.networks.face_parts import FaceParts
from pyface3d.part_labels import PART_COLOURS, VISIBLE_FACE, FacePart

SIZE = 64
# A made-up face of 68 landmarks: a grid, but eyes and mouth lie where roll is read from.
GRID = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 17), np.linspace(-0.5, 0.5, 4)), -1).reshape(68, 2)
GRID[36:42], GRID[42:48] = (-0.25, -0.2), (0.25, -0.2)
GRID[48], GRID[54] = (-0.2, 0.3), (0.2, 0.3)
GRID[0], GRID[67] = (-0.5, -0.5), (0.5, 0.5)


class ColourNetwork(nn.Module):
    """Log-odds by how near a pixel's colour is to each class's."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = torch.tensor([PART_COLOURS[part] for part in FacePart]) / 255
        self.batches: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.batches.append(len(image))
        return -300 * (image[:, None] - self.colours[None, :, :, None, None]).square().sum(2)


def landmarks(middle: tuple[float, float], side: float, roll: float = 0.0) -> np.ndarray:
    """68 landmarks whose upright box is a square."""
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return (GRID * side @ turn.T + middle).astype(np.float32)


def head_labels(size: int = 400) -> np.ndarray:
    """A drawn head: hair around a face with eyes, a mouth, glasses on one side, a neck and a hand."""
    labels = np.zeros((size, size), np.uint8)
    unit = size / 400

    def ellipse(part: FacePart, x: float, y: float, a: float, b: float) -> None:
        cv2.ellipse(labels, (round(x * unit), round(y * unit)), (round(a * unit), round(b * unit)), 0, 0, 360, part, -1)

    ellipse(FacePart.NECK, 200, 380, 70, 90)
    ellipse(FacePart.HAIR, 200, 190, 120, 150)
    ellipse(FacePart.SKIN, 200, 210, 90, 120)
    ellipse(FacePart.EYE, 165, 190, 18, 12)
    ellipse(FacePart.GLASSES, 235, 190, 30, 25)
    ellipse(FacePart.NOSE, 200, 220, 14, 22)
    ellipse(FacePart.LIP, 200, 275, 35, 14)
    ellipse(FacePart.MOUTH, 200, 275, 22, 6)
    ellipse(FacePart.OCCLUDER, 120, 290, 40, 40)
    return labels


@pytest.mark.parametrize("roll", [0.0, 0.5, -2.0])
def test_labels_come_back_to_where_they_were(roll: float) -> None:
    upright = head_labels()
    points = landmarks((200, 220), 150)
    turn = cv2.getRotationMatrix2D((199.5, 199.5), -np.rad2deg(roll), 1.0)  # OpenCV turns the other way round
    labels = cv2.warpAffine(upright, turn, (400, 400), flags=cv2.INTER_NEAREST)
    middle = turn[:, :2] @ (200 - 0.5, 220 - 0.5) + turn[:, 2] + 0.5
    (said,) = FacePartPredictor(ColourNetwork(), size=256).predict(
        drawn_labels(labels), [landmarks(tuple(middle), 150, roll)]
    )
    found = said.face_parts(400, 400)
    crop = parts_crop(points, 256)
    side = 256 / crop.scale
    assert side == pytest.approx(PARTS_MARGIN * 150)
    inner = np.zeros((400, 400), np.uint8)
    away = np.array([np.sin(roll), -np.cos(roll)]) * PARTS_RAISE * side
    box = cv2.boxPoints((tuple((middle - 0.5 + away).tolist()), (side - 4, side - 4), float(np.rad2deg(roll))))
    cv2.fillPoly(inner, [np.round(box).astype(np.int32)], 1)
    edges = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    certain = (inner > 0) & ~edges
    assert certain.sum() > 40_000
    assert (found == labels)[certain].all()
    outer = cv2.dilate(inner, np.ones((13, 13), np.uint8)) == 0
    assert (found[outer] == FacePart.BACKGROUND).all()
    assert (labels[outer] != FacePart.BACKGROUND).any()
    np.testing.assert_array_equal(said.visible_face(400, 400), np.isin(found, VISIBLE_FACE))


def test_the_square() -> None:
    """Corners by hand: a box of 100 px about (300, 200)."""
    crop = parts_crop(landmarks((300, 200), 100), SIZE)
    side = 100 * PARTS_MARGIN
    top_left = np.array([300 - side / 2, 200 - side / 2 - PARTS_RAISE * side])
    np.testing.assert_allclose(crop.to_image(np.array([0.0, 0.0])), top_left, atol=1e-4)
    np.testing.assert_allclose(crop.to_image(np.array([SIZE, SIZE])), top_left + side, atol=1e-4)


def test_probabilities_of_groups_add_up() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 150, 3)).astype(np.uint8)
    (said,) = FacePartPredictor(ColourNetwork(), size=SIZE).predict(image, [landmarks((70, 60), 50, 0.3)])
    np.testing.assert_allclose(said.probabilities.sum(axis=0), 1, rtol=1e-5)
    seen = said.visible_probability(120, 150)
    rest = said.probability([part for part in FacePart if part not in VISIBLE_FACE], 120, 150)
    inside = seen + rest > 0
    np.testing.assert_allclose((seen + rest)[inside], 1, rtol=1e-5)
    np.testing.assert_array_equal(said.visible_face(120, 150), np.isin(said.face_parts(120, 150), VISIBLE_FACE))
    assert 0.2 < inside.mean() < 0.8


class SidedNetwork(nn.Module):
    """Sure of skin on the left half of whatever it sees, of hair on the right."""

    def forward(self, image: Tensor) -> Tensor:
        logits = torch.full((len(image), len(FacePart), *image.shape[2:]), -50.0)
        half = image.shape[3] // 2
        logits[:, FacePart.SKIN, :, :half] = logits[:, FacePart.HAIR, :, half:] = 50.0
        return logits


def test_the_mirror_image_has_an_equal_say() -> None:
    image, points = np.zeros((80, 80, 3), np.uint8), [landmarks((40, 40), 30)]
    predictor = FacePartPredictor(SidedNetwork(), size=SIZE)
    (alone,) = predictor.predict(image, points, mirror=False)
    np.testing.assert_allclose(alone.probabilities[FacePart.SKIN, 0, [0, -1]], [1, 0], atol=1e-6)
    (both,) = predictor.predict(image, points)
    np.testing.assert_allclose(both.probabilities[[FacePart.SKIN, FacePart.HAIR]], 0.5, rtol=1e-6)


def test_many_faces_are_as_one_by_one() -> None:
    image = drawn_labels(head_labels(200))
    points = [landmarks((60 + 4 * k, 90 + 2 * k), 30 + k, 0.1 * k) for k in range(19)]
    network = ColourNetwork()
    together = FacePartPredictor(network, size=SIZE).predict(image, points, mirror=False)
    assert network.batches == [16, 3]
    for said, one in zip(together, points):
        (alone,) = FacePartPredictor(ColourNetwork(), size=SIZE).predict(image, [one], mirror=False)
        np.testing.assert_allclose(said.probabilities, alone.probabilities, atol=1e-6)
    assert FacePartPredictor(network).predict(image, []) == []


def test_a_face_at_or_beyond_the_border() -> None:
    image = np.full((60, 60, 3), PART_COLOURS[FacePart.SKIN], np.uint8)
    at, beyond = FacePartPredictor(ColourNetwork(), size=SIZE).predict(
        image, [landmarks((0, 0), 40), landmarks((900, 900), 40)]
    )
    # The outermost pixels are mixed with the black beyond.
    assert at.visible_face(60, 60)[1:10, 1:10].all() and not at.visible_face(60, 60)[50:, 50:].any()
    assert not beyond.visible_face(60, 60).any() and (beyond.face_parts(60, 60) == FacePart.BACKGROUND).all()


def test_public_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, points = head_labels(), landmarks((200, 220), 150)
    monkeypatch.setattr(parts, "load_part_predictor", lambda device: FacePartPredictor(ColourNetwork(), device))
    image, face = drawn_labels(labels), face_from_landmarks(points)
    found = face_parts(image, face, points=points)
    assert found.dtype == np.uint8 and found.shape == (400, 400)
    assert found[210, 200] == FacePart.NOSE and found[190, 235] == FacePart.GLASSES and found[40, 10] == 0
    seen = visible_face(image, face, points=points)
    assert seen.dtype == np.bool_ and seen[210, 200] and not seen[190, 235]


def test_what_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    predictor = FacePartPredictor(ColourNetwork(), size=SIZE)
    image = np.zeros((50, 50, 3), np.uint8)
    with pytest.raises(InputError, match="uint8"):
        predictor.predict(image.astype(np.float32), [landmarks((20, 20), 20)])
    with pytest.raises(InputError, match=r"\(68, 2\)"):
        predictor.predict(image, [np.zeros((5, 2))])
    with pytest.raises(InputError, match="landmarks"):
        predictor.predict(image, [np.full((68, 2), np.nan)])
    with pytest.raises(InputError, match="side"):
        predictor.predict(image, [np.full((68, 2), 7.0)])
    monkeypatch.setattr(parts, "ASSET", "none_of_that_name")
    monkeypatch.setattr(parts, "load_part_predictor", shipped_predictor("none_of_that_name", parts.part_predictor))
    assert not parts.has_part_network()
    with pytest.raises(AssetError, match="none_of_that_name"):
        face_parts(image, face_from_landmarks(landmarks((20, 20), 20)), points=landmarks((20, 20), 20))


def test_the_network_itself_fits_in() -> None:
    """Fresh weights, in half precision as shipped ones are: a prediction of the right kind, a clear refusal."""
    torch.manual_seed(0)
    weights = {key: value.half() for key, value in FaceParts().state_dict().items() if value.is_floating_point()}
    predictor = parts.part_predictor(weights)
    image = np.random.default_rng(0).integers(0, 256, (200, 160, 3)).astype(np.uint8)
    (said,) = predictor.predict(image, [landmarks((80, 90), 60, 0.2)])
    assert said.probabilities.shape == (len(FacePart), parts.CROP_SIZE, parts.CROP_SIZE)
    np.testing.assert_allclose(said.probabilities.sum(axis=0), 1, rtol=1e-4)
    assert said.face_parts(200, 160).max() < len(FacePart)
    with pytest.raises(AssetError, match="part network"):
        parts.part_predictor({key: value for key, value in weights.items() if not key.startswith("classes")})
