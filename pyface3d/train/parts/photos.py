"""Photos with label maps, cut as the product cuts them. They are looked at in training and never learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pyface3d.errors import InputError
from pyface3d.train.parts.samples import UNKNOWN, PartSamples


def read_part_photos(folder: Path, size: int, count: int = 64, label_map: str = "celebamask") -> PartSamples:
    """Crops of a folder's photos about the landmarks that our network finds, evenly chosen.

    Args:
        folder: with ``images/`` and ``masks/``, see `pyface3d.evaluate.masks.true_masks`.
        size: side of the crops in pixels.
        count: at most so many.
        label_map: what the numbers in the masks mean, see `pyface3d.io.label_maps.LABEL_MAPS`.

    Raises:
        InputError: the folder cannot be read, or no face is found in any photo.
        AssetError: the landmark network's weights are missing.
    """
    from pyface3d.detect import detect_faces, landmarks68
    from pyface3d.detect.parts import parts_crop
    from pyface3d.evaluate.masks import true_masks
    from pyface3d.io.images import read_image
    from pyface3d.io.label_maps import read_label_map, to_parts

    known = true_masks(folder, label_map, None)
    images, maps = [], []
    for one in (known[i * len(known) // count] for i in range(count)) if len(known) > count else known:
        if one.photo is None:
            continue
        picture = read_image(one.photo)
        faces = detect_faces(picture)
        if not faces:
            continue
        points, _ = landmarks68(picture, max(faces, key=lambda face: face.size))
        crop = parts_crop(points, size)
        labels = to_parts(read_label_map(one.path), label_map, str(one.path))
        height, width = picture.shape[:2]
        at = np.arange(size) + 0.5
        column, row = np.moveaxis(np.floor(crop.to_image(np.stack(np.meshgrid(at, at), -1))).astype(int), -1, 0)
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        nearest = labels[row.clip(0, height - 1), column.clip(0, width - 1)]
        images.append(crop.warp(picture))
        maps.append(np.where(inside, nearest, UNKNOWN).astype(np.uint8))
    if not images:
        raise InputError(f"no photo in {folder} shows a face with a label map; give a folder with images/ and masks/")
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return PartSamples(pixels, torch.from_numpy(np.stack(maps)))
