"""The landmark table and its occluder on pictures made for the purpose."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pyface3d.detect import Face
from pyface3d.errors import InputError
from pyface3d.evaluate.landmarks import evaluate_landmarks, face_at, landmark_error, read_annotated_faces
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.io.images import write_png

needs_dlib_models = pytest.mark.skipif(
    importlib.util.find_spec("face_recognition_models") is None, reason="the extra dlib-models is not installed"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, "annotated" by the predictor itself on the large one, and a third without a face."""
    if importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("the extra dlib-models is not installed")
    from pyface3d.detect import detect_faces, landmarks68

    astronaut = pytest.importorskip("skimage.data").astronaut()
    (face,) = detect_faces(astronaut)
    points, _ = landmarks68(astronaut, face)
    path = tmp_path_factory.mktemp("annotated")
    write_png(path / "a.png", astronaut)
    write_png(path / "b.png", astronaut[:, ::-1][:300])
    write_png(path / "c.png", np.full((300, 300, 3), 60, np.uint8))
    from pyface3d.face_models.landmarks import IBUG68_FLIP

    mirrored = points[list(IBUG68_FLIP)] * (-1, 1) + (512, 0)
    all_points = np.stack([points, mirrored, points * 0.8]) - 0.5
    np.savez(path / "landmarks68.npz", names=["a.png", "b.png", "c.png"], split=["x", "x", "y"], pts=all_points)
    return path


def test_table(folder: Path) -> None:
    rows = evaluate_landmarks(folder).rows
    assert [(row["split"], str(row["method"])[:4]) for row in rows] == [
        (split, method) for split in "xy" for method in ("ours", "dlib", "mean")
    ]
    ours, _, mean_shape = rows[:3]
    assert ours["found"] == 2
    assert ours["median %"] < 2
    assert ours["failures %"] == 0
    assert ours["inside 2 sigma %"] > 95
    assert mean_shape["median %"] > ours["median %"]
    lost = rows[3]
    assert (lost["found"], lost["failures %"], lost["mean %"]) == (0, 100, None)


def test_occluded_table_says_how(folder: Path) -> None:
    table = evaluate_landmarks(folder, occlude_seed=3, limit=1)
    assert table.rows[0]["pictures"] == 1
    assert any("textured ellipse" in note and "seed 3" in note for note in table.notes)


def test_error_by_hand() -> None:
    truth = np.zeros((68, 2))
    truth[45] = (200, 0)
    assert landmark_error(truth + (3, 4), truth) == pytest.approx(2.5)


def test_nearest_face_inside_the_box() -> None:
    def face(x: float, y: float) -> Face:
        return Face((x - 5, y - 5, x + 5, y + 5), 1.0, np.zeros((5, 2), np.float32), "mtcnn")

    truth = np.array([[0.0, 0.0], [100.0, 100.0]])
    near, far, outside = face(55, 45), face(80, 80), face(150, 50)
    assert face_at([outside, far, near], truth) is near
    assert face_at([outside], truth) is None


def test_damaged_annotations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_annotated_faces(tmp_path)
    path = tmp_path / "landmarks68.npz"
    for content in (b"", b"PK\x03\x04broken"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot read"):
            read_annotated_faces(tmp_path)
    for wrong in (
        {"names": ["a"]},
        {"names": ["a"], "pts": np.zeros((1, 5, 2))},
        {"names": [], "pts": np.zeros((0, 68, 2))},
    ):
        np.savez(path, **wrong)
        with pytest.raises(InputError, match=r"names|lists no pictures"):
            read_annotated_faces(tmp_path)


POINTS = np.random.default_rng(0).uniform(60, 140, (68, 2))


def test_the_occluder_depends_on_seed_and_name_only() -> None:
    image = np.full((200, 200, 3), 100, np.uint8)
    first, mask = StandardOccluder(0).apply(image, POINTS, "a.jpg")
    again, _ = StandardOccluder(0).apply(image, POINTS, "a.jpg")
    np.testing.assert_array_equal(first, again)
    for other in (StandardOccluder(1).apply(image, POINTS, "a.jpg"), StandardOccluder(0).apply(image, POINTS, "b.jpg")):
        assert (other[0] != first).any()
    np.testing.assert_array_equal(first[~mask & (first == 100).all(axis=2)], 100)
    assert (image == 100).all()


def test_the_occluder_has_half_the_faces_width_and_hits_a_landmark() -> None:
    image = np.full((200, 200, 3), 100, np.uint8)
    width = np.ptp(POINTS[:, 0])
    for seed in range(20):
        _, mask = StandardOccluder(seed).apply(image, POINTS, "a.jpg")
        rows, columns = np.nonzero(mask)
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        assert 0.6 * 0.5 * width < longest < 1.1 * 0.5 * width
        middle = np.array([columns.mean(), rows.mean()]) + 0.5
        assert np.linalg.norm(POINTS - middle, axis=1).min() < 2


def test_cutouts(tmp_path: Path) -> None:
    disc = np.zeros((100, 100, 4), np.uint8)
    disc[20:80, 20:80] = (250, 10, 10, 255)
    write_png(tmp_path / "things" / "red.png", disc)
    occluder = StandardOccluder(0, tmp_path)
    covered, mask = occluder.apply(np.full((200, 200, 3), 100, np.uint8), POINTS, "a.jpg")
    assert mask.any()
    assert np.median(covered[mask][:, 0]) > 240
    assert "1 RGBA" in occluder.description
    (tmp_path / "things" / "red.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a cut-out"):
        occluder.apply(np.full((200, 200, 3), 100, np.uint8), POINTS, "a.jpg")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no PNG or WebP"):
        StandardOccluder(0, tmp_path / "none")
