"""MTCNN's candidates and the network's word about them."""

from collections.abc import Sequence

import numpy as np
import pytest

from pyface3d.detect import Face, detect_faces, judged_faces
from pyface3d.detect.judged_faces import joint_score
from pyface3d.detect.mtcnn import load_mtcnn

MIDDLE = np.array([224.0, 120.0])  # of the astronaut's face


class _Judge:
    """Says yes to boxes about her face and no to others."""

    def __init__(self, yes: float, no: float) -> None:
        self.yes, self.no = yes, no
        self.asked: list[Face] = []

    def face_log_odds(self, image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
        self.asked = list(faces)
        near = [np.linalg.norm(MIDDLE - face.center) < 0.3 * face.size for face in faces]
        return np.where(near, self.yes, self.no).astype(float)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch):
    def make(yes: float, no: float) -> _Judge:
        made = _Judge(yes, no)
        monkeypatch.setattr(judged_faces, "load_face_points", lambda device: made)
        return made

    return make


def test_what_both_believe_in_is_a_face(astronaut: np.ndarray, judge) -> None:
    asked = judge(6.0, -6.0)
    (face,) = detect_faces(astronaut, "network")
    (alone,) = detect_faces(astronaut, "mtcnn")
    assert face.detector == "mtcnn"
    # The stages before let more windows through, so that the box may come from a neighbouring one.
    np.testing.assert_allclose(face.box, alone.box, atol=0.06 * alone.size)
    np.testing.assert_allclose(face.points5, alone.points5, atol=0.06 * alone.size)
    assert face.score > 0.95
    assert len(asked.asked) >= 1
    judge(-30.0, -30.0)
    assert detect_faces(astronaut, "network") == []


def test_a_candidate_that_mtcnn_doubts_is_saved_by_the_network(astronaut: np.ndarray, judge) -> None:
    covered = astronaut.copy()
    covered[112:185, 175:275] = np.random.default_rng(0).integers(0, 256, (73, 100, 3))
    judge(8.0, -8.0)
    found = load_mtcnn().detect(covered, 20.0, judged_faces.CANDIDATES)
    doubted = [
        odds for box, odds in zip(found.boxes, found.log_odds) if np.linalg.norm((box[:2] + box[2:]) / 2 - MIDDLE) < 40
    ]
    if not doubted:
        pytest.skip("MTCNN does not even propose this face")
    faces = detect_faces(covered, "network")
    assert faces and np.linalg.norm(MIDDLE - faces[0].center) < 40


def test_score_grows_with_both() -> None:
    odds = np.linspace(-8, 8, 9)
    assert (np.diff(joint_score(odds, np.zeros(9))) > 0).all()
    assert (np.diff(joint_score(np.zeros(9), odds)) > 0).all()
    assert joint_score(np.array([8.0]), np.array([8.0]))[0] > 0.99


def test_as_shipped(astronaut: np.ndarray) -> None:
    (face,) = detect_faces(astronaut)
    assert np.linalg.norm(MIDDLE - face.center) < 0.2 * face.size
    assert face.score > 0.9
    assert detect_faces(np.full((200, 300, 3), 127, np.uint8)) == []
    assert detect_faces(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)) == []
    assert detect_faces(np.ascontiguousarray(astronaut[300:])) == []


def test_a_row_of_faces_best_first(astronaut: np.ndarray) -> None:
    faces = detect_faces(np.tile(astronaut[30:222, 130:322], (1, 3, 1)))
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    assert sorted(int(face.center[0] // 192) for face in faces) == [0, 1, 2]
