"""Draws every sheet of this folder: python -m scripts.kernel_sheets -o FOLDER [--only relief symmetry]"""

import argparse
from importlib import import_module
from pathlib import Path


def main() -> None:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m scripts.kernel_sheets", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        for path in import_module(f"scripts.kernel_sheets.{name}").draw(arguments.output):
            print(path, flush=True)


if __name__ == "__main__":
    main()
