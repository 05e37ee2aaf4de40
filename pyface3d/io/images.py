"""Pictures in and out: one decoder for every entry point, with every limit on untrusted files.

Decoding is Pillow's (palettes, CMYK, ICC profiles and EXIF of all formats); what a file may cost is decided here, from
its header, before Pillow sees it.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.io.atomic import atomic_file
from pyface3d.io.image_headers import read_image_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL.Image import Image

    _Transform = Callable[[Image], Image]

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 200_000_000
# Peak memory a file may claim by its header: this much whatever its length, and in proportion above that. Real photos
# compress at most some 30-fold, so only a made-up header meets the limit.
_FREE_BYTES = 230 * 2**20
_BYTES_PER_FILE_BYTE = 230

_ROWS_AT_ONCE = 256
_BACKGROUND = (255, 255, 255)


def read_image(source: str | os.PathLike[str] | bytes | BinaryIO) -> NDArray[np.uint8]:
    """Decode a picture: upright, sRGB, three channels, eight bits.

    JPEG, PNG, WebP, BMP, GIF and TIFF. The EXIF orientation is applied; an embedded colour profile (Display P3, Adobe
    RGB, CMYK) is converted to sRGB; transparency is composited over white; grey is repeated over the channels; 16-bit
    values are scaled to 8; of an animation the first frame is taken.

    Args:
        source: a path; ``"-"`` for standard input; the file's bytes; or a stream open for reading bytes.

    Returns:
        (H, W, 3) uint8, sRGB, RGB order, row 0 at the top, contiguous, writable.

    Raises:
        InputError: the file is missing, empty, cut short, damaged, not a picture, of a pixel type that is not read
            (floating point, 32-bit integers), or its header asks for more memory than its length justifies: at most
            230 MiB for a file of up to 1 MiB, 230 bytes per byte above that, 200 million pixels in all.
    """
    data, name = _read_bytes(source)
    return decode_image(data, name)


def decode_image(data: bytes, name: str = "the image") -> NDArray[np.uint8]:
    """Decode a picture held in memory; see `read_image`, whose limits hold here too.

    Args:
        data: the encoded file.
        name: how to call it in messages.
    """
    with opened_image(data, name) as image:
        rgb, orientation = _to_rgb(image, name), _orientation(image)
    return _upright(rgb, orientation)  # copies, so only now that the decoder's own pixels are gone


@contextmanager
def opened_image(data: bytes, name: str) -> Iterator[Image]:
    """A picture held in memory as Pillow has it, decoded within the limits of `read_image`.

    Raises:
        InputError: it is no picture, too large, or damaged; errors of the block count as damage too.
    """
    if not data:
        raise InputError(f"{name} is empty (0 bytes); give a picture file")
    header = read_image_header(data, name)
    pixels = header.width * header.height
    allowed = max(_FREE_BYTES, _BYTES_PER_FILE_BYTE * len(data))
    if pixels > MAX_PIXELS or pixels * header.bytes_per_pixel > allowed:
        limit = min(MAX_PIXELS, allowed // header.bytes_per_pixel) // 1_000_000
        raise InputError(
            f"{name} states a size of {header.width} x {header.height} pixels, above the limit of {limit} million for "
            f"a {header.format} file of {_readable_size(len(data))}; scale it down first"
        )
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow's own size warning comes at a fixed 89 megapixels; the limit that counts is the one above.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=(header.format,)) as image:
                if image.size != (header.width, header.height):
                    raise InputError(f"{name} states two different sizes; export the picture again")
                image.load()
                yield image
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name} does not fit in memory; scale it down first") from error
    except Exception as error:  # damaged files raise whatever the decoder stumbled over
        reason = "is cut short" if "truncated" in str(error).lower() else f"cannot be decoded ({error})"
        raise InputError(f"{name} {reason}; export or download the picture again") from error


def write_png(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write an 8-bit PNG; the file appears whole or not at all.

    Args:
        path: where to; missing folders are made.
        image: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8, sRGB.

    Raises:
        TypeError, ValueError: ``image`` is not uint8 or not of such a shape.
        OutputError: the file cannot be written (no permission, disk full).
    """
    if image.dtype != np.uint8:
        raise TypeError(f"image must be uint8 (sRGB), got {image.dtype}")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))) or image.size == 0:
        raise ValueError(f"image must have shape (H, W), (H, W, 3) or (H, W, 4), got {image.shape}")
    from PIL import Image

    with atomic_file(path) as stream:
        # Level 3 is within a few per cent of the default's size at a third of its time.
        Image.fromarray(np.ascontiguousarray(image)).save(stream, format="PNG", compress_level=3)


def _read_bytes(source: str | os.PathLike[str] | bytes | BinaryIO) -> tuple[bytes, str]:
    """The content of ``source``, never more than the limit, and its name for messages."""
    if isinstance(source, bytes):
        data, name = source, "the image"
    elif isinstance(source, str | os.PathLike) and os.fspath(source) != "-":
        return _read_file(Path(source)), os.fspath(source)
    else:
        stream = sys.stdin.buffer if isinstance(source, str | os.PathLike) else source
        name = "standard input" if stream is sys.stdin.buffer else str(getattr(stream, "name", "the stream"))
        data = stream.read(MAX_FILE_BYTES + 1)
        if not isinstance(data, bytes):
            raise InputError(f"{name} must be open for reading bytes; open it with mode 'rb'")
    _check_length(len(data), name)
    return data, name


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):  # a pipe or a device could go on for ever
                raise InputError(f"{path} is not a regular file; give a picture file, or '-' for standard input")
            _check_length(status.st_size, os.fspath(path))
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give a readable picture file") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path!r}: {error}; give a readable picture file") from error


def _check_length(length: int, name: str) -> None:
    if length > MAX_FILE_BYTES:
        wanted = _readable_size(MAX_FILE_BYTES)
        raise InputError(f"{name} is larger than {wanted}, the limit for a picture; scale it down first")


def _readable_size(length: int) -> str:
    return f"{length} bytes" if length < 10_000 else f"{length / 2**20:.2f} MiB"


def _to_rgb(image: Image, name: str) -> NDArray[np.uint8]:
    """All pixels as (H, W, 3) sRGB, in bands of rows so that no second full-size copy is made on the way."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        kind = "floating-point" if image.mode == "F" else "32-bit integer"
        raise InputError(f"{name} holds {kind} pixels; save it with 8 or 16 bits a channel")
    transform = _profile_transform(image)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS_AT_ONCE):
        bottom = min(top + _ROWS_AT_ONCE, image.height)
        rgb[top:bottom] = _band_to_rgb(image.crop((0, top, image.width, bottom)), transform)
    return rgb


def _band_to_rgb(band: Image, transform: _Transform | None) -> NDArray[np.uint8]:
    from PIL import Image

    if band.mode == "I" or band.mode.startswith("I;16"):  # 16-bit grey: "I" in Pillow before 11
        grey = (np.asarray(band).astype(np.uint32) + 128) // 257
        return np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)
    alpha = None
    if band.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in band.info:
        band = band.convert("RGBA")
        alpha = band.getchannel("A")
    colour = transform(band) if transform else band.convert("RGB")
    if alpha is not None:
        background = Image.new("RGB", colour.size, _BACKGROUND)
        background.paste(colour, mask=alpha)
        colour = background
    return np.asarray(colour)


def _profile_transform(image: Image) -> _Transform | None:
    """How to get from the embedded ICC profile to sRGB; None without one, or with one that does not fit the pixels."""
    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes:
        return None
    from PIL import ImageCms

    family = "CMYK" if image.mode == "CMYK" else "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(profile_bytes))
        if "sRGB" in (profile.profile.profile_description or ""):
            return None  # already there; a round trip through the profile would only add rounding
        if _PROFILE_MODES.get(profile.profile.xcolor_space) != family:
            return None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), family, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # a damaged profile does not make the picture unreadable: viewers ignore it too
    return lambda band: cast("Image", ImageCms.applyTransform(band.convert(family), transform))


_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def _orientation(image: Image) -> int:
    """EXIF orientation 1…8; 1 when absent or unreadable. Pillow resets it where it has already turned the picture."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block raises anything; the pixels are fine without it
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo the EXIF orientation: where the stored first row and first column lie in the upright picture."""
    if orientation >= 5:  # 5 top-left … 8: rows are stored as columns
        rgb = rgb.transpose(1, 0, 2)
    mirrored_rows, mirrored_columns = _MIRRORED[orientation]
    if mirrored_rows:
        rgb = rgb[::-1]
    if mirrored_columns:
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)


_ORIENTATION_TAG = 0x0112
# orientation: (flip top to bottom, flip left to right), after the transposition of 5…8. EXIF 2.32, tag 274.
_MIRRORED = {
    1: (False, False),
    2: (False, True),
    3: (True, True),
    4: (True, False),
    5: (False, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}
