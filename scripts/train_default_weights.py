"""``pyface3d train landmarks``, under the name that the shipped network's runs were recorded with."""

import sys

from pyface3d.cli import main

sys.exit(main(["train", "landmarks", *sys.argv[1:]]))
