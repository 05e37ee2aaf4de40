"""Many pictures through one system: failures apart, files whole, resumable."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_head import egg_reconstruction

from pyface3d.errors import InputError, NoFaceError, OutputError
from pyface3d.io import staging
from pyface3d.io.images import read_image
from pyface3d.io.weights import list_assets
from pyface3d.systems import batch
from pyface3d.systems.batch import BatchOptions, map_ahead, run_batch


def egg_system(image, landmarks):
    """As many faces as the first pixel's red says; 255 stands for a bug, 254 for a refusal."""
    red = int(image[0, 0, 0])
    if red == 255:
        raise RuntimeError("kaputt")
    if red == 254:
        raise InputError("it is not wanted")
    height, width = image.shape[:2]
    return [egg_reconstruction(height, width, seed=int(image[0, 0, 1]) + k) for k in range(red)]


def picture(path: Path, faces: int = 1, seed: int = 0) -> Path:
    image = np.full((60, 80, 3), 90, np.uint8)
    image[0, 0] = faces, seed, 0
    Image.fromarray(image).save(path)
    return path


OPTIONS = BatchOptions(formats=("ply", "glb"), pictures=False)
SUFFIXES = ("_foundation_aligned.ply", "_foundation_frontal.ply", ".glb", ".json", "_occlusion.png", "_overlay.png")


def files_of(stem: str) -> set[str]:
    return {stem + suffix for suffix in SUFFIXES}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the JSON (which holds timings)."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".json", ".html")
    }


def test_files_of_a_run(tmp_path):
    photos = [picture(tmp_path / "one.png"), picture(tmp_path / "two faces.png", faces=2)]
    report = run_batch(photos, tmp_path / "out", egg_system, OPTIONS)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *files_of("one"),
        *files_of("two faces"),
        *files_of("two faces_face2"),
        "report.json",
        "report.html",
    }
    assert report.finished and report.failed == 0
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["faces"] for row in stored["images"]] == [1, 2] and stored["succeeded"] == 2
    assert set(stored["images"][0]["files"]) == files_of("one")
    record = json.loads((tmp_path / "out" / "two faces_face2.json").read_text())
    assert (
        record["status"] == "ok" and record["face"] == 2 and record["pose"]["yaw_deg"] == pytest.approx(17.19, abs=0.1)
    )
    assert np.array(record["coefficients"]["expression"]).shape == (52,)


def test_failures_stay_apart(tmp_path):
    (tmp_path / "text.jpg").write_text("this is no picture")
    photos = [
        picture(tmp_path / "none.png", faces=0),
        tmp_path / "text.jpg",
        picture(tmp_path / "bug.png", faces=255),
        picture(tmp_path / "refused.png", faces=254),
        tmp_path / "missing.png",
        picture(tmp_path / "good.png"),
    ]
    seen = []
    report = run_batch(
        photos,
        tmp_path / "out",
        egg_system,
        OPTIONS,
        on_row=lambda done, total, row: seen.append((done, total, row.ok)),
    )
    assert [row.status for row in report.rows] == ["no face", "failed", "failed", "failed", "failed", "ok"]
    reasons = ["no face", "text.jpg", "unexpected RuntimeError: kaputt", "not wanted", "does not exist", None]
    for row, reason in zip(report.rows, reasons, strict=True):
        assert (row.error is None) if reason is None else (reason in row.error and "\n" not in row.error)
    assert "egg_system" in report.rows[2].details
    assert seen[-1] == (6, 6, True) and [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files_of("good"), "report.json", "report.html"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "kaputt" in page and "1 of 6 inputs succeeded" in page


def test_single_equals_batch_for_any_number_of_threads(tmp_path):
    photos = [picture(tmp_path / f"{k}.png", faces=1 + k % 2, seed=k) for k in range(5)]
    run_batch(photos, tmp_path / "a", egg_system, OPTIONS)
    many = BatchOptions(formats=("ply", "glb"), pictures=False, batch=3, workers=4)
    run_batch(photos, tmp_path / "b", egg_system, many)
    for photo in photos:
        run_batch([photo], tmp_path / "c", egg_system, OPTIONS)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")
    assert len(contents(tmp_path / "a")) == 7 * 5


def test_pictures_of_the_report_are_where_it_links(tmp_path):
    photos = [picture(tmp_path / "a b'c.png"), picture(tmp_path / "none.png", faces=0)]
    report = run_batch(photos, tmp_path / "out", egg_system, BatchOptions())
    shown = [path for row in report.rows for face in row.pictures for path in face.values()]
    assert len(shown) == 7
    for path in shown:
        assert max(Image.open(tmp_path / "out" / path).size) <= 256
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 7 and "http" not in page.replace("https://", "")
    assert "report_files/a%20b%27c_clay.png" in page


def test_resume_skips_what_is_complete(tmp_path):
    calls = []

    def counted(image, landmarks):
        calls.append(int(image[0, 0, 1]))
        return egg_system(image, landmarks)

    photos = [picture(tmp_path / f"{k}.png", faces=2 if k == 1 else 1, seed=k) for k in range(4)]
    out, resume = tmp_path / "out", BatchOptions(formats=("ply", "glb"), pictures=False, resume=True)
    run_batch(photos, out, counted, resume)
    before = contents(out)
    (out / "0.glb").unlink()  # lost
    (out / "1_face2.glb").write_bytes(b"short")  # cut
    picture(photos[2], seed=40)  # another picture of the same name
    calls.clear()
    report = run_batch(photos, out, counted, resume)
    assert calls == [0, 1, 40]
    assert [row.resumed for row in report.rows] == [False, False, False, True]
    assert [row.faces for row in report.rows] == [1, 2, 1, 1] and report.failed == 0
    after = contents(out)
    assert {k: v for k, v in after.items() if k[0] != "2"} == {k: v for k, v in before.items() if k[0] != "2"}
    calls.clear()
    run_batch(photos, out, counted, BatchOptions(formats=("ply",), pictures=False, resume=True))
    assert len(calls) == 4, "other options, other files"


def test_resume_redoes_what_other_weights_made(tmp_path, monkeypatch):
    calls = []

    def counted(image, landmarks):
        calls.append(1)
        return egg_system(image, landmarks)

    photo, options = picture(tmp_path / "a.png"), BatchOptions(formats=("ply",), pictures=False, resume=True)
    run_batch([photo], tmp_path / "out", counted, options)
    run_batch([photo], tmp_path / "out", counted, options)
    assert len(calls) == 1
    shipped = list_assets()
    retrained = [replace(asset, card=replace(asset.card, sha256="0" * 64)) for asset in shipped[:1]] + shipped[1:]
    monkeypatch.setattr(batch, "list_assets", lambda: retrained)
    run_batch([photo], tmp_path / "out", counted, options)
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"run": 3}', b'{"run": {"files": [1]}}', b"[" * 5000, b"\xff"])
def test_a_damaged_record_is_made_anew(tmp_path, damage):
    photo, resume = picture(tmp_path / "a.png"), BatchOptions(formats=("ply",), pictures=False, resume=True)
    run_batch([photo], tmp_path / "out", egg_system, resume)
    (tmp_path / "out" / "a.json").write_bytes(damage)
    report = run_batch([photo], tmp_path / "out", egg_system, resume)
    assert report.failed == 0 and not report.rows[0].resumed


KILLED = """
import sys, pathlib, time
sys.path[:0] = {path!r}
from test_batch import OPTIONS, egg_system
from dataclasses import replace
from pyface3d.systems.batch import run_batch
photos = sorted(pathlib.Path(sys.argv[1]).glob("*.png"))
print("begin", flush=True)
run_batch(photos, sys.argv[2], egg_system, replace(OPTIONS, resume=True))
"""


@pytest.mark.slow
def test_killed_at_any_time_and_resumed_gives_the_same_files(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for k in range(6):
        picture(source / f"{k}.png", faces=1 + k % 2, seed=k)
    script = KILLED.format(path=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def start(out):
        process = subprocess.Popen(
            [sys.executable, "-c", script, source, out],
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout.readline() == b"begin\n"
        return process

    begin = time.monotonic()
    assert start(whole).wait(120) == 0
    seconds = time.monotonic() - begin
    for share in (0.25, 0.6):
        process = start(broken)
        time.sleep(seconds * share)
        process.kill()
        process.wait()
        for path in broken.glob("*.json"):
            json.loads(path.read_text())  # whatever is there is whole
        for path in broken.glob("*.glb"):
            assert int.from_bytes(path.read_bytes()[8:12], "little") == path.stat().st_size
    assert start(broken).wait(120) == 0
    assert contents(broken) == contents(whole)
    assert {path.name for path in broken.iterdir()} == {path.name for path in whole.iterdir()}, "nothing left behind"


def test_interrupt_leaves_a_report_of_what_is_done(tmp_path):
    photos = [picture(tmp_path / f"{k}.png", seed=k) for k in range(30)]

    def interrupting(done, total, row):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(photos, tmp_path / "out", egg_system, OPTIONS, on_row=interrupting)
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert not stored["finished"] and len(stored["images"]) == 2 and stored["inputs"] == 30
    assert not list((tmp_path / "out").glob(".pyface3d-*"))
    assert len(list((tmp_path / "out").glob("*.glb"))) < 10, "the rest was not made"


def test_full_disk_ends_the_run_with_nothing_half_written(tmp_path, monkeypatch):
    photos = [picture(tmp_path / f"{k}.png", seed=k) for k in range(4)]
    written = staging.StagedFiles.write_bytes

    def full(self, name, data):
        if name == "1.glb":
            with self.path(name).open("wb") as stream:
                stream.write(data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(self, name, data)

    monkeypatch.setattr(staging.StagedFiles, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        run_batch(photos, tmp_path / "out", egg_system, OPTIONS)
    assert "\n" not in str(caught.value) and str(tmp_path / "out") in str(caught.value)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names.isdisjoint(files_of("1")) and files_of("0") <= names
    assert not any(name.startswith(".pyface3d") for name in names)


def test_a_folder_that_cannot_be_made_fails_before_any_work(tmp_path):
    (tmp_path / "file").touch()

    def never(image, landmarks):
        raise AssertionError

    with pytest.raises(OutputError, match="cannot write to"):
        run_batch([picture(tmp_path / "a.png")], tmp_path / "file" / "out", never, OPTIONS)


def test_faces_that_are_left_out_are_mentioned(tmp_path):
    photo = picture(tmp_path / "a.png", faces=5)
    options = BatchOptions(formats=("ply",), pictures=False, max_faces=3, resume=True)
    for _ in range(2):
        (row,) = run_batch([photo], tmp_path / "out", egg_system, options).rows
        assert row.faces == 3 and "more than 3 faces" in row.note
    assert row.resumed and not (tmp_path / "out" / "a_face4.json").exists()


def test_given_landmarks_reach_the_system(tmp_path):
    points = np.random.default_rng(0).uniform(5, 50, (68, 2))
    (tmp_path / "points").mkdir()
    np.save(tmp_path / "points" / "a.npy", points)
    photos = [picture(tmp_path / "a.png"), picture(tmp_path / "b.png")]
    given = []

    def system(image, landmarks):
        given.append(landmarks)
        return egg_system(image, landmarks)

    options = BatchOptions(formats=("ply",), pictures=False, landmarks=tmp_path / "points")
    report = run_batch(photos, tmp_path / "out", system, options)
    assert len(given) == 1
    np.testing.assert_allclose(given[0], points + 0.5, atol=1e-4)  # such files call the first pixel's middle 0
    assert "holds no landmarks" in report.rows[1].error


def test_drawn_occluders_reach_the_system(tmp_path):
    """Where there is one; a resumed run notices that it changed; one of another size is that photo's error."""
    masks = tmp_path / "masks"
    masks.mkdir()
    photos = [picture(tmp_path / "a.png"), picture(tmp_path / "b.png")]
    height, width = read_image(photos[0]).shape[:2]
    drawn = np.zeros((height, width), np.uint8)
    drawn[5:20, 10:30] = 255
    Image.fromarray(drawn).save(masks / "a_occ.png")
    given = []

    def system(image, landmarks, hidden=None):
        given.append(hidden)
        return egg_system(image, landmarks)

    def run():
        given.clear()
        options = BatchOptions(formats=("ply",), pictures=False, occluders=masks, resume=True)
        return run_batch(photos, tmp_path / "out", system, options)

    assert run().failed == 0 and given[1] is None
    np.testing.assert_array_equal(given[0], drawn > 0)
    assert run().failed == 0 and not given
    Image.fromarray(255 - drawn).save(masks / "a_occ.png")
    assert run().failed == 0
    np.testing.assert_array_equal(given[0], drawn == 0)
    Image.fromarray(drawn[1:]).save(masks / "a_occ.png")
    (failed,) = [row for row in run().rows if not row.ok]
    assert "a_occ.png" in failed.error and f"{height} rows" in failed.error


@pytest.mark.parametrize(
    "options",
    [{"stages": ("final",)}, {"poses": ("left",)}, {"formats": ("stl",)}, {"batch": 0}, {"workers": 0}]
    + [{"landmarks": Path("/nowhere")}, {"occluders": Path("/nowhere")}],
)
def test_options_are_checked(options):
    with pytest.raises(InputError):
        BatchOptions(**options)


def test_reading_ahead_is_bounded_and_ordered():
    from concurrent.futures import ThreadPoolExecutor

    begun, lock = [], threading.Lock()

    def work(k):
        with lock:
            begun.append(k)
        time.sleep(0.002 * (k % 3))
        return k

    consumed = 0
    with ThreadPoolExecutor(4) as pool:
        for value in map_ahead(pool, work, range(50), depth=5):
            assert value == consumed
            consumed += 1
            with lock:
                assert len(begun) <= consumed + 5
    assert consumed == 50


def test_no_face_from_the_system_is_its_own_status(tmp_path):
    def system(image, landmarks):
        raise NoFaceError("no face was found")

    report = run_batch([picture(tmp_path / "a.png")], tmp_path / "out", system, OPTIONS)
    assert report.rows[0].status == "no face"
