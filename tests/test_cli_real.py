"""The command line with the real system: the bundled portrait from picture to files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyface3d.cli import main
from pyface3d.io.meshes import read_glb
from pyface3d.io.weights import ASSETS_DIR

PORTRAIT = ASSETS_DIR / "demo" / "astronaut.png"


@pytest.mark.slow
def test_demo_end_to_end(tmp_path, capsys, threads_put_back):
    out = tmp_path / "out"
    assert main(["demo", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    for path in re.findall(r"^  (/\S+)$", said, re.MULTILINE):
        assert Path(path).exists(), "the summary names files that are there"
    shares = {}
    for stem in ("astronaut", "astronaut_scarf"):
        head = read_glb(out / f"{stem}.glb")
        assert len(head.morphs.names) == 52 and "jawOpen" in head.morphs.names
        assert (out / f"{stem}.glb").stat().st_size < 12 * 2**20
        width, height, depth = np.ptp(head.verts, axis=0)
        assert 130 < width < 260 and 180 < height < 400 and 130 < depth < 330, "a head in mm"
        jaw = head.morphs.offsets[head.morphs.names.index("jawOpen")]
        assert jaw[np.abs(jaw[:, 1]).argmax(), 1] < -5, "an opening jaw goes down by more than half a centimetre"
        record = json.loads((out / f"{stem}.json").read_text())
        assert record["quality"]["landmark_error_percent"] < 5 and 55 < record["quality"]["interpupil_mm"] < 75
        chin = (jaw[:, 1] < -5) & (head.verts[:, 2] > np.percentile(head.verts[:, 2], 75))
        shares[stem] = (head.source[chin] == 1).mean()
        assert head.texture.std() > 10
        for ending in ("_foundation_frontal.ply", "_foundation_aligned.ply", ".obj", ".mtl", ".png", "_overlay.png"):
            assert (out / (stem + ending)).stat().st_size > 0
    assert shares["astronaut_scarf"] < 0.2 * shares["astronaut"], "what the scarf hides is not called observed"


@pytest.mark.slow
def test_files_do_not_depend_on_threads(tmp_path):
    for number in (1, 2):
        arguments = ["-o", tmp_path / str(number), "--batch", str(number), "--pictures", "no"]
        done = subprocess.run(
            [sys.executable, "-m", "pyface3d", "reconstruct", PORTRAIT, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": str(number), "MKL_NUM_THREADS": str(number)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "1").iterdir() if path.suffix in (".ply", ".glb", ".png"))
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name
