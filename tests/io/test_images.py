"""The picture reader: right pixels from every kind of file, one clear error from every bad one."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pyface3d.errors import InputError, OutputError
from pyface3d.io.images import MAX_FILE_BYTES, read_image, write_png
from tests.io.picture_files import encoded, picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_give_the_pixels(kind: str, options: dict) -> None:
    image = read_image(encoded(Image.fromarray(picture()), kind, **options))
    np.testing.assert_array_equal(image, picture())
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg(options: dict) -> None:
    smooth = np.asarray(Image.fromarray(picture()).resize((90, 60), Image.Resampling.BICUBIC))
    image = read_image(encoded(Image.fromarray(smooth), "JPEG", quality=95, subsampling=0, **options))
    assert np.abs(image.astype(int) - smooth).mean() < 2


def test_tall_pictures_are_assembled_from_bands() -> None:
    tall = np.random.default_rng(0).integers(0, 256, (600, 3, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(tall), "PNG")), tall)


def test_grey_is_repeated() -> None:
    grey = picture()[..., 0]
    for image in (Image.fromarray(grey), Image.fromarray(grey > 100)):
        expected = np.repeat(np.asarray(image.convert("L"))[..., None], 3, axis=2)
        np.testing.assert_array_equal(read_image(encoded(image, "PNG")), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(kind: str) -> None:
    levels = np.arange(256, dtype=np.uint16)[None] * 257
    image = read_image(encoded(Image.fromarray(levels), kind))
    np.testing.assert_array_equal(image[0, :, 1], np.arange(256))


def test_sixteen_bit_colour_is_scaled() -> None:
    """Pillow cannot write such a file, so it is put together by hand."""
    values = (np.arange(48).reshape(4, 4, 3) * 1300).astype(">u2")

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.abs(read_image(png).astype(int) - values.astype(float) / 257).max() <= 1


def test_transparency_is_composited_over_white() -> None:
    red = np.zeros((1, 3, 4), np.uint8)
    red[..., 0], red[0, :, 3] = 255, (0, 128, 255)
    image = read_image(encoded(Image.fromarray(red), "PNG"))
    np.testing.assert_array_equal(image[0, 0], (255, 255, 255))
    assert np.abs(image[0, 1].astype(int) - (255, 127, 127)).max() <= 1
    np.testing.assert_array_equal(image[0, 2], (255, 0, 0))


def test_palettes() -> None:
    palette = Image.fromarray(picture()).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(read_image(encoded(palette, "PNG")), expected)
    np.testing.assert_array_equal(read_image(encoded(palette, "GIF")), expected)
    clear = palette.copy()
    clear.info["transparency"] = palette.getpixel((0, 0))
    image = read_image(encoded(clear, "PNG", transparency=palette.getpixel((0, 0))))
    np.testing.assert_array_equal(image[0, 0], (255, 255, 255))


def test_cmyk_jpeg_has_its_colours() -> None:
    inks = {"white": (0, 0, 0, 0), "cyan": (255, 0, 0, 0), "yellow": (0, 0, 255, 0), "black": (0, 0, 0, 255)}
    wanted = {"white": (255, 255, 255), "cyan": (0, 255, 255), "yellow": (255, 255, 0), "black": (0, 0, 0)}
    for name, ink in inks.items():
        image = read_image(encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95))
        assert np.abs(image.astype(int) - wanted[name]).max() <= 4, name


def test_embedded_profiles_are_converted() -> None:
    """Display P3's red is redder than sRGB can show; sRGB, damaged and misplaced profiles change nothing."""
    red = read_image(encoded(Image.new("RGB", (4, 4), (200, 60, 60)), "PNG", icc_profile=wide_profile()))[0, 0]
    assert red[0] > 210
    assert red[1] < 60
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = np.full((4, 4, 3), 90, np.uint8)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(grey), "PNG", icc_profile=srgb)), grey)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(grey), "PNG", icc_profile=b"broken")), grey)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(grey), "PNG", icc_profile=lab)), grey)


def wide_profile() -> bytes:
    """An ICC profile, by the specification's layout: Display P3's primaries (adapted to D50), a curve of gamma 2.2."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": xyz(0.2920, 0.6922, 0.0419),
        b"bXYZ": xyz(0.1571, 0.0666, 0.7841),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return header + bytes(128 - len(header)) + table + body


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    """The EXIF standard's words: where the stored first row and first column are to be seen."""
    big = np.kron(picture(2, 3), np.ones((16, 16, 1), np.uint8))
    row, column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    seen = big.transpose(1, 0, 2) if row in ("left", "right") else big
    if "bottom" in (row, column):
        seen = seen[::-1]
    if "right" in (row, column):
        seen = seen[:, ::-1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    image = read_image(encoded(Image.fromarray(big), kind, exif=exif, **lossless))
    assert image.shape == seen.shape
    assert np.abs(image.astype(int) - seen).max() <= (6 if kind == "JPEG" else 0)
    assert image.flags.c_contiguous


def test_broken_exif_is_no_obstacle() -> None:
    image = read_image(encoded(Image.fromarray(picture()), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\xff"))
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    image = read_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options))
    np.testing.assert_array_equal(image[4, 4], (255, 0, 0))


@pytest.mark.parametrize("name", ["Фото 写真 ø.png", "n" * 196 + ".png", " spaced 'quoted'.PNG", "no_suffix"])
def test_names(tmp_path: Path, name: str) -> None:
    write_png(tmp_path / name, picture())
    np.testing.assert_array_equal(read_image(tmp_path / name), picture())
    np.testing.assert_array_equal(read_image(str(tmp_path / name)), picture())


def test_streams_and_standard_input(tmp_path: Path) -> None:
    png = encoded(Image.fromarray(picture()), "PNG")
    np.testing.assert_array_equal(read_image(io.BytesIO(png)), picture())
    program = "from pyface3d.io.images import read_image; print(read_image('-').shape)"
    done = subprocess.run([sys.executable, "-c", program], input=png, capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.decode().strip() == "(6, 9, 3)"


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Content and what the message must say."""
    png = encoded(Image.fromarray(picture(64, 64)), "PNG")
    jpeg = encoded(Image.fromarray(picture(64, 64)), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    scan = jpeg.index(b"\xff\xda")
    floats = encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    integers = encoded(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF")

    def png_of(width: int, height: int) -> bytes:
        return png[:16] + struct.pack(">II", width, height) + png[24:]

    def jpeg_of(width: int, height: int) -> bytes:
        return jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :]

    return {
        "empty.jpg": (b"", "is empty"),
        "text.jpg": (b"this is not a picture\n" * 20, "is not a JPEG, PNG"),
        "page.png": (b"<html><body>404</body></html>", "is not a JPEG, PNG"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "is cut short"),
        "cut.png": (png[: len(png) // 2], "is cut short|cannot be decoded"),
        "header_only.jpg": (jpeg[:scan], "is cut short|cannot be decoded|damaged"),
        "start_only.jpg": (b"\xff\xd8\xff\xe0", "damaged image header"),
        "start_only.png": (png[:12], "damaged image header"),
        "start_only.webp": (b"RIFF\0\0\0\0WEBP", "damaged image header"),
        "start_only.gif": (b"GIF89a", "damaged image header"),
        "start_only.bmp": (b"BM", "damaged image header"),
        "start_only.tif": (b"II*\0", "damaged image header"),
        "twenty.png": (png_of(20_000, 20_000), "20000 x 20000 pixels, above the limit"),
        "sixty.png": (png_of(60_000, 60_000), "60000 x 60000 pixels, above the limit"),
        "sixty.jpg": (jpeg_of(60_000, 60_000), "60000 x 60000 pixels, above the limit"),
        "flat.png": (png_of(0, 10), "size of 0 x 10"),
        "many_scans.jpg": (jpeg[:scan] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" * 5000, "more than 100 scans"),
        "float.tif": (floats, "floating-point pixels"),
        "int32.tif": (integers, "32-bit integer pixels"),
    }


@pytest.mark.parametrize("name", sorted(bad_files()))
def test_bad_files_are_one_clear_error(tmp_path: Path, name: str) -> None:
    content, message = bad_files()[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_phones_append_is_not_counted_as_scans() -> None:
    plain = encoded(Image.fromarray(picture(32, 32)), "JPEG", quality=95, progressive=True)
    np.testing.assert_array_equal(read_image(plain + b"\xff\xda\0\x08" * 5000), read_image(plain))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(InputError, match=r"directory|regular file"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="name too long"):
        read_image(tmp_path / ("n" * 300))
    with pytest.raises(InputError, match="null"):
        read_image("zero\0byte.png")
    if hasattr(os, "mkfifo"):
        with pytest.raises(InputError, match="not a regular file"):
            read_image("/dev/zero")


def test_files_above_the_limit_are_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no space
    with pytest.raises(InputError, match="larger than 256"):
        read_image(huge)


def test_write_png_is_read_by_another_library(tmp_path: Path) -> None:
    import cv2

    write_png(tmp_path / "new" / "rgb.png", picture())
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "new" / "rgb.png"))[..., ::-1], picture())
    write_png(tmp_path / "grey.png", picture()[..., 0])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "grey.png"), cv2.IMREAD_UNCHANGED), picture()[..., 0])


def test_write_png_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.png"
    write_png(target, picture())
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_png(target, picture(3, 3))
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_write_png_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="uint8"):
        write_png(tmp_path / "a.png", np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match="shape"):
        write_png(tmp_path / "a.png", np.zeros((2, 2, 2), np.uint8))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_png(tmp_path / "file" / "a.png", picture())
