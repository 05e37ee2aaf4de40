"""Detection rates counted on pictures whose faces are known."""

from pathlib import Path

import numpy as np
import pytest

from pyface3d.detect import detect_faces
from pyface3d.errors import AssetError, InputError
from pyface3d.evaluate.detection import evaluate_detection, is_on_face, read_boxes
from pyface3d.io.images import read_image, write_png

BOXES = Path(__file__).resolve().parents[1] / "detect" / "real_masked_faces_boxes.csv"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    faces, empty = tmp_path / "faces", tmp_path / "empty"
    write_png(faces / "a.png", astronaut)
    write_png(faces / "b.png", np.concatenate([astronaut[:250], astronaut[:250]], axis=1))
    write_png(empty / "c.png", np.full((120, 160, 3), 90, np.uint8))
    write_png(empty / "d.png", astronaut[300:])
    (faces / "boxes.csv").write_text(
        "name,x0,y0,x1,y1\na.png,180,60,270,175\nb.png,180,60,270,175\nb.png,692,60,782,175\nb.png,10,10,40,40\n"
    )
    return faces, empty


def test_counts(folders: tuple[Path, Path]) -> None:
    ours, dlib, middle = evaluate_detection(folders[0], detectors=["mtcnn", "dlib", "middle"], faceless=folders[1]).rows
    assert ours["pictures"] == 2
    assert ours["face found %"] == 100
    assert ours["known faces"] == 4
    assert ours["of them found %"] == 75
    assert ours["other detections"] == 0
    assert ours["with false alarm %"] == 0
    assert dlib["face found %"] == 100
    assert middle["face found %"] == 0
    assert middle["with false alarm %"] == 100


def test_chosen_detectors_in_their_order(folders: tuple[Path, Path]) -> None:
    rows = evaluate_detection(folders[0], detectors=["middle", "mtcnn"], limit=1).rows
    assert [row["detector"] for row in rows] == ["box in the middle", "ours (mtcnn)"]
    with pytest.raises(InputError, match="detectors must be of"):
        evaluate_detection(folders[0], detectors=["nobody"])
    with pytest.raises(AssetError, match="--peer-weights"):
        evaluate_detection(folders[0], detectors=["rfb-320"])


def test_without_boxes(folders: tuple[Path, Path]) -> None:
    (folders[0] / "boxes.csv").unlink()
    table = evaluate_detection(folders[0], detectors=["mtcnn"], limit=1)
    assert table.rows[0]["pictures"] == 1
    assert table.rows[0]["face found %"] == 100
    assert table.rows[0]["known faces"] is None
    assert "no boxes are known" in table.notes[0]


def test_what_counts_as_found() -> None:
    known = (10.0, 10.0, 50.0, 50.0)
    assert is_on_face((12.0, 12.0, 55.0, 55.0), known)
    assert not is_on_face((45.0, 45.0, 90.0, 90.0), known)
    assert not is_on_face((25.0, 25.0, 35.0, 35.0), known)
    assert not is_on_face((-90.0, -90.0, 150.0, 150.0), known)


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no pictures"):
        evaluate_detection(tmp_path)
    with pytest.raises(InputError, match="cannot list"):
        evaluate_detection(tmp_path / "missing")
    write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="limit"):
        evaluate_detection(tmp_path, limit=0)
    for text in ("x\n1\n", "name,x0,y0,x1,y1\na,1,2,x,4\n", "name,x0,y0,x1,y1\na,5,5,2,9\n", "name,x0,y0,x1,y1\na,1\n"):
        (tmp_path / "boxes.csv").write_text(text)
        with pytest.raises(InputError, match="cannot read boxes"):
            read_boxes(tmp_path / "boxes.csv")


def test_masked_people(shared_data: Path) -> None:
    """The bar: nine of ten people with covered faces are found."""
    known = read_boxes(BOXES)
    folder = shared_data / "real_masked_faces"
    found = [
        any(is_on_face(face.box, box) for face in detect_faces(read_image(folder / name)) for box in boxes)
        for name, boxes in known.items()
    ]
    assert len(found) == 103
    assert np.mean(found) >= 0.9
