"""What an image file says about itself, read from its first bytes before any decoder is trusted with it."""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass
from io import BytesIO

from pyface3d.errors import InputError

# Scans of one progressive JPEG. Encoders in the wild write about 10, optimisers up to a few dozen; each scan costs a
# pass over all blocks, so a small file with thousands of them holds a decoder for minutes.
MAX_JPEG_SCANS = 100

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0…SOF15 without DHT, JPG, DAC
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length: TEM and RST0…RST7
# In the compressed stream 0xFF is a marker unless 0 or a restart number follows.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True)
class ImageHeader:
    """Size and decoding cost of an image file.

    Attributes:
        format: Pillow's name of the format.
        width, height: stored size in pixels, before any EXIF rotation.
        bytes_per_pixel: upper estimate of what decoding to 8-bit RGB costs at its peak, measured per format.
    """

    format: str
    width: int
    height: int
    bytes_per_pixel: int


def read_image_header(data: bytes, name: str) -> ImageHeader:
    """Format and size of an encoded image, from its header alone.

    Args:
        data: the file's content.
        name: how to call the file in messages.

    Raises:
        InputError: the content is of no format that is read here, or its header is damaged.
    """
    for magic, parse in _PARSERS:
        if re.match(magic, data, re.DOTALL):
            try:
                header = parse(data)
            except (struct.error, IndexError, ValueError) as error:
                raise InputError(f"{name} has a damaged image header: {error}; export the picture again") from error
            if header.width < 1 or header.height < 1:
                size = f"{header.width} x {header.height}"
                raise InputError(f"{name} states a size of {size} pixels; export the picture again")
            return header
    raise InputError(f"{name} is not a JPEG, PNG, WebP, BMP, GIF or TIFF image; give a picture in one of these formats")


def _jpeg(data: bytes) -> ImageHeader:
    position, size = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == 0xFF or marker in _JPEG_ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if length < 2:
            raise ValueError("a JPEG segment has no length")
        if marker in _JPEG_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, position + 5)
            # A progressive decoder keeps every coefficient (2 bytes a sample) beside the picture.
            size = (width, height, 5 + 2 * min(components, 4) if marker & 3 == 2 else 8)
        if marker == 0xDA:
            break
        position += 2 + length
    if size is None:
        raise ValueError("the JPEG ends before its size is stated")
    if _jpeg_scans(data, position) > MAX_JPEG_SCANS:
        raise ValueError(f"the JPEG has more than {MAX_JPEG_SCANS} scans")
    return ImageHeader("JPEG", *size)


def _jpeg_scans(data: bytes, position: int) -> int:
    """Scans from the one at ``position`` to the end of the image, or a few more than allowed.

    Segments are stepped over and what follows the end is not looked at: phones append whole videos there.
    """
    scans = 0
    while scans <= MAX_JPEG_SCANS and (found := _JPEG_MARKER.search(data, position)):
        position, marker = found.end(), data[found.end() - 1]
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        position += int.from_bytes(data[position : position + 2], "big")
    return scans


def _png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise ValueError("the PNG does not start with its IHDR chunk")
    width, height = struct.unpack_from(">II", data, 16)
    return ImageHeader("PNG", width, height, bytes_per_pixel=9)


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        if len(data) < 30:
            raise ValueError("the WebP ends inside its header")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ValueError("the WebP starts with no picture")
    return ImageHeader("WEBP", width, height, bytes_per_pixel=17)


def _bmp(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", width, abs(height), bytes_per_pixel=8)  # a negative height means top row first


def _gif(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return ImageHeader("GIF", width, height, bytes_per_pixel=9)


def _tiff(data: bytes) -> ImageHeader:
    from PIL import Image

    # Opening a TIFF reads its directory and nothing else, and the directory can stand anywhere in the file.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged tags, which the size does not depend on
            with Image.open(BytesIO(data), formats=("TIFF",)) as image:
                width, height = image.size
    except Exception as error:  # Pillow lets its parsers' own errors through (KeyError, SyntaxError, …)
        raise ValueError("the TIFF directory cannot be read") from error
    return ImageHeader("TIFF", width, height, bytes_per_pixel=9)


_PARSERS = (
    (rb"\xff\xd8\xff", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"RIFF....WEBP", _webp),
    (rb"BM", _bmp),
    (rb"GIF8[79]a", _gif),
    (rb"II\x2a\x00|MM\x00\x2a", _tiff),
)
