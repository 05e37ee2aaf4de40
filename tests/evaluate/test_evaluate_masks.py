"""Mask figures against closed forms on small masks, and the table over folders of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyface3d.cli import main
from pyface3d.errors import InputError
from pyface3d.evaluate.mask_methods import FOREHEAD, landmark_hull
from pyface3d.evaluate.mask_scores import Confusion
from pyface3d.evaluate.masks import evaluate_masks
from pyface3d.io.label_maps import encode_label_map


def test_a_square_of_four_pixels() -> None:
    said = np.array([[True, True], [False, False]])
    true = np.array([[True, False], [True, False]])
    one = Confusion.of(said, true)
    assert (one.both, one.said, one.true, one.neither) == (1, 1, 1, 1)
    assert (one.accuracy, one.precision, one.recall, one.f1, one.iou) == (0.5, 0.5, 0.5, 0.5, 1 / 3)


def test_random_masks_against_the_definitions() -> None:
    rng = np.random.default_rng(1)
    said, true, region = rng.random((3, 40, 30)) > np.array([0.3, 0.6, 0.2])[:, None, None]
    one = Confusion.of(said, true, region)
    pairs = [(s, t) for s, t, r in zip(said.ravel(), true.ravel(), region.ravel()) if r]
    both = sum(s and t for s, t in pairs)
    precision, recall = both / sum(s for s, _ in pairs), both / sum(t for _, t in pairs)
    assert one.precision == pytest.approx(precision) and one.recall == pytest.approx(recall)
    assert one.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert one.iou == pytest.approx(both / sum(s or t for s, t in pairs))
    assert one.accuracy == pytest.approx(sum(s == t for s, t in pairs) / len(pairs))


def test_nothing_to_find() -> None:
    none, some = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert Confusion.of(none, none).f1 == Confusion.of(none, none).precision == 1
    wrong = Confusion.of(some, none)
    assert wrong.f1 == wrong.precision == wrong.recall == wrong.iou == wrong.accuracy == 0
    missed = Confusion.of(none, some)
    assert missed.f1 == missed.precision == missed.recall == 0
    assert Confusion().accuracy == 1


def test_pooling_is_one_large_picture() -> None:
    rng = np.random.default_rng(2)
    masks = rng.random((2, 3, 8, 8)) > 0.5
    pooled = sum((Confusion.of(s, t) for s, t in zip(*masks)), Confusion())
    assert pooled == Confusion.of(masks[0].reshape(24, 8), masks[1].reshape(24, 8))


def test_hull_by_hand() -> None:
    """A diamond, and brows that raise its top by the forehead."""
    points = np.full((68, 2), 50.0)
    points[0], points[16], points[8] = (20, 50), (80, 50), (50, 80)
    points[17:27] = np.column_stack([np.linspace(30, 70, 10), np.full(10, 40.0)])
    points[33] = (50, 60)
    mask = landmark_hull(points, 100, 100)
    top = 40 - FOREHEAD * 20
    outline = [(20, 50), (30, top), (70, top), (80, 50), (50, 80)]
    x, y = np.array(outline).T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    around = np.hypot(x - np.roll(x, 1), y - np.roll(y, 1)).sum()
    assert mask.sum() == pytest.approx(area + around / 2, rel=0.02)  # OpenCV takes the pixels on the outline too
    assert mask[int(top) + 2, 50] and not mask[int(top) - 2, 50] and mask[78, 49] and not mask[70, 25]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two true masks of CelebAMask (skin, nose; glasses in the second) and masks of ours."""
    truth, said = tmp_path / "truth", tmp_path / "said"
    truth.mkdir()
    said.mkdir()
    one = np.zeros((4, 4), np.uint8)
    one[:2] = 1
    one[1, 1] = 2
    two = one.copy()
    two[0, :2] = 3
    Image.fromarray(one).save(truth / "a.png")
    Image.fromarray(two).save(truth / "b.png")
    (said / "a_parts.png").write_bytes(encode_label_map(np.where(one == 2, 4, one).astype(np.uint8)))
    Image.fromarray(np.where(one > 0, 255, 0).astype(np.uint8)).save(said / "b_visible.png")
    return said, truth


def row(table, subset: str, method: str) -> dict:
    return next(one for one in table.rows if one["subset"] == subset and one["method"] == method)


def test_table_of_two_pictures(folders: tuple[Path, Path]) -> None:
    said, truth = folders
    table = evaluate_masks(truth, predictions=said, classes=True)
    whole = row(table, "all", "said")
    # a is perfect; b says 8 pixels where 6 are true.
    assert whole["pictures"] == whole["found"] == 2
    assert whole["precision %"] == pytest.approx(100 * (1 + 6 / 8) / 2)
    assert whole["recall %"] == 100
    assert whole["F1 %"] == pytest.approx(100 * (1 + 12 / 14) / 2)
    assert whole["IoU %"] == pytest.approx(100 * (1 + 6 / 8) / 2)
    assert whole["accuracy %"] == pytest.approx(100 * (1 + 14 / 16) / 2)
    assert whole["skin IoU %"] == whole["nose IoU %"] == 100  # of the one that has classes
    assert whole["hidden F1 %"] is None
    assert row(table, "glasses", "said")["F1 %"] == pytest.approx(1200 / 14)
    assert row(table, "neither", "said")["F1 %"] == 100
    # Everything is face: F1 is 2v / (1 + v) at a visible share v.
    everything = row(table, "neither", "all face")
    assert everything["F1 %"] == pytest.approx(100 * 2 * 0.5 / 1.5)
    assert {one["subset"] for one in table.rows} == {"all", "glasses or hat", "glasses", "neither"}
    assert any("no photos" in note for note in table.notes)


def test_a_missing_mask_is_an_empty_one(folders: tuple[Path, Path]) -> None:
    said, truth = folders
    (said / "b_visible.png").unlink()
    whole = row(evaluate_masks(truth, predictions=said), "all", "said")
    assert (whole["found"], whole["F1 %"]) == (1, 50.0)
    (said / "a_parts.png").unlink()
    with pytest.raises(InputError, match="has no mask of any picture"):
        evaluate_masks(truth, predictions=said)


def test_masks_without_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    truth = tmp_path / "plain"
    truth.mkdir()
    Image.fromarray(np.array([[255, 0], [130, 120]], np.uint8)).save(truth / "c_visible_skin_mask.png")
    said = tmp_path / "plainly"
    said.mkdir()
    Image.fromarray(np.array([[255, 0], [255, 0]], np.uint8)).save(said / "c_occlusion.png")
    table = evaluate_masks(truth, predictions=said, truth_labels="visible")
    assert row(table, "all", "plainly")["F1 %"] == 100
    assert {one["subset"] for one in table.rows} == {"all"}


def test_other_orders_of_classes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    said = tmp_path / "bisenet"
    said.mkdir()
    labels = np.zeros((4, 4), np.uint8)
    labels[:2] = 1
    labels[1, 1] = 10  # nose
    labels[0, 3] = 17  # hair
    for name in "ab":
        Image.fromarray(labels).save(said / f"{name}.png")
    whole = row(evaluate_masks(folders[1], predictions=said, labels="bisenet", classes=True), "neither", "bisenet")
    assert whole["nose IoU %"] == 100
    assert whole["skin IoU %"] == pytest.approx(100 * 6 / 7)
    assert whole["F1 %"] == pytest.approx(100 * 14 / 15)


def test_what_cannot_be_measured_is_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    said, truth = folders
    cases = {
        "cannot list": {"truth": tmp_path / "nowhere"},
        "has no masks": {"truth": said.parent / "empty"},
        "truth labels": {"truth_labels": "mine"},
        "labels must": {"predictions": said, "labels": "mine"},
        "is not a folder": {"predictions": tmp_path / "nowhere"},
        "methods must be of": {"methods": ["nobody"]},
        "--images": {"methods": ["hull"]},
        "has no photo a.jpg": {"images": said},
        "nothing to measure": {"methods": []},
        "limit": {"limit": 0},
    }
    (said.parent / "empty").mkdir()
    for match, arguments in cases.items():
        with pytest.raises(InputError, match=match):
            evaluate_masks(**{"truth": truth, **arguments})
    Image.fromarray(np.full((4, 4), 99, np.uint8)).save(truth / "b.png")
    with pytest.raises(InputError, match="class 99"):
        evaluate_masks(truth, predictions=said)
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(truth / "b.png")
    with pytest.raises(InputError, match="4 x 4 pixels but the truth"):
        evaluate_masks(truth, predictions=said)


def test_command(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said, truth = folders
    assert main(["evaluate", "masks", str(said), str(truth), "--csv", str(tmp_path / "t.csv")]) == 0
    assert "Visible face, 2 pictures of truth" in capsys.readouterr().out
    assert (tmp_path / "t.csv").read_text().startswith("subset,method,pictures,found,accuracy %")
    assert main(["evaluate", "masks", "a", "b", "c"]) == 2
    assert main(["evaluate", "masks", str(tmp_path / "none")]) == 1


def test_baseline_on_real_photos(shared_data: Path) -> None:
    """The hull's F1 that was measured before, 0.90, within the scatter of a dozen photos."""
    table = evaluate_masks(shared_data / "face_masks_celebahq", methods=["hull"], limit=12)
    hull = row(table, "all", "landmark hull with forehead")
    assert hull["found"] == 12
    assert 84 < hull["F1 %"] < 95
    assert hull["hidden F1 %"] == 0  # blind by construction: inside its hull everything is face
