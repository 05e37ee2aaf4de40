"""Something before aligned faces, with a mask of it: `pyface3d prepare occlude`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyface3d.data.preparation.hands import Silhouette, draw_hands, open_hand, paint_hands, read_silhouette
from pyface3d.detect.landmark_files import read_landmarks_of
from pyface3d.errors import InputError, OutputError, Pyface3dError
from pyface3d.io.atomic import atomic_file
from pyface3d.io.color import linear_to_srgb, srgb_to_linear
from pyface3d.io.images import read_image
from pyface3d.io.ledger import Ledger, refuse_overwriting
from pyface3d.io.pictures import encode_picture, encode_png
from pyface3d.systems.inputs import Photo

if TYPE_CHECKING:
    from torch import Tensor

OCCLUDED, MASKS = "occluded", "masks"
MODES = ("published", "synthetic")
_CUTOUTS = (".png", ".webp")
_CUTOUT_SIDE = 192  # px
_LEAST, _ATTEMPTS = 0.03, 40  # share of the face that must be covered, and how often a picture is drawn anew for it
_SKIN_QUANTILES = (0.35, 0.75)  # of brightness: between shadows, brows and lips on one side, shine on the other

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Points = NDArray[np.floating]
Painter = Callable[[Image, Points, str], tuple[Image, Mask] | None]
"""Picture (S, S, 3), landmarks (68, 2) px and name to the covered picture and its mask (S, S), 255 where covered; None
where nothing could be put before the face."""


@dataclass(frozen=True)
class Occluded:
    """What became of one picture: done now, done by an earlier run, left free, or why not."""

    photo: Photo
    error: str | None = None
    resumed: bool = False
    free: bool = False


class PublishedHands:
    """One flat hand, or two, as the published stage 1 paints them, its defects repaired (`preparation.hands`)."""

    def __init__(self, seed: int, silhouettes: Sequence[Path] = ()) -> None:
        """Args:
            seed: with a picture's name it decides the draw.
            silhouettes: files of which one is drawn per picture; our own open hand without any.

        Raises:
            InputError: a silhouette cannot be read.
        """
        self.seed = seed
        self.silhouettes: list[Silhouette] = [read_silhouette(path) for path in silhouettes] or [open_hand()]

    def __call__(self, image: Image, landmarks: Points, name: str) -> tuple[Image, Mask] | None:
        draw = _generator(self.seed, name)
        silhouette = self.silhouettes[int(draw.integers(len(self.silhouettes)))]
        painted, mask = paint_hands(image, landmarks, draw_hands(draw, len(image)), silhouette)
        return (painted, mask.astype(np.uint8) * 255) if mask.any() else None


class SyntheticOccluders:
    """The occluders of the synthetic people: posed hands and held things, masks, objects, hair, shapes, with shadows.

    Hands and cut-outs need files: packed assets, or a folder of RGBA pictures. Without any, shapes, scarves, bars and
    painted masks remain.
    """

    def __init__(self, seed: int, assets: Path | None = None, cutouts: Path | None = None) -> None:
        """Args:
            seed: with a picture's name it decides the draw.
            assets: a file of ``scripts/pack_synthetic_assets.py``.
            cutouts: folder of PNG or WebP pictures with transparency, instead of the assets' objects.

        Raises:
            InputError: the folder has no such pictures, or one cannot be read.
            AssetError: the assets cannot be read.
        """
        from pyface3d.data.synthetic.assets import load_assets
        from pyface3d.data.synthetic.objects import OBJECTS

        self.seed = seed
        self.assets: Mapping[str, Tensor] = {} if assets is None else load_assets(assets)
        if cutouts is not None:
            self.assets = {**self.assets, OBJECTS: _read_cutouts(cutouts)}

    def __call__(self, image: Image, landmarks: Points, name: str) -> tuple[Image, Mask] | None:
        import torch

        from pyface3d.data.synthetic.anchors import coverage, face_cells
        from pyface3d.data.synthetic.occluders import STAGE, draw_occluders

        points = torch.from_numpy(np.asarray(landmarks, np.float32))[None]
        linear = srgb_to_linear(torch.from_numpy(image))[None]
        skin = _skin_colour(linear[0], face_cells(points, len(image), len(image))[0] > 0.5)[None]
        cells = face_cells(points, len(image))
        for attempt in range(_ATTEMPTS):
            generators = [_generator(self.seed, name, STAGE, attempt)]
            occlusion = draw_occluders(self.assets, generators, points, skin, len(image))
            if float(coverage(cells, occlusion.cover)[0]) < _LEAST:
                continue  # the engine leaves many faces free, and some things miss the face
            covered = linear_to_srgb(occlusion.over(linear)[0].clamp(0, 1)) * 255 + 0.5
            mask = occlusion.cover[0] * 255 + 0.5
            return covered.to(torch.uint8).numpy(), mask.to(torch.uint8).numpy()
        return None


def occlude_pictures(
    photos: Sequence[Photo],
    landmarks: Path,
    out: Path,
    paint: Painter,
    *,
    settings: Mapping[str, object],
    suffix: str = ".png",
    resume: bool = False,
) -> Iterator[Occluded]:
    """Write ``out/occluded/<stem>`` and ``out/masks/<stem>.png`` (255 where something lies before the face).

    A picture depends on the seed and its own name only, whatever the order and the number of pictures.

    Args:
        photos: aligned square pictures.
        landmarks: folder with the landmarks of each, ``<stem>.npy``, ``.pts``, ``.txt`` or ``.csv``.
        out: folder.
        paint: what to put before the faces.
        settings: plain values that say what ``paint`` does; a resumed run must have the same.
        suffix: ".png" or ".jpg".
        resume: leave out what an earlier run has done.

    Yields:
        What became of each picture, in order.

    Raises:
        InputError: no such folder of landmarks, or of other settings than the run that is resumed.
        OutputError: a folder cannot be written to.
    """
    if not landmarks.is_dir():
        raise InputError(f"{landmarks} is not a folder; give the one with the pictures' landmarks")
    ledger = Ledger(out / "occlude.jsonl", {"step": "occlude", "suffix": suffix, **settings}, resume)
    try:
        for photo in photos:
            stem = photo.path.stem
            covered, mask = out / OCCLUDED / f"{stem}{suffix}", out / MASKS / f"{stem}.png"
            row = ledger.rows.get(stem)
            if row is not None and "error" not in row and (row["free"] or (covered.is_file() and mask.is_file())):
                yield Occluded(photo, resumed=True, free=row["free"])
                continue
            error = photo.error
            done = None
            if error is None:
                try:
                    for target in (covered, mask):
                        refuse_overwriting(target, photo.path)
                    done = _occlude(photo.path, landmarks, paint)
                except OutputError:
                    raise
                except Pyface3dError as problem:
                    error = str(problem)
            if error is not None:
                ledger.add(stem, error=error)
                yield Occluded(photo, error)
                continue
            if done is not None:
                for path, content in ((covered, encode_picture(done[0], covered.name)), (mask, encode_png(done[1]))):
                    with atomic_file(path) as stream:
                        stream.write(content)
            ledger.add(stem, free=done is None)
            yield Occluded(photo, free=done is None)
    finally:
        ledger.close()


def _occlude(path: Path, folder: Path, paint: Painter) -> tuple[Image, Mask] | None:
    points = read_landmarks_of(path, folder)
    if len(points) != 68:
        raise InputError(f"{path} has {len(points)} landmarks in {folder}, but all 68 are needed")
    image = read_image(path)
    if image.shape[0] != image.shape[1]:
        raise InputError(
            f"{path} is {image.shape[1]} x {image.shape[0]} px, not square; align it first (pyface3d prepare align)"
        )
    return paint(image, points, path.stem)


def _generator(seed: int, name: str, *more: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode("utf-8", "surrogateescape")), *more])


def _skin_colour(linear: Tensor, face: Tensor) -> Tensor:
    """(3,) linear RGB in which a face's skin is seen: the mean of the middling bright pixels of (S, S, 3) inside it."""
    import torch

    inside = linear[face]
    if not len(inside):
        return linear.flatten(0, 1).mean(0)
    brightness = inside.mean(1)
    low, high = torch.quantile(brightness, brightness.new_tensor(_SKIN_QUANTILES))
    return inside[(brightness >= low) & (brightness <= high)].mean(0)


def _read_cutouts(folder: Path) -> Tensor:
    """(N, 192, 192, 4) uint8 sRGB and cover of the pictures of a folder and its sub-folders, each in the middle."""
    import torch
    from PIL import Image as Pictures

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _CUTOUTS) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} has no PNG or WebP cut-outs; give a folder of RGBA pictures")
    found = np.zeros((len(paths), _CUTOUT_SIDE, _CUTOUT_SIDE, 4), np.uint8)
    for number, path in enumerate(paths):
        try:
            with Pictures.open(path, formats=("PNG", "WEBP")) as picture:
                picture.thumbnail((_CUTOUT_SIDE, _CUTOUT_SIDE))
                values = np.asarray(picture.convert("RGBA"))
        except Exception as error:  # whatever the decoder stumbles over
            raise InputError(f"{path} is not a cut-out that can be read ({error}); remove it") from error
        top, left = ((_CUTOUT_SIDE - side) // 2 for side in values.shape[:2])
        found[number, top : top + values.shape[0], left : left + values.shape[1]] = values
    return torch.from_numpy(found)
