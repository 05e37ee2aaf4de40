"""Masks of photos as files: what is in them, what a run says, what happens without weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from part_network import disc_predictor
from PIL import Image

from pyface3d.cli import main
from pyface3d.detect import parts
from pyface3d.detect.shipped import shipped_predictor
from pyface3d.errors import AssetError, InputError, NoFaceError
from pyface3d.io.images import read_image
from pyface3d.io.label_maps import LABEL_MAPS
from pyface3d.io.weights import ASSETS_DIR
from pyface3d.part_labels import FacePart
from pyface3d.systems import segment as module
from pyface3d.systems.segment import segment

PORTRAIT = ASSETS_DIR / "demo" / "astronaut.png"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "load_part_predictor", disc_predictor)
    monkeypatch.setattr(module, "load_part_predictor", disc_predictor)


@pytest.fixture
def portrait() -> np.ndarray:
    return read_image(PORTRAIT)


def test_one_face(network: None, portrait: np.ndarray) -> None:
    (found,) = segment(portrait)
    assert found.parts.shape == portrait.shape[:2]
    nose = np.floor(found.landmarks[30]).astype(int)
    chin = np.floor(found.landmarks[8] - (0, 4)).astype(int)
    assert found.parts[nose[1], nose[0]] == FacePart.SKIN and found.visible[nose[1], nose[0]]
    assert found.parts[chin[1], chin[0]] == FacePart.OCCLUDER and not found.visible[chin[1], chin[0]]
    record = found.record()
    json.dumps(record, allow_nan=False)
    assert record["classes"]["occluder"]["number"] == 9
    assert sum(one["pixels"] for one in record["classes"].values()) == found.parts.size
    assert 20 < record["quality"]["visible_landmarks_percent"] < 100
    drawn = found.overlay(portrait)
    assert (drawn[found.parts == FacePart.BACKGROUND] == portrait[found.parts == FacePart.BACKGROUND]).mean() > 0.99
    assert (drawn[nose[1], nose[0]] != portrait[nose[1], nose[0]]).any()


def test_given_landmarks_and_errors(network: None, portrait: np.ndarray) -> None:
    (found,) = segment(portrait)
    (again,) = segment(portrait, found.landmarks)
    assert again.face.detector == "landmarks"
    np.testing.assert_array_equal(again.parts, found.parts)
    with pytest.raises(NoFaceError, match="no face was found"):
        segment(np.full((64, 64, 3), 128, np.uint8))
    with pytest.raises(InputError, match="max_faces"):
        segment(portrait, max_faces=0)


def test_command(network: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], threads_put_back: None) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    shutil.copy(PORTRAIT, photos / "a.png")
    Image.new("RGB", (80, 80), (90, 90, 90)).save(photos / "b.png")
    arguments = ["segment", str(photos), "-o", str(out), "--resume"]
    assert main(arguments) == 1  # b holds no face
    assert "1 of 2 inputs succeeded, 1 failed" in capsys.readouterr().out
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        *("a_visible.png", "a_parts.png", "a_overlay.png", "a.json", "report.html", "report.json")
    }
    labels = np.asarray(Image.open(out / "a_parts.png"))
    assert labels.max() < len(LABEL_MAPS["ours"]) and (labels == FacePart.OCCLUDER).any()
    visible = np.asarray(Image.open(out / "a_visible.png"))
    assert set(np.unique(visible)) == {0, 255}
    np.testing.assert_array_equal(visible == 255, np.isin(labels, [1, 2, 3, 4, 5, 6]))
    report = json.loads((out / "report.json").read_text())
    assert report["options"]["system"] == "segment" and "stages" not in report["options"]
    assert set(report["images"][0]["pictures"][0]) == {"photo", "parts", "visible face"}
    for path in report["images"][0]["pictures"][0].values():
        assert Image.open(out / path).size[0] > 100
    before = {path: path.stat().st_mtime_ns for path in out.glob("a*")}
    (photos / "b.png").unlink()
    assert main(arguments) == 0
    assert "(1 were done before)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.glob("a*")} == before


def test_two_faces_and_a_limit(network: None, portrait: np.ndarray, tmp_path: Path, threads_put_back: None) -> None:
    Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)).save(tmp_path / "two.png")
    assert main(["segment", str(tmp_path / "two.png"), "-o", str(tmp_path / "out")]) == 0
    first, second = (np.asarray(Image.open(tmp_path / "out" / f"two{n}_visible.png")) for n in ("", "_face2"))
    assert not ((first > 0) & (second > 0)).any()
    assert main(["segment", str(tmp_path / "two.png"), "-o", str(tmp_path / "one"), "--max-faces", "1"]) == 0
    assert not (tmp_path / "one" / "two_face2_visible.png").exists()


def test_without_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], threads_put_back: None
) -> None:
    for place in (parts, module):
        missing = shipped_predictor("none_of_that_name", parts.part_predictor)
        monkeypatch.setattr(place, "load_part_predictor", missing)
    with pytest.raises(AssetError):
        segment(read_image(PORTRAIT))
    assert main(["segment", str(PORTRAIT), "-o", str(tmp_path / "out")]) == 1
    assert "none_of_that_name" in capsys.readouterr().err
    assert main(["segment"]) == 2
    assert "give at least one picture" in capsys.readouterr().err
