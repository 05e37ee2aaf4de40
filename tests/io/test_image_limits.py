"""What a picture file may cost, and what damaged ones do."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pyface3d.errors import InputError
from pyface3d.io.images import decode_image
from tests.io.picture_files import encoded, picture

ROOT = Path(__file__).resolve().parents[2]


def worst_cases() -> dict[str, bytes]:
    """Small files that ask for as much as the limits let them."""
    square = {"JPEG": 5400, "PNG": 5100, "WEBP": 3700, "TIFF": 5100, "GIF": 5000}
    exif = Image.Exif()
    exif[0x0112] = 6

    def blank(mode: str, kind: str, **options: object) -> bytes:
        return encoded(Image.new(mode, (square[kind], square[kind])), kind, **options)

    progressive = Image.new("CMYK", (4200, 4200))
    return {
        "turned.jpg": blank("L", "JPEG", exif=exif),
        "progressive.jpg": encoded(progressive, "JPEG", progressive=True, subsampling=0),
        "clear.png": blank("RGBA", "PNG", compress_level=9),
        "lossless.webp": blank("RGBA", "WEBP", lossless=True, quality=0, method=0),
        "deflate.tif": blank("RGBA", "TIFF", compression="tiff_adobe_deflate"),
        "frame.gif": blank("P", "GIF"),
    }


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_small_files_stay_within_256_mib_and_two_seconds(tmp_path: Path) -> None:
    program = """
import json, sys, time
import PIL.ImageCms, PIL.JpegImagePlugin, PIL.PngImagePlugin, PIL.WebPImagePlugin, PIL.TiffImagePlugin
from pyface3d.io.images import read_image
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
results = {}
for path in sys.argv[1:]:
    open("/proc/self/clear_refs", "w").write("5")
    before, start = peak(), time.process_time()
    shape = read_image(path).shape
    results[path.rsplit("/", 1)[-1]] = (peak() - before, time.process_time() - start, shape[0])
print(json.dumps(results))
"""
    paths = []
    for name, content in worst_cases().items():
        assert len(content) < 2**20, name
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    command = [sys.executable, "-c", program, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    for name, (mebibytes, seconds, rows) in json.loads(done.stdout).items():
        assert rows >= 3700, name
        assert mebibytes < 256, name
        assert seconds < 2, name


SEEDS = [
    encoded(Image.fromarray(picture(16, 16)), kind, **options)
    for kind, options in [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
    ]
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
    keep=st.floats(0.05, 1),
)
def test_damaged_files_give_a_picture_or_our_error(seed: bytes, changes: list, keep: float) -> None:
    content = bytearray(seed)
    for where, value in changes:
        content[int(where * len(content))] = value
    try:
        image = decode_image(bytes(content[: max(1, int(keep * len(content)))]))
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
