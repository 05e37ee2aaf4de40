"""Flags of everything that trains: those of the run, and one for every field of its configuration. No torch."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from pyface3d.errors import InputError
from pyface3d.train.config import RunConfig

CHECKPOINT_S, VALIDATION_S, PRINT_STEPS = 120.0, 300.0, 50
_OTHER_NAMES = {"size": "--train-size"}  # --size was taken when runs began to be recorded


def add_run_flags(parser: argparse.ArgumentParser, kind: type[RunConfig], validation: int = 256) -> None:
    """Flags of a run, and of the configuration ``kind``; those of the latter are absent unless given."""
    add = parser.add_argument_group("run").add_argument
    add("--out", type=Path, required=True, help="folder of the run: checkpoint.pt, config.json, metrics.csv, pictures")
    add("--assets", help="packed by scripts/pack_synthetic_assets.py; without it the faces are procedural")
    add("--config", type=Path, metavar="FILE", help="configuration as JSON or YAML; flags given beside it win")
    add("--init", type=Path, help="start from the weights of this file, as far as they fit: a run's checkpoint.pt")
    add("--resume", action="store_true", help="go on from OUT/checkpoint.pt, if there is one; flags given now win")
    add("--export", type=Path, nargs="?", const=Path("."), metavar="FOLDER", help="write the asset, no training")
    add("--earlier", type=Path, nargs="+", default=[], help="with --export: folders of the runs that --init came from")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--workers", type=int, help="rendering processes; default: 1 on a CPU, 0 on a GPU (it renders there)")
    add("--threads", type=int, default=1, help="CPU threads of the training process; more only on idle cores")
    add("--minutes", type=float, help="stop after so many, with a checkpoint")
    add("--validation", type=int, default=validation, help=f"fixed synthetic samples to measure on ({validation})")
    add("--checkpoint-seconds", type=float, default=CHECKPOINT_S, help=f"between checkpoints ({CHECKPOINT_S:g})")
    add("--validation-seconds", type=float, default=VALIDATION_S, help=f"between measurements ({VALIDATION_S:g})")
    add("--print-steps", type=int, default=PRINT_STEPS, help=f"steps between lines of figures ({PRINT_STEPS})")
    _add_config_flags(parser, kind)


def _add_config_flags(parser: argparse.ArgumentParser, kind: type[RunConfig]) -> None:
    """A flag for every field of a configuration that is one value; the others can be set by --config."""
    group = parser.add_argument_group("configuration", "default in parentheses; all of it is in OUT/config.json")
    explained = field_texts(kind)
    for item in fields(kind):
        default = item.default if item.default is not MISSING else None
        name = item.name.replace("_", "-")
        options: dict[str, Any] = {"dest": item.name, "default": argparse.SUPPRESS}
        text = explained.get(item.name, "").replace("%", "%%")
        if isinstance(default, bool):
            flag = f"--no-{name}" if default else f"--{name}"
            text = f"without: {text}" if default else text
            group.add_argument(flag, action="store_false" if default else "store_true", help=text, **options)
            continue
        flags = [f"--{name}", *([_OTHER_NAMES[item.name]] if item.name in _OTHER_NAMES else [])]
        if isinstance(default, int | float | str):
            meaning = f"{text} ({default})"
            group.add_argument(*flags, type=type(default), metavar=_METAVARS[type(default)], help=meaning, **options)
        elif isinstance(default, tuple):
            group.add_argument(*flags, type=float, nargs="*", metavar="X", help=f"{text} (none)", **options)


_METAVARS: dict[type, str] = {int: "N", float: "X", str: "NAME"}


def field_texts(kind: type[RunConfig]) -> dict[str, str]:
    """What the docstrings of a configuration and its bases say of every field."""
    texts: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        _, _, listed = (one.__doc__ or "").partition("Attributes:")
        for names, text in re.findall(r"^ {8}(\w[\w, ]*): (.*(?:\n {12}.*)*)", listed, re.MULTILINE):
            texts |= dict.fromkeys(names.split(", "), " ".join(text.split()).removesuffix("."))
    return texts


def read_config(path: Path) -> dict[str, Any]:
    """The values of a configuration file, JSON or (``.yaml``, ``.yml``) YAML.

    Raises:
        InputError: it cannot be read, or is no table of values.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yaml", ".yml"):
            try:
                import yaml
            except ImportError as error:
                raise InputError(f"{path} needs PyYAML (pip install pyyaml), or write it as JSON") from error
            try:
                values = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        else:
            values = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON ({error}); a YAML file ends in .yaml") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a table of values, as config.json of a run's folder does")
    return values
