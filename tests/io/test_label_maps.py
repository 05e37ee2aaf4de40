"""Label maps written and read; Pillow is the other reader, the published class lists the oracle."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyface3d.errors import InputError
from pyface3d.io.label_maps import LABEL_MAPS, encode_label_map, read_label_map, to_parts
from pyface3d.part_labels import PART_COLOURS, FacePart


def test_palette_png_round_trip(tmp_path: Path) -> None:
    labels = np.arange(12, dtype=np.uint8).repeat(3).reshape(6, 6)
    path = tmp_path / "a_parts.png"
    path.write_bytes(encode_label_map(labels))
    np.testing.assert_array_equal(read_label_map(path), labels)
    picture = Image.open(path)
    assert picture.mode == "P"
    assert picture.convert("RGB").getpixel((0, 5)) == PART_COLOURS[FacePart(10)]


def test_grey_and_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255], [7, 128]], np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "grey.png"), [[0, 255], [7, 128]])
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bw.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "bw.png"), [[255, 0]])


def test_what_is_no_label_map(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    (tmp_path / "text.png").write_text("hello")
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "PNG")
    (tmp_path / "short.png").write_bytes(stream.getvalue()[:40])
    for name, match in (("rgb.png", "colours"), ("text.png", "text.png"), ("short.png", "short.png"), ("no.png", "no")):
        with pytest.raises(InputError, match=match):
            read_label_map(tmp_path / name)


@pytest.mark.parametrize(
    ("label_map", "number", "part"),
    [
        ("celebamask", 2, FacePart.NOSE),
        ("celebamask", 3, FacePart.GLASSES),
        ("celebamask", 5, FacePart.EYE),
        ("celebamask", 10, FacePart.MOUTH),
        ("celebamask", 13, FacePart.HAIR),
        ("celebamask", 14, FacePart.OCCLUDER),
        ("celebamask", 17, FacePart.NECK),
        ("bisenet", 2, FacePart.BROW),
        ("bisenet", 6, FacePart.GLASSES),
        ("bisenet", 10, FacePart.NOSE),
        ("bisenet", 17, FacePart.HAIR),
    ],
)
def test_classes_of_other_programs(label_map: str, number: int, part: FacePart) -> None:
    assert to_parts(np.array([[number]], np.uint8), label_map)[0, 0] == part


def test_label_maps_are_whole() -> None:
    assert [len(LABEL_MAPS[name]) for name in ("ours", "celebamask", "bisenet")] == [12, 19, 19]
    assert set(PART_COLOURS) == set(FacePart) and len(set(PART_COLOURS.values())) == 12
    with pytest.raises(InputError, match="class 19"):
        to_parts(np.array([[19]], np.uint8), "celebamask")
    with pytest.raises(InputError, match="one of ours"):
        to_parts(np.zeros((1, 1), np.uint8), "nobody")


def test_visible_face_of_celebamask(shared_data: Path) -> None:
    """The set's own statement of what the visible face is: skin, nose, eyes, brows, mouth, lips."""
    from pyface3d.part_labels import VISIBLE_FACE

    path = sorted((shared_data / "face_masks_celebahq" / "masks").iterdir())[0]
    numbers = read_label_map(path)
    np.testing.assert_array_equal(numbers, np.asarray(Image.open(path)))
    seen = np.isin(to_parts(numbers, "celebamask"), VISIBLE_FACE)
    np.testing.assert_array_equal(seen, np.isin(numbers, [1, 2, 4, 5, 6, 7, 10, 11, 12]))
