"""What the scripts that train have in common: their flags, and what a card says of a run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.config import RunConfig
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.samples import FaceSource

VALIDATION_SEED = 1_000_003  # added to the run's seed
COMMANDS = "commands.txt"
Config = TypeVar("Config", bound=RunConfig)


def add_run_flags(parser: argparse.ArgumentParser, validation: int = 256) -> None:
    """Flags of every training script; those that name fields of `RunConfig` are absent unless given."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run")
    add("--assets", help="packed by scripts/pack_synthetic_assets.py; without it the faces are procedural")
    add("--init", type=Path, help="start from the averaged weights of this checkpoint, as far as they fit")
    add("--resume", action="store_true", help="go on from OUT/checkpoint.pt, if there is one; flags given now win")
    add("--export", type=Path, nargs="?", const=Path("."), metavar="FOLDER", help="write the asset, no training")
    add("--earlier", type=Path, nargs="+", default=[], help="with --export: folders of the runs that --init came from")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--workers", type=int, help="rendering processes; default: 1 on a CPU, 0 on a GPU (it renders there)")
    add("--threads", type=int, default=1, help="CPU threads of the training process; more only on idle cores")
    add("--minutes", type=float, help="stop after so many, with a checkpoint")
    add("--validation", type=int, default=validation, help="fixed synthetic samples to measure on")
    add("--checkpoint-seconds", type=float, default=Pace.checkpoint_s)
    add("--validation-seconds", type=float, default=Pace.validation_s)
    add("--print-steps", type=int, default=Pace.print_steps)
    for name in ("steps", "batch", "seed", "reuse", "pool", "frozen-stages"):
        add(f"--{name}", type=int, default=argparse.SUPPRESS)
    add("--train-size", dest="size", type=int, default=argparse.SUPPRESS, help="side of the crops in pixels")
    for name in ("learning-rate", "trunk-learning-rate", "weight-decay"):
        add(f"--{name}", type=float, default=argparse.SUPPRESS)
    add("--trunk-norms", choices=("batch", "frozen"), default=argparse.SUPPRESS)


def begin(args: argparse.Namespace, kind: type[Config]) -> tuple[Config, str, dict[str, Any] | None]:
    """Configuration, device and, when resuming, the checkpoint's state; sets the number of threads."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    torch.set_num_threads(args.threads)
    checkpoint = args.out / CHECKPOINT
    state = read_checkpoint(checkpoint) if args.resume and checkpoint.exists() else None
    given = {item.name: getattr(args, item.name) for item in fields(kind) if hasattr(args, item.name)}
    return kind.of_mapping((state["config"] if state else {}) | given), device, state


def pace_of(args: argparse.Namespace) -> Pace:
    limit = None if args.minutes is None else 60 * args.minutes
    return Pace(args.checkpoint_seconds, args.validation_seconds, args.print_steps, limit)


def workers_of(args: argparse.Namespace, device: str) -> int:
    return args.workers if args.workers is not None else int(device == "cpu")


def note_command(folder: Path, script: str) -> None:
    """Add this command to those of the run: the first one names the run in its card, resuming adds a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / COMMANDS).open("a") as stream:
        stream.write(" ".join(["python", f"scripts/{script}", *sys.argv[1:]]) + "\n")


def run(
    args: argparse.Namespace,
    script: str,
    trainer: Trainer,
    source: FaceSource,
    device: str,
    state: dict[str, Any] | None,
) -> None:
    """Train to the end of the schedule, from the checkpoint's ``state`` where there is one; ``script``: its name."""
    if state:
        trainer.load(state)
        print(f"resumed at step {trainer.step} of {trainer.config.steps}", flush=True)
    note_command(args.out, script)
    run_training(trainer, source, args.out, workers=workers_of(args, device), pace=pace_of(args))


def fill(network: nn.Module, weights: Mapping[str, Tensor], named: str) -> None:
    """Set the weights of a network that fit by name and shape, and say how many."""
    known = network.state_dict()
    fitting = {key: value for key, value in weights.items() if key in known and value.shape == known[key].shape}
    network.load_state_dict(known | fitting)
    print(f"{len(fitting)} of {len(known)} tensors are from {named}, the rest is new", flush=True)


def fill_from_checkpoint(network: nn.Module, path: Path) -> None:
    """`fill` with the averaged weights of a checkpoint."""
    fill(network, averaged_weights(read_checkpoint(path)), path.name)


def run_record(folder: Path, kind: type[RunConfig]) -> dict[str, object]:
    """What a run's folder says of it: commands, steps taken, samples rendered for them."""
    state = read_checkpoint(folder / CHECKPOINT)
    config, step = kind.of_mapping(state["config"]), int(state["step"])
    commands = (folder / COMMANDS).read_text().splitlines() if (folder / COMMANDS).exists() else []
    return {
        "commands": [_without_folders(line) for line in commands],
        "steps": step,
        "samples": -(-step // config.reuse) * config.batch,
    }


def material(assets: str | None) -> str:
    """What the samples were made of, in the words of the packed file's own card."""
    from pyface3d.data.synthetic.assets import CARD_KEY, load_assets, tensor_text

    if assets is None:
        return "synthetic faces of pyface3d.data.synthetic from the embedded head and procedural content"
    card = load_assets(assets).get(CARD_KEY)
    sources = "" if card is None else json.dumps(json.loads(tensor_text(card)).get("sources"), ensure_ascii=False)
    return f"synthetic faces of pyface3d.data.synthetic from packed assets: {sources}"


def commit() -> str:
    """The commit that the script is of, with a mark when files were changed."""
    folder = Path(sys.argv[0]).resolve().parent
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=folder, capture_output=True, text=True
    )
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def _without_folders(command: str) -> str:
    """The command with absolute paths cut to their last part: where files lay on one machine is of no use."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in command.split())
