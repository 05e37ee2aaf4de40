"""Inputs of a batch run: folders, patterns, lists, and the names of their outputs."""

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyface3d.systems.inputs import expand_inputs


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b.png", "a.JPG", "notes.md", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    return tmp_path


def names(photos) -> list[str]:
    return [photo.path.name for photo in photos]


def test_folder_gives_its_pictures_by_name(folder):
    assert names(expand_inputs([folder])) == ["a.JPG", "b.png", "c.webp"]


def test_pattern_list_and_single_file_keep_their_order(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbf# comment\r\n\r\n  sub/a.jpg  \r\nb.png")
    photos = expand_inputs(["c.webp", "list.txt", "**/*.jpg", "-"], io.StringIO("b.png\n"))
    assert [str(photo.path) for photo in photos] == ["c.webp", "sub/a.jpg", "b.png", "sub/a.jpg", "b.png"]
    assert [photo.stem for photo in photos] == ["c", "a", "b", "a_2", "b_2"]


def test_list_paths_may_be_relative_to_the_list(folder, monkeypatch):
    monkeypatch.chdir("/")
    (folder / "list.txt").write_text("sub/a.jpg\nnowhere.jpg\n")
    photos = expand_inputs([folder / "list.txt"])
    assert photos[0].path == folder / "sub" / "a.jpg" and photos[1].path == Path("nowhere.jpg")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("missing.jpg", "does not exist"),
        ("*.tiff", "no file matches"),
        ("empty", "holds no pictures"),
        ("empty.txt", "names no pictures"),
        ("binary.txt", "not a text file"),
        ("film.mp4", "is a video"),
        ("a\0b.jpg", "does not exist"),
    ],
)
def test_what_cannot_be_found_is_a_row(folder, monkeypatch, given, reason):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_text("# only\n\n")
    (folder / "binary.txt").write_bytes(b"\0\1\2")
    (folder / "film.mp4").touch()
    photos = expand_inputs([given, "b.png"])
    assert reason in photos[0].error and photos[1].error is None


@pytest.mark.parametrize(
    ("file", "stem"),
    [
        ("a.b.png", "a.b"),
        ("x.jpg.jpg", "x.jpg"),
        ("mypngs.png", "mypngs"),
        ("Premiere+Fox s.jpg", "Premiere+Fox s"),
        ("noending", "noending"),
        (".hidden", ".hidden"),
        ("日本語.png", "日本語"),
        ("n" * 150 + ".jpg", "n" * 150),
        ("n" * 200 + ".jpg", "n" * 200),
        ("x.", "x"),
    ],
)
def test_stem_is_the_name_less_its_last_extension(tmp_path, file, stem):
    (tmp_path / file).touch()
    assert expand_inputs([tmp_path / file])[0].stem == stem


def test_stems_too_long_for_their_endings_are_shortened_and_stay_apart(tmp_path):
    files = [tmp_path / ("é" * 120 + ending) for ending in ("a.jpg", "b.jpg")]
    for file in files:
        file.touch()
    stems = [photo.stem for photo in expand_inputs(files)]
    assert len(set(stems)) == 2 and all(len(stem.encode()) <= 220 for stem in stems)


def test_no_picture_takes_another_ones_file_names(tmp_path):
    given = ["x.jpg", "x_face2.png", "x_overlay.png", "x_2.jpg", "x.png", "X.png", "report.jpg", "x_final_aligned.jpg"]
    for name in given:
        (tmp_path / name).touch()
    stems = [photo.stem for photo in expand_inputs([tmp_path / name for name in given])]
    assert stems == ["x", "x_face2_2", "x_overlay_2", "x_2", "x_3", "X_4", "report_2", "x_final_aligned_2"]


def test_undecodable_names(tmp_path):
    if sys.platform != "linux":
        pytest.skip("only Linux file systems take any bytes as a name")
    path = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    with open(path, "wb"):
        pass
    (photo,) = expand_inputs([tmp_path])
    photo.stem.encode()  # printable and storable
    assert photo.path.exists()


NAMES = ("a", "A", "a_2", "a_3", "a_face2", "a_face2_2", "a_overlay", "b", "report", "é")


@given(st.lists(st.sampled_from(NAMES), max_size=12))
def test_stems_are_unique_without_case(words):
    photos = expand_inputs([f"/nowhere/{word}.jpg" for word in words])
    stems = [photo.stem.casefold() for photo in photos]
    assert len(set(stems)) == len(stems) and "report" not in stems


def test_many_equal_names_take_no_quadratic_time(tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(f"/nowhere/{k}/frame.jpg" for k in range(20_000)))
    photos = expand_inputs([tmp_path / "list.txt"])
    assert photos[-1].stem == "frame_20000"
