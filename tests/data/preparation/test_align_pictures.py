"""`prepare align`: crops, lists in and out, what goes wrong by name, resuming."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pyface3d.cli import main
from pyface3d.data.preparation.align import align_pictures, sources_of_meta, sources_of_photos
from pyface3d.detect.crops import FIVE_POINTS_3D, alignment_points, occlusion_robust_crop
from pyface3d.detect.landmark_files import read_landmarks, write_landmarks
from pyface3d.errors import InputError
from pyface3d.io.images import read_image, write_png
from pyface3d.systems.inputs import expand_inputs


def five_at(x: float, y: float, scale: float) -> np.ndarray:
    """A frontal face of the reference's shape, px."""
    return FIVE_POINTS_3D[:, :2] * (scale, -scale) + (x, y)


def landmarks_at(x: float, y: float, scale: float) -> np.ndarray:
    """68 landmarks whose five points are those of `five_at`."""
    points = np.zeros((68, 2)) + (x, y)
    five = five_at(x, y, scale)
    for corners, middle in (((36, 39), five[0]), ((42, 45), five[1])):
        points[corners[0]], points[corners[1]] = middle - (0.1 * scale, 0), middle + (0.1 * scale, 0)
    points[[30, 48, 54]] = five[2:]
    return points


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of different sizes with a bright spot at each of the five points."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name, (width, height), face in [
        ("a.png", (400, 300), (180, 140, 120)),
        ("b one.png", (300, 500), (150, 300, 150)),
        ("sub/c.png", (640, 480), (330, 200, 300)),
    ]:
        down, across = np.mgrid[:height, :width] + 0.5
        image = np.zeros((height, width, 3))
        for point in five_at(*face):
            spread = face[2] / 40
            spot = np.exp(-((across - point[0]) ** 2 + (down - point[1]) ** 2) / (2 * spread**2))
            image += 250 * spot[..., None]
        write_png(folder / name, image.clip(0, 255).astype(np.uint8))
    return folder


FACES = {"a.png": (180, 140, 120), "b one.png": (150, 300, 150), "sub/c.png": (330, 200, 300)}


def write_meta(path: Path, extra: str = "") -> Path:
    lines = []
    for name, face in FACES.items():
        values = " ".join(f"{value:.4f}" for value in (five_at(*face) - 0.5).ravel())
        lines.append(f"{name},{values.replace(' ', ',')}" if " " in name else f"{name} {values}")
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


def test_meta_file_in_and_out(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meta, out = write_meta(tmp_path / "meta.txt"), tmp_path / "out"
    assert main(["prepare", "align", str(photos), "-o", str(out), "--meta", str(meta), "--name", "afw"]) == 0
    assert "3 of 3 succeeded" in capsys.readouterr().out
    assert (out / "afw_fail.txt").read_text() == ""
    for name, face in FACES.items():
        crop = occlusion_robust_crop(five_at(*face), *read_image(photos / name).shape[1::-1])
        pixels = read_image(out / Path(name).name)
        assert pixels.shape == (224, 224, 3)
        for x, y in crop.to_crop(five_at(*face)):  # the five spots are where the map says
            assert pixels[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() > 200
    # The written list is a meta file again, and the maps are exact.
    again = {source.name: source.points for source in sources_of_meta(photos, out / "afw_meta.txt")}
    assert set(again) == set(FACES)
    for name, points in again.items():
        np.testing.assert_allclose(points, five_at(*FACES[name]), atol=1e-3)
    rows = (out / "afw_crops.csv").read_text().splitlines()
    assert len(rows) == 4
    matrix = np.array([float(value) for value in rows[1].split(",")[2:]]).reshape(2, 3)
    read = {source.name: source.points for source in sources_of_meta(photos, meta)}["a.png"]
    assert read is not None  # as the file has it: whole pixels of the published crop jump where a face is a hair larger
    np.testing.assert_allclose(matrix, occlusion_robust_crop(read, 400, 300).matrix, atol=1e-9)


def test_what_is_wrong_is_named_and_the_rest_goes_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = "short.png 1 2 3\nwords.png a b c d e f g h i j\nnone.png 1 2 3 4 5 6 7 8 9 10\na.png 1 2 3 4 5 6 7 8 9 10\n"
    bad += "sub/../sub/c.png 1 2 3 4 5 6 7 8 9 10\n"
    meta, out = write_meta(tmp_path / "meta.txt", bad), tmp_path / "out"
    write_png(photos / "flat.png", np.zeros((50, 50, 3), np.uint8))
    with meta.open("a") as stream:
        stream.write("flat.png 5 5 5 5 5 5 5 5 5 5\n")
    assert main(["prepare", "align", str(photos), "-o", str(out), "--meta", str(meta)]) == 1
    said = capsys.readouterr()
    for message in (
        "meta.txt line 4 must hold a name and 10 or 136 numbers, got 3",
        "meta.txt line 5 holds something that is no number",
        "none.png, which",
        "meta.txt line 7 lists a.png again",
        "would be written over sub/c.png",
        "flat.png: the five points coincide",
    ):
        assert message in said.err, message
    assert "3 of 9 succeeded" in said.out
    failed = (out / "aligned_fail.txt").read_text().splitlines()
    assert len(failed) == 6 and str(photos / "none.png") in failed
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b one.png", "c.png"]


def test_empty_things_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "meta.txt").write_text("# nothing\n")
    out = ["-o", str(tmp_path / "out")]
    assert main(["prepare", "align", str(tmp_path / "empty"), *out, "--meta", str(tmp_path / "meta.txt")]) == 1
    assert "meta.txt lists no pictures" in capsys.readouterr().err
    assert main(["prepare", "align", str(tmp_path / "none"), *out, "--meta", str(tmp_path / "meta.txt")]) == 1
    assert "none is not a folder" in capsys.readouterr().err
    assert main(["prepare", "align", str(tmp_path / "empty"), *out, "--landmarks", str(tmp_path / "empty")]) == 1
    assert "holds no pictures" in capsys.readouterr().err
    assert main(["prepare", "align", "x", *out, "--meta", "m", "--landmarks", "l"]) == 2
    assert main(["prepare", "align", "x", *out, "--meta", "m", "--landmarks-out", "l"]) == 2
    assert main(["prepare", "align", "x", *out, "--prefix", "../"]) == 2


def test_landmarks_go_along(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = tmp_path / "points"
    write_landmarks(points / "a.npy", landmarks_at(*FACES["a.png"]))
    write_landmarks(points / "b one.pts", landmarks_at(*FACES["b one.png"]))
    write_png(photos / "d.png", np.zeros((50, 50, 3), np.uint8))
    out, along = tmp_path / "out", tmp_path / "along"
    flags = ["--landmarks", str(points), "--landmarks-out", str(along), "--prefix", "pred_", "--format", "jpg"]
    assert main(["prepare", "align", str(photos), "-o", str(out), *flags]) == 1
    assert f"d.png has no landmarks in {points} (d.npy" in capsys.readouterr().err
    assert sorted(path.name for path in out.glob("*.jpg")) == ["pred_a.jpg", "pred_b one.jpg"]
    known = read_landmarks(points / "a.npy")
    expected = occlusion_robust_crop(alignment_points(known), 400, 300).to_crop(known)
    np.testing.assert_allclose(read_landmarks(along / "pred_a.npy"), expected, atol=1e-3)


def test_a_run_goes_on_where_it_stopped(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = sources_of_meta(photos, write_meta(tmp_path / "meta.txt"))
    whole = tmp_path / "whole"
    list(align_pictures(sources, whole))
    cut = tmp_path / "cut"
    run = align_pictures(sources, cut)
    next(run)
    run.close()  # as a kill would: no lists yet
    assert not (cut / "aligned_meta.txt").exists()
    with (cut / "aligned_align.jsonl").open("a") as stream:
        stream.write('{"file": "b one.png", "wri')
    from pyface3d.data.preparation import align as module

    read: list[str] = []
    monkeypatch.setattr(module, "read_image", lambda path: read.append(path.name) or read_image(path))
    done = list(align_pictures(sources, cut, resume=True))
    assert [one.resumed for one in done] == [True, False, False] and read == ["b one.png", "c.png"]
    for path in whole.iterdir():
        assert (cut / path.name).read_bytes() == path.read_bytes(), path.name
    (cut / "a.png").unlink()
    assert [one.resumed for one in align_pictures(sources, cut, resume=True)] == [False, True, True]
    with pytest.raises(InputError, match=r"other settings \(prefix\); leave out --resume"):
        list(align_pictures(sources, cut, prefix="x", resume=True))
    (cut / "aligned_align.jsonl").write_text("not ours\n")
    with pytest.raises(InputError, match="is not of a run of pyface3d prepare"):
        list(align_pictures(sources, cut, resume=True))


def test_pictures_without_points_are_looked_at(photos: Path, tmp_path: Path) -> None:
    sources = sources_of_photos(expand_inputs([photos]))

    def find(image: np.ndarray) -> np.ndarray | None:
        return landmarks_at(*FACES["a.png"]).astype(np.float32) if image.shape[1] == 400 else None

    done = {one.source.name: one for one in align_pictures(sources, tmp_path / "out", find=find)}
    assert done["a.png"].error is None
    assert "no face was found" in str(done["b one.png"].error)
    meta = (tmp_path / "out" / "aligned_meta.txt").read_text().split()
    np.testing.assert_allclose(np.array(meta[1:], float), (five_at(*FACES["a.png"]) - 0.5).ravel(), atol=1e-3)


def test_a_picture_is_not_written_over(photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = (photos / "a.png").read_bytes()
    meta = write_meta(tmp_path / "meta.txt")
    assert main(["prepare", "align", str(photos), "-o", str(photos), "--meta", str(meta)]) == 1
    said = capsys.readouterr()
    assert "a.png would be written over by what is made of it" in said.err and "1 of 3 succeeded" in said.out
    assert (photos / "a.png").read_bytes() == before


def test_names_that_are_no_utf8(photos: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png"))
    try:
        odd.write_bytes((photos / "a.png").read_bytes())
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    sources = sources_of_photos(expand_inputs([odd]))
    out = tmp_path / "out"

    def find(image: np.ndarray) -> np.ndarray:
        return landmarks_at(*FACES["a.png"]).astype(np.float32)

    assert [one.error for one in align_pictures(sources, out, find=find)] == [None]
    assert [one.resumed for one in align_pictures(sources, out, find=find, resume=True)] == [True]
    assert (out / odd.name).is_file()
    assert b"caf\xe9.png" in (out / "aligned_meta.txt").read_bytes()


def test_two_of_one_name_are_not_mixed_up(photos: Path, tmp_path: Path) -> None:
    write_png(photos / "sub" / "a.png", np.zeros((50, 50, 3), np.uint8))
    sources = sources_of_photos(expand_inputs([photos / "a.png", photos / "sub"]))
    assert [source.error is None for source in sources] == [True, False, True]
    assert "would be written over" in str(sources[1].error)
