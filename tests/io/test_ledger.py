"""Ledgers of long runs: rows come back, a cut line is forgotten, other runs are refused."""

from pathlib import Path

import pytest

from pyface3d.errors import InputError, OutputError
from pyface3d.io.ledger import Ledger, refuse_overwriting


def test_rows_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.jsonl"
    first = Ledger(path, {"seed": 1, "sides": (2, 3)}, resume=True)  # nothing to resume is no error
    first.add("a", value=1)
    first.add("b", error="no face")
    first.add("caf\udce9", value=[1.5, None])
    first.add("b", value=2)  # the later row counts
    first.close()
    with path.open("a") as stream:
        stream.write('{"file": "c", "val')
    again = Ledger(path, {"seed": 1, "sides": (2, 3)}, resume=True)
    again.close()
    assert again.rows == {
        "a": {"file": "a", "value": 1},
        "b": {"file": "b", "value": 2},
        "caf\udce9": {"file": "caf\udce9", "value": [1.5, None]},
    }
    assert path.read_text().count("\n") == 4
    fresh = Ledger(path, {"seed": 2}, resume=False)
    fresh.close()
    assert fresh.rows == {} and path.read_text().count("\n") == 1


@pytest.mark.parametrize("text", ["", "words\n", "[1]\n", '{"a": 1}\n{"nofile": 2}\n'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    if not text:  # a crash before the first line
        Ledger(path, {}, resume=True).close()
        return
    with pytest.raises(InputError, match="leave out --resume"):
        Ledger(path, {}, resume=True)


def test_settings_must_be_the_same(tmp_path: Path) -> None:
    Ledger(tmp_path / "run.jsonl", {"seed": 1, "mode": "x"}, resume=False).close()
    with pytest.raises(InputError, match=r"other settings \(mode, more\)"):
        Ledger(tmp_path / "run.jsonl", {"seed": 1, "mode": "y", "more": 2}, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        Ledger(tmp_path / "file" / "run.jsonl", {}, resume=False)


def test_a_source_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    refuse_overwriting(tmp_path / "b", tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for target in ("a", "link"):
        with pytest.raises(InputError, match="would be written over"):
            refuse_overwriting(tmp_path / target, tmp_path / "a")
