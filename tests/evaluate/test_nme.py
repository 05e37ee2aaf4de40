"""The AFLW2000-3D protocol: the published array's figures, closed forms, arrays in every layout, runs over photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from pyface3d.cli import main
from pyface3d.errors import InputError
from pyface3d.evaluate.curves import cumulative_steps, draw_cumulative_errors
from pyface3d.evaluate.landmark_arrays import read_landmark_arrays
from pyface3d.evaluate.landmark_methods import METHODS, Answer, MeanShape
from pyface3d.evaluate.nme import HIDDEN, evaluate_nme
from pyface3d.evaluate.nme_protocol import Protocol, figures, nme_percent, read_protocol
from pyface3d.evaluate.tables import Table
from pyface3d.io.images import read_image, write_png

# The specification's table of the baseline on clean photos: per cent and its spread for each range of |yaw|, the mean
# of the three and its spread; computed independently of this package.
CHECKED = {
    ("original", "new.pose"): ((1306, 462, 232), (2.808, 2.191, 3.332, 3.138, 4.318, 2.263), 3.486, 0.626),
    ("re-annotated", "new.pose"): ((1306, 462, 232), (2.356, 2.931, 2.995, 3.290, 3.923, 2.154), 3.091, 0.643),
    ("original", "pose"): ((1312, 383, 305), (2.800, 2.032, 3.225, 2.613, 4.261, 3.585), 3.429, 0.614),
    ("re-annotated", "pose"): ((1312, 383, 305), (2.348, 2.823, 2.871, 2.750, 3.904, 3.562), 3.041, 0.646),
}
OVERALL = {"original": (3.104, 2.759, 16), "re-annotated": (2.686, 2.250, 13)}


@pytest.fixture(scope="module")
def aflw(shared_data: Path) -> Path:
    folder = shared_data / "aflw2000_3d" / "protocol"
    if not (folder / "AFLW2000_pts68_Y_deng.npy").is_file():
        pytest.skip("the test data has no AFLW2000-3D truths and published predictions")
    return folder


def test_spec_1_published_array_gives_the_published_figures(aflw: Path) -> None:
    table = evaluate_nme(aflw, [aflw / "AFLW2000_pts68_Y_deng.npy"]).table
    rows = {(row["truth"], row["split"]): row for row in table.rows if row["method"] == "AFLW2000_pts68_Y_deng"}
    assert set(rows) == set(CHECKED)
    for key, (counts, bins, mean, spread) in CHECKED.items():
        row = rows[key]
        assert tuple(row[f"n {name}"] for name in ("≤30°", "30–60°", ">60°")) == counts
        found = [row[f"{name} {what}"] for name in ("≤30°", "30–60°", ">60°") for what in ("%", "std")]
        np.testing.assert_allclose(found, bins, atol=0.001)
        np.testing.assert_allclose([row["mean %"], row["std"]], [mean, spread], atol=0.001)
        overall, median, failures = OVERALL[key[0]]
        np.testing.assert_allclose([row["all pictures %"], row["median %"]], [overall, median], atol=0.001)
        assert row["above 10 %"] == failures
    # One annotation scored as a prediction of the other (specification, 5.2, last line).
    noise = next(row for row in table.rows if row["method"] == "re-annotated truth")
    np.testing.assert_allclose([noise["≤30° %"], noise["30–60° %"], noise[">60° %"]], [2.814, 3.286, 4.241], atol=0.001)


def test_our_network_on_the_photos_at_hand(aflw: Path) -> None:
    """Three of them, the true box given: well under the mean shape, and one table with the published array."""
    array = aflw / "AFLW2000_pts68_Y_deng.npy"
    table = evaluate_nme(aflw, [array], images=aflw.parent, methods=["ours-box"], limit=3).table
    found = {row["method"]: row["all pictures %"] for row in table.rows if row["truth"] == "original"}
    assert 0 < found["ours, true box"] < 6 < found["mean shape, true box"]
    assert 0 < found[array.stem] < 5
    assert any("3 of 2000 pictures: not comparable" in note for note in table.notes)


def faces(count: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.uniform(100, 300, (count, 68, 2))


def test_spec_2_truth_scores_zero_and_a_shift_its_length() -> None:
    truth = faces(7)
    assert (nme_percent(truth, truth) == 0).all()
    width, height = np.ptp(truth, axis=1).T
    np.testing.assert_allclose(nme_percent(truth + (3, 4), truth), 100 * 5 / np.sqrt(width * height), rtol=1e-12)


def test_spec_2_headline_is_the_mean_of_the_ranges() -> None:
    """Two, one and one pictures in the ranges; ends belong to the lower range, and there is no upper limit."""
    row = figures(np.array([1.0, 3.0, 5.0, 20.0]), np.array([0.0, 30.0, 60.0, 113.0]))
    assert [row[f"{name} %"] for name in ("≤30°", "30–60°", ">60°")] == [2, 5, 20]
    assert row["≤30° std"] == 1  # of the population, not of a sample
    assert row["mean %"] == 9
    assert row["std"] == pytest.approx(np.sqrt((7**2 + 4**2 + 11**2) / 3))
    assert (row["all pictures %"], row["median %"], row["above 10 %"]) == (7.25, 4, 1)
    assert row["area to 10 %"] == pytest.approx(100 * (0.9 + 0.7 + 0.5) / 4)


def test_pictures_without_landmarks_fail_and_are_in_no_mean() -> None:
    row = figures(np.array([2.0, np.nan, 4.0, np.nan]), np.array([1.0, 1.0, 40.0, 70.0]))
    assert (row["pictures"], row["found"], row["above 10 %"]) == (4, 2, 2)
    assert (row["≤30° %"], row["30–60° %"], row[">60° %"], row["mean %"]) == (2, 4, None, None)
    assert row["all pictures %"] == 3
    nothing = figures(np.full(2, np.nan), np.array([0.0, 90.0]))
    assert (nothing["found"], nothing["median %"], nothing["area to 10 %"]) == (0, None, 0)


def write_truths(folder: Path, truth: np.ndarray, yaw: np.ndarray) -> Path:
    """The files of AFLW2000-3D: three coordinates, then a second annotation 1 px to the right; yaw with signs."""
    folder.mkdir(exist_ok=True)
    depth = np.zeros((len(truth), 1, 68))
    np.save(folder / "AFLW2000-3D.pts68.npy", np.concatenate([truth.transpose(0, 2, 1), depth], 1).astype(np.float32))
    np.save(folder / "AFLW2000-3D-Reannotated.pts68.npy", (truth + (1, 0)).transpose(0, 2, 1).astype(np.float32))
    np.save(folder / "AFLW2000-3D-new.pose.npy", yaw.astype(np.float32))
    np.save(folder / "AFLW2000-3D.pose.npy", -yaw.astype(np.float32))
    return folder


@pytest.fixture
def truths(tmp_path: Path) -> Path:
    return write_truths(tmp_path / "truths", faces(6), np.array([-10.0, 20, -45, 50, 70, -80]))


def test_arrays_in_every_layout_score_alike(truths: Path, tmp_path: Path) -> None:
    moved = (faces(6) + (6, 8)).astype(np.float32)
    deep = np.concatenate([moved, np.full((6, 68, 1), 7, np.float32)], axis=2)
    np.save(tmp_path / "a.npy", moved)
    np.save(tmp_path / "b.npy", deep.transpose(0, 2, 1))
    np.savez(tmp_path / "c.npz", names=np.array(["x"] * 6), first=moved.transpose(0, 2, 1), second=deep)
    scipy.io.savemat(tmp_path / "d.mat", {"pts68": moved, "other": np.zeros((3, 3))})
    paths = [tmp_path / name for name in ("a.npy", "b.npy", "c.npz", "d.mat")]
    rows = [row for row in evaluate_nme(truths, paths).table.rows if row["truth"] == "original"]
    labels = ["a", "b", "c:first", "c:second", "d"]
    scores = {row["method"]: row["mean %"] for row in rows if row["split"] == "pose"}
    assert list(scores)[:5] == labels
    size = np.sqrt(np.ptp(faces(6), axis=1).prod(axis=1))
    expected = np.mean([np.mean(1000 / size[pair]) for pair in (slice(0, 2), slice(2, 4), slice(4, 6))])
    np.testing.assert_allclose([scores[label] for label in labels], expected, rtol=1e-5)
    with pytest.raises(InputError, match="two rows would be called 'a'"):
        evaluate_nme(truths, [tmp_path / "a.npy", tmp_path / "a.npy"])


def test_bad_files_are_named(truths: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", faces(5))
    with pytest.raises(InputError, match=r"few\.npy must hold landmarks of shape \(6, 68, 2\).*\(5, 68, 2\)"):
        read_landmark_arrays(tmp_path / "few.npy", 6)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "few.npy").read_bytes()[:500])
    np.savez(tmp_path / "objects.npz", a=np.array([None] * 6))
    for name, what in [("cut.npy", "its length is not"), ("objects.npz", "cannot read"), ("no.npy", "does not exist")]:
        with pytest.raises(InputError, match=rf"{name}.*{what}|{what}.*{name}"):
            read_landmark_arrays(tmp_path / name, 6)
    with pytest.raises(InputError, match="must end in"):
        read_landmark_arrays(tmp_path / "a.txt", 6)
    with pytest.raises(InputError, match=r"has neither AFLW2000-3D\.pts68\.npy nor"):
        read_protocol(tmp_path)
    np.save(truths / "AFLW2000-3D.pose.npy", np.zeros(5, np.float32))
    with pytest.raises(InputError, match=r"are of \[5, 6\] pictures"):
        read_protocol(truths)
    np.save(truths / "AFLW2000-3D.pose.npy", np.full(6, np.nan, np.float32))
    with pytest.raises(InputError, match=r"AFLW2000-3D\.pose\.npy must hold finite numbers"):
        read_protocol(truths)


def test_methods_run_over_photos(truths: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that answers with the truth moved by one pixel per picture's number, and misses the fourth."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(6):
        write_png(photos / f"image{index:05}.png", np.full((400, 400, 3), 40 * index, np.uint8))
    seen: list[str] = []

    def moved(sight):
        seen.append(sight.truth.path.name)
        number = int(sight.truth.path.stem[-1])
        covered = (sight.image != 40 * number).any()
        return None if number == 3 else Answer(sight.truth.points + (number + 10 * covered, 0))

    monkeypatch.setitem(METHODS, "moved", lambda setting: iter([("moved", moved)]))
    result = evaluate_nme(truths, images=photos, methods=["moved"], occlude_seed=1)
    assert sorted(set(seen)) == [f"image{index:05}.png" for index in range(6)]
    size = np.sqrt(np.ptp(faces(6), axis=1).prod(axis=1))
    expected = 100 * np.arange(6) / size
    expected[3] = np.nan
    np.testing.assert_allclose(result.errors["moved"], expected, atol=1e-3)
    np.testing.assert_allclose(result.errors["moved" + HIDDEN], expected + 1000 / size, atol=1e-3)
    row = next(row for row in result.table.rows if row["method"] == "moved" + HIDDEN)
    clean = next(row for row in result.table.rows if row["method"] == "moved")
    assert row["occ. / clean"] == pytest.approx(row["mean %"] / clean["mean %"])
    assert (row["found"], clean["above 10 %"]) == (5, 1)
    assert any("seed 1" in note for note in result.table.notes)

    (photos / "image00002.png").unlink()
    with pytest.raises(InputError, match="5 pictures but the truths are of 6"):
        evaluate_nme(truths, images=photos, methods=["moved"])
    np.savez(photos / "landmarks.npz", names=["image00004", "image00001"], index_in_2000=[4, 1])
    part = evaluate_nme(truths, images=photos, methods=["moved"])
    np.testing.assert_allclose(part.errors["moved"], expected[[1, 4]], atol=1e-3)
    assert any("2 of 6 pictures: not comparable" in note for note in part.table.notes)
    with pytest.raises(InputError, match="--images"):
        evaluate_nme(truths, methods=["moved"])


def test_annotated_folder_tells_yaw_from_landmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyface3d.face_models import load_face_model
    from pyface3d.fit.sparse_model import sparse_face

    mean = sparse_face(load_face_model("head")).mean[:68].numpy()
    points = []
    for yaw in np.radians([5.0, -45.0, 75.0]):
        turned = mean @ np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]).T
        points.append(turned[:, :2] * (1, -1) + 150)
    for index in range(3):
        write_png(tmp_path / f"{index}.png", np.zeros((300, 300, 3), np.uint8))
    np.savez(tmp_path / "landmarks68.npz", names=["0.png", "1.png", "2.png"], split=["a", "a", "b"], pts=points)
    monkeypatch.setitem(METHODS, "true", lambda setting: iter([("true", lambda sight: Answer(sight.truth.points))]))
    row = evaluate_nme(tmp_path, methods=["true"]).table.rows[0]
    assert (row["n ≤30°"], row["n 30–60°"], row["n >60°"]) == (1, 1, 1)
    assert row["mean %"] == pytest.approx(0, abs=1e-4)
    assert evaluate_nme(tmp_path, methods=["true"], subset="b").table.rows[0]["pictures"] == 1
    with pytest.raises(InputError, match="no split 'c'; it has a, b"):
        evaluate_nme(tmp_path, subset="c")


def test_mean_shape_leaves_out_its_own_face() -> None:
    a, b = faces(2)
    shape = MeanShape([a, b])
    low, high = a.min(axis=0), a.max(axis=0)
    other = (b - b.min(axis=0)) / np.ptp(b, axis=0)
    np.testing.assert_allclose(shape.of(a), low + other * (high - low))


def test_command_writes_json_csv_and_plot(truths: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "mine.npy", faces(6) + 1)
    out = [tmp_path / name for name in ("t.json", "t.csv", "t.png")]
    flags = [part for flag, path in zip(("--json", "--csv", "--plot"), out) for part in (flag, str(path))]
    assert main(["evaluate", "nme", str(truths), str(tmp_path / "mine.npy"), *flags]) == 0
    text = capsys.readouterr().out
    rows = json.loads(out[0].read_text())["rows"]
    assert [row["method"] for row in rows[:3]] == ["mine", "re-annotated truth", "mean shape, true box"]
    assert f"{rows[0]['mean %']:.3f}" in text
    assert out[1].read_text().count("\n") == 1 + len(rows)
    assert read_image(out[2]).shape == (640, 1000, 3)
    assert main(["evaluate", "nme", str(tmp_path / "nowhere")]) == 1
    assert "nowhere has neither" in capsys.readouterr().err


def test_cumulative_curve() -> None:
    steps = cumulative_steps(np.array([3.0, 1.0, np.nan, 12.0]), 10)
    assert steps.tolist() == [[0, 0], [1, 0], [1, 0.25], [3, 0.25], [3, 0.5], [10, 0.5]]
    assert cumulative_steps(np.zeros(0), 10).tolist() == [[0, 0], [10, 0]]
    image = draw_cumulative_errors({"half": np.array([5.0, np.inf])}, "title")
    blue = (np.abs(image.astype(int) - (0, 0x72, 0xB2)).sum(axis=2) < 60).any(axis=0)
    assert blue[85:955].all()  # the curve goes from the left end to the right one


def test_more_decimals() -> None:
    assert "1.235" in Table("t", [{"x": 1.23456}], decimals=3).text()
    assert "1.23" in Table("t", [{"x": 1.23456}]).text()


def test_part_of_a_protocol() -> None:
    whole = Protocol({"a": faces(4)}, {"s": np.arange(4.0)})
    part = whole.part(np.array([2, 0]))
    assert len(part) == 2 and part.splits["s"].tolist() == [2, 0]
    np.testing.assert_array_equal(part.truths["a"], faces(4)[[2, 0]])
