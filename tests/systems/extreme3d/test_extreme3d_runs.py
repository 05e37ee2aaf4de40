"""Runs of the command line without anybody's weights: odd and broken inputs, alone as in a list, killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pyface3d.cli import main
from pyface3d.io.images import read_image
from pyface3d.io.weights import ASSETS_DIR

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "reconstruct_batch.py"
FAST = [
    *("--system", "extreme3d", "--fit", "none", "--bump", "net", "--no-recovery", "--pictures", "no", "--batch", "1"),
    *("--formats", "ply", "--stages", "foundation,final", "--poses", "frontal", "--plain"),
]
GOOD = ("rgb", "opaque", "grey", "deep", "rgb_2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of pictures in it: four ways to store the portrait, a second one of the same name, and three bad ones."""
    folder = tmp_path_factory.mktemp("photos")
    portrait = read_image(ASSETS_DIR / "demo" / "astronaut.png")[:320, 60:380]
    small = np.asarray(Image.fromarray(portrait).resize((160, 160), Image.Resampling.LANCZOS))
    Image.fromarray(small).save(folder / "rgb.png")
    (folder / "again").mkdir()
    Image.fromarray(small[:, ::-1]).save(folder / "again" / "rgb.png")
    opaque = np.concatenate([small, np.full_like(small[..., :1], 255)], axis=-1)
    Image.fromarray(opaque).save(folder / "opaque.png")
    Image.fromarray(small).convert("L").save(folder / "grey.png")
    assert cv2.imwrite(str(folder / "deep.png"), small[..., ::-1].astype(np.uint16) * 257)
    Image.new("RGB", (160, 160), "grey").save(folder / "nobody.png")
    (folder / "broken.png").write_bytes((folder / "rgb.png").read_bytes()[:5000])
    names = ["rgb.png", "broken.png", "opaque.png", "nobody.png", "grey.png", "deep.png", "again/rgb.png", "absent.png"]
    lines = ["# photos", "", *(str(folder / name) for name in names)]
    (folder / "list.txt").write_text("\r\n".join(lines))  # no newline at the end
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos: Path) -> tuple[Path, int]:
    out = photos / "out"
    return out, main(["reconstruct", str(photos / "list.txt"), "-o", str(out), *FAST])


def contents(folder: Path, stem: str = "") -> dict[str, Any]:
    """Every file by name: its bytes; of a JSON what it holds but the seconds and where the picture lay."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or not path.name.startswith(stem) or path.name.startswith("report"):
            continue
        if path.suffix == ".json":
            held = json.loads(path.read_bytes())
            found[path.name] = {key: value for key, value in held.items() if key not in ("timings_s", "input")}
        else:
            found[path.name] = path.read_bytes()
    return found


def test_spec_20_bad_pictures_are_told_and_the_others_finish(undisturbed: tuple[Path, int]) -> None:
    out, code = undisturbed
    assert code == 1
    report = json.loads((out / "report.json").read_text())
    rows = {row["stem"]: row for row in report["images"]}
    assert {stem for stem, row in rows.items() if row["status"] == "ok"} == set(GOOD)
    assert rows["nobody"]["status"] == "no face" and "no face was found" in rows["nobody"]["error"]
    assert rows["broken"]["status"] == "failed" and "broken.png" in rows["broken"]["error"]
    assert "does not exist" in rows["absent"]["error"]
    assert all("traceback" not in str(row).lower() for row in rows.values())
    for stem in GOOD:
        names = {path.name for path in out.glob(f"{stem}*") if path.name.startswith(f"{stem}_") or path.stem == stem}
        assert {f"{stem}_foundation_frontal.ply", f"{stem}_final_frontal.ply", f"{stem}.json"} <= names
    assert not [path.name for stem in ("nobody", "broken", "absent") for path in out.glob(f"{stem}*")]


def test_the_same_pixels_stored_otherwise_give_the_same_faces(undisturbed: tuple[Path, int]) -> None:
    out, _ = undisturbed
    for stem in ("opaque", "deep"):
        for stage in ("foundation", "final"):
            name = f"_{stage}_frontal.ply"
            assert (out / f"{stem}{name}").read_bytes() == (out / f"rgb{name}").read_bytes(), stem
    assert (out / "grey_final_frontal.ply").read_bytes() != (out / "rgb_final_frontal.ply").read_bytes()


def test_the_record_says_what_was_done(undisturbed: tuple[Path, int]) -> None:
    record = json.loads((undisturbed[0] / "rgb.json").read_bytes())
    assert record["system"] == "extreme3d" and record["bump"] == "net" and record["model"]["name"] == "head"
    assert record["occlusion"] == {"from": "network"} and record["recovery"]["state"] == "hidden"
    camera, crop = record["camera"], np.array(record["crop"])
    assert camera["height"] == camera["width"] == 500 and crop.shape == (3, 3)
    # The camera of the crop is that of the picture, which looks through its middle.
    np.testing.assert_allclose(crop[:2] @ [80, 80, 1], camera["center_px"], atol=1e-6)
    assert {"detect", "landmarks", "dense", "merge"} <= set(record["timings_s"])
    assert record["counts"]["mirrored_vertices"] > 0 and record["counts"]["known_vertices"] > 500


def test_spec_21_alone_as_in_the_list(photos: Path, undisturbed: tuple[Path, int]) -> None:
    alone = photos / "alone"
    assert main(["reconstruct", str(photos / "grey.png"), "-o", str(alone), *FAST]) == 0
    assert contents(alone, "grey") == contents(undisturbed[0], "grey")


def test_killed_and_resumed_gives_the_same_bytes(photos: Path, undisturbed: tuple[Path, int]) -> None:
    """The script of the published program's name in a process of its own, killed -9 once two photos are there."""
    out = photos / "killed"
    arguments = [sys.executable, str(SCRIPT), str(photos / "list.txt"), str(out), *FAST]
    run = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 400
        while not (out / "opaque.json").is_file():
            assert run.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        run.kill()
    assert run.wait() == -signal.SIGKILL
    before = contents(out)
    assert "rgb.json" in before and "rgb_2.json" not in before
    assert main(["reconstruct", str(photos / "list.txt"), "-o", str(out), *FAST, "--resume"]) == 1
    assert contents(out) == contents(undisturbed[0])
    report = json.loads((out / "report.json").read_text())
    assert {row["stem"] for row in report["images"] if row.get("resumed")} >= {"rgb", "opaque"}


def test_a_missing_model_is_fatal_and_clear(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--system", "extreme3d", "--model", "nowhere.npz"]
    assert main(["reconstruct", str(photos / "rgb.png"), "-o", str(photos / "no"), *options]) == 1
    assert "nowhere.npz" in capsys.readouterr().err


def test_the_published_files_from_landmarks_of_a_folder(photos: Path, undisturbed: tuple[Path, int]) -> None:
    """<inputList> <outputDir> <landmarkDir>: eight files with the published names, header and frames."""
    marks = photos / "marks"
    marks.mkdir()
    points = np.array(json.loads((undisturbed[0] / "rgb.json").read_bytes())["landmarks"]) - 0.5
    np.savetxt(marks / "rgb.pts", points)
    (photos / "one.txt").write_text(str(photos / "rgb.png"))
    options = ["--system", "extreme3d", "--fit", "none", "--bump", "none", "--formats", "ply", "--pictures", "no"]
    arguments = [str(photos / "one.txt"), str(photos / "eight"), str(marks), *options, "--legacy-names", "--plain"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments, "--ascii"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    stages = ("foundation", "withBump", "sparse_full", "final")
    names = {f"rgb_{stage}_{pose}.ply" for stage in stages for pose in ("frontal", "aligned")}
    assert {path.name for path in (photos / "eight").glob("*.ply")} == names
    record = json.loads((photos / "eight" / "rgb.json").read_bytes())
    plane, pose = record["plane"], record["pose"]
    lines, frontal = ascii_ply(photos / "eight" / "rgb_final_frontal.ply")
    aligned = ascii_ply(photos / "eight" / "rgb_final_aligned.ply")[1]
    assert lines[0] == "ply" and lines[1].startswith("format ascii 1.0") and len(lines) < 10
    wanted = ["property float x", "property float y", "property float z", "property list uchar int vertex_indices"]
    assert [line for line in lines if line.startswith("property")] == wanted
    back = (frontal - plane["translation_mm"]) @ np.array(plane["rotation"])
    np.testing.assert_allclose(back @ np.array(pose["rotation"]).T + pose["translation_mm"], aligned, atol=2e-2)


def ascii_ply(path: Path) -> tuple[list[str], np.ndarray]:
    """Lines of the header, and positions (N, 3)."""
    head, body = path.read_text().split("end_header\n")
    lines = head.splitlines()
    count = int(next(line.split()[-1] for line in lines if line.startswith("element vertex")))
    return lines, np.loadtxt(body.splitlines()[:count])


def test_usage_of_the_script() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "list.txt"], capture_output=True, text=True)
    assert done.returncode == 2 and "landmarkDir" in done.stderr
