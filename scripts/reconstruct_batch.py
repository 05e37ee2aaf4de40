"""The entry point of Extreme-3D: reconstruct every picture of a list.

python scripts/reconstruct_batch.py <inputList> <outputDir> [landmarkDir] [options of pyface3d reconstruct]

<inputList> has a path a line; <landmarkDir> holds <name>.pts of each (68 points), then nothing is detected. With
--system extreme3d: <name>_<foundation|withBump|sparseFull|final>_<frontal|aligned>.ply and more, see pyface3d
reconstruct --help. As published: --system extreme3d --formats ply --plain --ascii --legacy-names
"""

import sys

from pyface3d.cli import EXIT_USAGE, main

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) < 2 or arguments[0].startswith("-") or arguments[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    listed, out, *rest = arguments
    if rest and not rest[0].startswith("-"):
        rest[:1] = ["--landmarks", rest[0]]
    sys.exit(main(["reconstruct", listed, "--out", out, *rest]))
