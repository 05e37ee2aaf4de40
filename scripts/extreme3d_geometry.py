"""The geometry of Extreme 3D Faces on what its networks left in folders, or on the crops of its paper.

FOLDER holds imgs/<name>.png and .pts, shape/<name>.ply.alpha and bump/<name>_bump.png and _mask.png. The shape
coefficients mean something for the Basel Face Model alone (--model bfm09 or its path); with any other model, or without
a shape folder, --fit-identity fits one to the landmarks. Where imgs/<name>_occ.png says what covers the face (white),
the relief under it is recovered.

examples:
  python scripts/extreme3d_geometry.py paper/ out/ --model BaselFaceModel_mod.h5
  python scripts/extreme3d_geometry.py paper/ out/ --model head --level 1 --fit-identity --relief bump_blended
  python scripts/extreme3d_geometry.py paper/ out/ --compat --ascii --plain --legacy-names --stages foundation,final
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the meshes; made when missing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these crops, less their .png")
    parser.add_argument("--model", default="bfm09", help="name or path of a face model (default: bfm09)")
    parser.add_argument("--level", type=int, default=0, help="how often its triangles are cut into four; head needs 1")
    parser.add_argument("--fit-identity", action="store_true", help="fit the model to the landmarks; no shape folder")
    parser.add_argument("--relief", metavar="NAME", help="folder of the relief (default: bump, bump_blended, …)")
    parser.add_argument("--bump-gain", type=float, default=1.25, metavar="G", help="mm shown for one mm (default 1.25)")
    parser.add_argument("--stages", default="foundation,withBump,sparseFull,final", metavar="LIST")
    parser.add_argument("--poses", default="frontal,aligned", metavar="LIST")
    parser.add_argument("--ascii", action="store_true", help="text PLY instead of binary")
    parser.add_argument("--plain", action="store_true", help="positions and triangles only, as published")
    parser.add_argument("--legacy-names", action="store_true", help="sparse_full for sparseFull")
    parser.add_argument("--compat", action="store_true", help="the published decisions, defects and all")
    parser.add_argument(
        "--no-recovery", action="store_true", help="keep the relief under what imgs/<name>_occ.png covers"
    )
    parser.add_argument("--resume", action="store_true", help="skip crops whose files are there")
    options = parser.parse_args(argv)

    from pyface3d.errors import Pyface3dError
    from pyface3d.face_models import load_face_model
    from pyface3d.systems.extreme3d.geometry_only import find_cases, run_geometry
    from pyface3d.systems.extreme3d.recovery import load_references

    failed = 0
    try:
        model = load_face_model(options.model, options.level)
        stems = options.names or find_cases(options.folder)
        rows = run_geometry(
            *(options.folder, options.out, model, stems),
            relief=options.relief,
            gain=options.bump_gain,
            fit_identity=options.fit_identity,
            stages=options.stages.split(","),
            poses=options.poses.split(","),
            ascii=options.ascii,
            plain=options.plain,
            legacy_names=options.legacy_names,
            compat=options.compat,
            recover=not options.no_recovery,
            references=lambda: load_references(progress=lambda faces, total: tqdm(faces, total=total, disable=None)),
            resume=options.resume,
        )
        for done in tqdm(rows, total=len(stems), unit="face", disable=None):
            if done.error is not None:
                failed += 1
                tqdm.write(f"failed: {done.stem}: {done.error}", file=sys.stderr)
    except Pyface3dError as error:
        print(f"extreme3d_geometry: error: {error}", file=sys.stderr)
        return 1
    print(f"{len(stems) - failed} of {len(stems)} faces succeeded; see {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
