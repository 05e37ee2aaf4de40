"""``pyface3d train landmarks``, under the name that the shipped network's runs were recorded with."""

import sys

from pyface3d.cli import main

if __name__ == "__main__":  # rendering processes read this file too
    sys.exit(main(["train", "landmarks", *sys.argv[1:]]))
