"""Files that appear together, or not at all."""

import os
import subprocess
import sys

import pytest

from pyface3d.errors import OutputError
from pyface3d.io.staging import remove_stale, staged_files


def names(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_there_before_the_end_and_everything_after(tmp_path):
    out = tmp_path / "new"
    with staged_files(out) as files:
        files.write_bytes("a", b"1")
        files.write_bytes("sub/b", b"22")
        files.path("c").write_bytes(b"333")
        assert files.sizes() == {"a": 1, "sub/b": 2, "c": 3}
        assert not (out / "a").exists() and not (out / "sub").exists()
    assert names(out) == {"a", "sub/b", "c"}
    assert files.written == [out / "a", out / "sub" / "b", out / "c"]
    assert {path.name for path in out.iterdir()} == {"a", "sub", "c"}


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def interrupted():
        with staged_files(tmp_path) as files:
            files.write_bytes("a", b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert names(tmp_path) == {"a"} and (tmp_path / "a").read_bytes() == b"old"


def test_the_system_refusing_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    refused = pytest.raises(OutputError, match=r"cannot write to .*file.*: \S.*; free space")
    with refused, staged_files(tmp_path / "file"):
        pass


def test_permissions_are_those_of_a_plain_file(tmp_path):
    with staged_files(tmp_path) as files:
        files.write_bytes("a", b"1")
    (tmp_path / "plain").write_bytes(b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="processes are asked after by signal 0")
def test_only_what_dead_processes_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for number in (dead.pid, alive.pid, os.getpid()):
            (tmp_path / f".pyface3d-{number}-x.part").mkdir()
        (tmp_path / ".pyface3d-notes").mkdir()
        remove_stale(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {f".pyface3d-{alive.pid}-x.part", ".pyface3d-notes"}
    finally:
        alive.communicate()
    remove_stale(tmp_path / "nowhere")
