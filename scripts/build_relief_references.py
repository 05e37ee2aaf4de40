"""Draw the relief maps that occlusion recovery takes hidden parts of faces from (`systems.extreme3d.recovery`).

They are drawn at first use anyway; this does it beforehand, for machines that share a cache, or in other numbers.

examples:
  python scripts/build_relief_references.py
  python scripts/build_relief_references.py --out references/ --count 1024 --sheet references.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from pyface3d.errors import Pyface3dError
from pyface3d.io.images import write_png
from pyface3d.systems.extreme3d.recovery.chart import TEXEL_MM
from pyface3d.systems.extreme3d.recovery.references import (
    COUNT,
    References,
    build_references,
    load_references,
    references_folder,
)

_SHEET = 24  # faces on the picture
_LIGHT = np.array([-0.5, -0.6, 0.62])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="folder to write (default: the user's cache)")
    parser.add_argument("--count", type=int, default=COUNT, help="how many faces (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, default=None, help="also draw the first faces as a PNG")
    options = parser.parse_args()
    folder = references_folder() if options.out is None else options.out
    try:
        build_references(folder, options.count, progress=_bar)
        references = load_references(folder)
        if options.sheet is not None:
            write_png(options.sheet, _sheet(references))
    except Pyface3dError as error:
        print(f"build_relief_references: {error}", file=sys.stderr)
        return 1
    bands = [tags.age for tags in references.tags]
    print(f"{folder}: {len(references)} faces; " + ", ".join(f"{bands.count(b)} {b}" for b in dict.fromkeys(bands)))
    return 0


def _bar(items, total):
    from tqdm import tqdm

    return tqdm(items, total=total, unit="face", disable=None)


def _sheet(references: References) -> np.ndarray:
    rows = []
    for start in range(0, min(len(references), _SHEET), 6):
        tiles = [_lit(np.asarray(relief, np.float32)) for relief in references.relief[start : start + 6]]
        tiles += [np.zeros_like(tiles[0])] * (6 - len(tiles))
        rows.append(np.concatenate(tiles, 1))
    grey = np.concatenate(rows)
    return np.repeat(grey[..., None], 3, -1)


def _lit(relief: np.ndarray) -> np.ndarray:
    down, right = np.gradient(relief, TEXEL_MM)
    normals = np.stack([-right, -down, np.ones_like(right)], -1)
    light = normals @ _LIGHT / np.linalg.norm(normals, axis=-1)
    return np.clip(255 * light, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
