"""`prepare split`: shares, what is copied, linked and moved, what is missing, resuming."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyface3d.cli import main
from pyface3d.data.preparation.split import find_samples, split_samples
from pyface3d.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """40 faces; every third has nothing before it, and f07 has no landmarks, x no picture."""
    folder = tmp_path / "data"
    for name in ("ori_img", "landmarks", "occluded", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(40):
        stem = f"f{number:02}"
        (folder / "ori_img" / f"{stem}.jpg").write_text(f"picture {stem}")
        if number != 7:
            (folder / "landmarks" / f"{stem}.npy").write_text(f"points {stem}")
        if number % 3:
            (folder / "occluded" / f"{stem}.png").write_text(f"covered {stem}")
            (folder / "masks" / f"{stem}.png").write_text(f"mask {stem}")
    (folder / "landmarks" / "x.npy").write_text("points x")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.suffix != ".jsonl" and path.is_file()
    }


def test_every_complete_sample_goes_to_one_set(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, out = contents(data), tmp_path / "sets"
    assert main(["prepare", "split", str(data), "-o", str(out), "--share", "0.9", "--seed", "2"]) == 1
    said = capsys.readouterr()
    assert "f07 has nothing in landmarks" in said.err and "x has nothing in ori_img" in said.err
    assert "35 train, 4 validate" in said.out and "39 of 41 succeeded" in said.out
    assert contents(data) == before
    found = contents(out)
    expected = {name: text for name, text in before.items() if "f07" not in name and "x.npy" not in name}
    assert {name.split("/", 1)[1]: text for name, text in found.items()} == expected
    sets: dict[str, set[str]] = {}
    for name in found:
        sets.setdefault(Path(name).stem, set()).add(name.split("/")[0])
    assert all(len(parts) == 1 for parts in sets.values())
    assert sum(parts == {"val"} for parts in sets.values()) == 4
    other = tmp_path / "other"
    main(["prepare", "split", str(data), "-o", str(other), "--share", "0.9", "--seed", "3"])
    assert set(contents(other)) != set(found)
    again = tmp_path / "again"
    main(["prepare", "split", str(data), "-o", str(again), "--share", "0.9", "--seed", "2"])
    assert set(contents(again)) == set(found)


@pytest.mark.parametrize("way", ["link", "move"])
def test_links_and_moves(data: Path, tmp_path: Path, way: str) -> None:
    before, out = contents(data), tmp_path / "sets"
    done = list(split_samples(find_samples(data), out, way=way))
    assert sum(one.error is None for one in done) == 39
    moved = {name.split("/", 1)[1]: text for name, text in contents(out).items()}
    left = contents(data)
    assert moved | left == before
    if way == "move":
        assert set(left) == {name for name in before if Path(name).stem in ("f07", "x")}
    else:
        one = next(path for path in (out / "train" / "ori_img").iterdir())
        assert one.samefile(data / "ori_img" / one.name)


@pytest.mark.parametrize("way", ["copy", "link", "move"])
def test_a_run_goes_on_where_it_stopped(data: Path, tmp_path: Path, way: str) -> None:
    whole = tmp_path / "whole"
    list(split_samples(find_samples(data), whole, seed=1, way="copy"))
    expected = set(contents(whole))
    cut = tmp_path / "cut"
    run = split_samples(find_samples(data), cut, seed=1, way=way)
    for _ in range(10):
        next(run)
    run.close()
    assert 0 < len(contents(cut)) < len(expected)
    done = list(split_samples(find_samples(data), cut, seed=1, way=way, resume=True))
    assert set(contents(cut)) == expected
    assert sum(one.resumed for one in done) == (0 if way == "move" else 9)  # what was moved is no more in the folder
    assert not list(cut.rglob("*.part"))
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        list(split_samples(find_samples(data), cut, seed=2, way=way, resume=True))


def test_small_sets_have_both_parts(tmp_path: Path) -> None:
    for name, ending in (("ori_img", "jpg"), ("landmarks", "npy")):
        (tmp_path / name).mkdir()
        for stem in "ab":
            (tmp_path / name / f"{stem}.{ending}").write_text(stem)
    assert sorted(str(one.part) for one in split_samples(find_samples(tmp_path), tmp_path / "o")) == ["train", "val"]
    parts = [one.part for one in split_samples(find_samples(tmp_path), tmp_path / "p", share=1)]
    assert parts == ["train", "train"]


def test_empty_and_wrong_folders_are_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "split", str(tmp_path / "none")]) == 1
    assert "must hold the folders ori_img and landmarks" in capsys.readouterr().err
    (tmp_path / "bare" / "ori_img").mkdir(parents=True)
    with pytest.raises(InputError, match="ori_img is empty"):
        find_samples(tmp_path / "bare")
    (data / "ori_img" / "f01.png").write_text("twice")
    with pytest.raises(InputError, match=r"f01\.png and f01\.jpg are of one name"):
        find_samples(data)
    assert main(["prepare", "split", str(data), "--share", "1.5"]) == 2
    for path in (data / "landmarks").iterdir():
        path.rename(path.with_stem(f"other_{path.stem}"))
    (data / "ori_img" / "f01.png").unlink()
    with pytest.raises(InputError, match="no sample has a picture and landmarks"):
        list(split_samples(find_samples(data), tmp_path / "out"))
