"""Landmarks from every kind of file, and one clear error from every bad one."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyface3d.detect.landmark_files import read_landmark_list, read_landmarks, write_landmark_list, write_landmarks
from pyface3d.errors import InputError

POINTS = np.random.default_rng(0).uniform(5, 400, (68, 2)).round(3)


def lines(points: np.ndarray, separator: str = " ") -> str:
    return "\n".join(separator.join(str(value) for value in row) for row in points) + "\n"


def row(name: str, points: np.ndarray, separator: str) -> str:
    return separator.join([name, *(str(value) for value in points.ravel())]) + "\n"


@pytest.mark.parametrize("suffix", [".pts", ".txt"])
def test_plain_lines_count_from_zero(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"face{suffix}"
    path.write_text(lines(POINTS))
    points = read_landmarks(path)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, POINTS + 0.5, rtol=1e-6)
    np.testing.assert_allclose(read_landmarks(path, first_pixel=0.5), POINTS, rtol=1e-6)


def test_annotations_count_from_one(tmp_path: Path) -> None:
    path = tmp_path / "face.pts"
    path.write_text("version: 1\nn_points: 68\n{\n" + lines(POINTS) + "}\n")
    np.testing.assert_allclose(read_landmarks(path), POINTS - 0.5, rtol=1e-6)


def test_comma_lines(tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    path.write_text(lines(POINTS, ", "))
    np.testing.assert_allclose(read_landmarks(path), POINTS + 0.5, rtol=1e-6)


@pytest.mark.parametrize("shape", ["rows", "columns", "third column", "batch of one", "whole numbers"])
def test_arrays(tmp_path: Path, shape: str) -> None:
    array = {
        "rows": POINTS,
        "columns": POINTS.T,
        "third column": np.column_stack([POINTS, np.ones(68)]),
        "batch of one": POINTS[None],
        "whole numbers": POINTS.astype(np.int32),
    }[shape]
    np.save(tmp_path / "face.npy", array)
    expected = POINTS.astype(int) if shape == "whole numbers" else POINTS
    np.testing.assert_allclose(read_landmarks(tmp_path / "face.npy"), expected + 0.5, rtol=1e-6)


def test_lists_of_focus(tmp_path: Path) -> None:
    path = tmp_path / "all_landmarks.csv"
    path.write_text(row("a b.jpg", POINTS, ",") + row("sub/two.jpg", POINTS + 1, ","))
    np.testing.assert_allclose(read_landmarks(path, "a b.jpg"), POINTS + 0.5, rtol=1e-6)
    np.testing.assert_allclose(read_landmarks(path, "photos/two.jpg"), POINTS + 1.5, rtol=1e-6)
    assert list(read_landmark_list(path)) == ["a b.jpg", "sub/two.jpg"]
    with pytest.raises(InputError, match="lists 2 pictures"):
        read_landmarks(path)
    with pytest.raises(InputError, match="no row for three"):
        read_landmarks(path, "three.jpg")


def test_lists_of_the_five_point_aligners(tmp_path: Path) -> None:
    path = tmp_path / "meta.txt"
    path.write_text("# a comment\n" + row("one.jpg", POINTS[:5], " ") + "\n")
    points = read_landmarks(path)
    assert points.shape == (5, 2)
    np.testing.assert_allclose(points, POINTS[:5] + 0.5, rtol=1e-6)


def bad_files() -> dict[str, tuple[bytes, str]]:
    objects, unfit = io.BytesIO(), io.BytesIO()
    np.save(objects, np.array([{"x": 1}], dtype=object), allow_pickle=True)
    np.save(unfit, np.zeros((67, 2)))
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
    text = lines(POINTS)
    return {
        "empty.pts": (b"", "68 lines"),
        "short.pts": (lines(POINTS[:67]).encode(), "got 67 lines"),
        "words.txt": (text.replace(str(POINTS[3, 0]), "3 points").encode(), "68 lines|no number"),
        "letters.pts": (b"1 x\n" * 68, "no number"),
        "nan.pts": (b"1 nan\n" * 68, "no pixels"),
        "far.pts": (b"1 1e30\n" * 68, "no pixels"),
        "open.pts": (b"version: 1\nn_points: 68\n1 2\n", "between braces"),
        "binary.txt": (bytes(range(128, 256)), "not a text file"),
        "row.csv": (b"a.jpg,1,2,3\n", "10 or 136 numbers, got 3"),
        "objects.npy": (objects.getvalue(), "holds objects"),
        "unfit.npy": (unfit.getvalue(), r"\(68, 2\), got \(67, 2\)"),
        "huge.npy": (huge.getvalue(), "not what its header says"),
        "cut.npy": (unfit.getvalue()[:50], "not a numpy array"),
        "photo.jpg": (b"\xff\xd8\xff", "must end in"),
        "long.pts": (b"1 2\n" * 300_000, "too long"),
    }


@pytest.mark.parametrize("name", sorted(bad_files()))
def test_bad_files_are_one_clear_error(tmp_path: Path, name: str) -> None:
    content, message = bad_files()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_landmarks(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    for name in ("a.pts", "a.npy"):
        with pytest.raises(InputError, match=r"cannot read .*No such file"):
            read_landmarks(tmp_path / name)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text("0123456789.,-e \n#{}:vnax", max_size=300).map(str.encode),
        st.binary(max_size=60).map(lambda tail: b"\x93NUMPY\x01\x00" + tail),
    ),
    suffix=st.sampled_from([".pts", ".txt", ".csv", ".npy"]),
)
def test_any_bytes_give_points_or_our_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(content)
    try:
        points = read_landmarks(path)
    except InputError:
        return
    assert points.shape in ((68, 2), (5, 2))
    assert np.isfinite(points).all()


def test_files_of_the_originals(shared_data: Path) -> None:
    crops = sorted((shared_data / "extreme3d" / "paper" / "imgs").glob("*.pts"))
    assert crops
    for path in crops:
        points = read_landmarks(path)
        assert 0 < points.min() < points.max() < 501
    points = read_landmarks(shared_data / "tv_frames" / "id1" / "kpt" / "00001_kpt2d.npy")
    assert points.shape == (68, 2)


@pytest.mark.parametrize("suffix", [".npy", ".pts", ".csv"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"face{suffix}"
    write_landmarks(path, POINTS)
    np.testing.assert_allclose(read_landmarks(path), POINTS, atol=1e-4)


def test_files_count_pixels_as_others_do(tmp_path: Path) -> None:
    """The middle of the first pixel: 0 in arrays and lists, 1 in iBUG's files."""
    corner = np.full((68, 2), 0.5)
    write_landmarks(tmp_path / "a.npy", corner)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), 0)
    write_landmarks(tmp_path / "a.pts", corner)
    assert (tmp_path / "a.pts").read_text().splitlines()[:4] == ["version: 1", "n_points: 68", "{", "1.0000 1.0000"]


def test_lists_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    write_landmark_list(path, {"a b.jpg": POINTS, "c.png": POINTS / 2})
    back = read_landmark_list(path)
    assert list(back) == ["a b.jpg", "c.png"]
    np.testing.assert_allclose(back["c.png"], POINTS / 2, atol=1e-4)
    with pytest.raises(InputError, match="comma"):
        write_landmark_list(path, {"a,b.jpg": POINTS})


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.npy, \.pts or \.csv"):
        write_landmarks(tmp_path / "a.json", POINTS)
    with pytest.raises(InputError, match=r"shape \(68, 2\)"):
        write_landmarks(tmp_path / "a.npy", POINTS[:5])
