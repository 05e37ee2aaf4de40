"""``python -m pyface3d``: the command line without an installed script."""

import sys

from pyface3d.cli import main

if __name__ == "__main__":
    sys.exit(main())
