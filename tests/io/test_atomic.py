"""Files appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from pyface3d.errors import OutputError
from pyface3d.io.atomic import atomic_file


def test_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file.bin"
    with atomic_file(target) as stream:
        stream.write(b"content")
        assert not target.exists()
    assert target.read_bytes() == b"content"
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")

    def stop_half_way() -> None:
        with atomic_file(target) as stream:
            stream.write(b"new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_other_people_may_read_it(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    plain = tmp_path / "plain.bin"
    plain.write_bytes(b"")
    with atomic_file(target) as stream:
        stream.write(b"")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_names_of_the_longest_kind(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    with atomic_file(target) as stream:
        stream.write(b"content")
    assert target.read_bytes() == b"content"


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), atomic_file(tmp_path / "file" / "in.bin"):
        pass
    with pytest.raises(OutputError, match="too long"), atomic_file(tmp_path / ("n" * 256)) as stream:
        stream.write(b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="Permission denied"), atomic_file(tmp_path / "b.bin") as stream:
        stream.write(b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
