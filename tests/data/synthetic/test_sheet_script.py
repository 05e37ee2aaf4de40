"""The sheet of samples: maps of samples that would be later photos of a person otherwise."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[3]


def test_maps_of_any_samples(tmp_path):
    page = tmp_path / "page.png"
    command = [sys.executable, str(ROOT / "scripts" / "synthetic_sheet.py"), "-o", str(page), "--start", "63"]
    run = subprocess.run(
        [*command, "--count", "3", "--size", "32", "--columns", "3", "--maps", "--parts"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    sizes = {name: Image.open(tmp_path / f"page{name}.png").size for name in ("", "_labels", "_maps", "_parts")}
    assert sizes == {"": (96, 32), "_labels": (192, 64), "_maps": (8 * 32, 3 * 32), "_parts": (96, 64)}
