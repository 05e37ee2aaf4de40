"""The entry point of Extreme-3D: reconstruct every picture of a list.

python scripts/reconstruct_batch.py <inputList> <outputDir> [options of pyface3d reconstruct]
"""

import sys

from pyface3d.cli import EXIT_USAGE, main

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(main(["reconstruct", sys.argv[1], "--out", *sys.argv[2:]]))
