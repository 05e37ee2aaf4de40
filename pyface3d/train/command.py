"""What all trainings have in common from their flags on: how a run starts, and what a card says of it."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from pyface3d.errors import InputError
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.config import RunConfig
from pyface3d.train.flags import read_config
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.ranks import local_device
from pyface3d.train.samples import Render, Source, render_many

if TYPE_CHECKING:
    from pyface3d.io.weights import Asset

VALIDATION_SEED = 1_000_003  # added to the run's seed
COMMANDS = "commands.txt"
_LARGE_PX = 256  # of larger crops fewer fit the memory
Config = TypeVar("Config", bound=RunConfig)


def begin(
    args: argparse.Namespace, kind: type[Config], recipe: Mapping[str, Any] | None = None
) -> tuple[Config, str, dict[str, Any] | None]:
    """Configuration, device and, when resuming, the checkpoint's state; sets the number of threads.

    A value comes from the flags, else from the file of --config, else from the checkpoint, else from ``recipe``.
    """
    device = local_device(("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device)
    torch.set_num_threads(args.threads)
    checkpoint = args.out / CHECKPOINT
    state = read_checkpoint(checkpoint) if args.resume and checkpoint.exists() else None
    given = {item.name: getattr(args, item.name) for item in fields(kind) if hasattr(args, item.name)}
    written = read_config(args.config) if args.config else {}
    values = dict(recipe or {}) | (state["config"] if state else {}) | written | given
    return kind.of_mapping(values), device, state


def pace_of(args: argparse.Namespace) -> Pace:
    limit = None if args.minutes is None else 60 * args.minutes
    return Pace(args.checkpoint_seconds, args.validation_seconds, args.print_steps, limit)


def workers_of(args: argparse.Namespace, device: str) -> int:
    return args.workers if args.workers is not None else int(device == "cpu")


def note_command(folder: Path, command: str) -> None:
    """Add this command to those of the run: the first one names the run in its card, resuming adds a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / COMMANDS).open("a") as stream:
        stream.write(command + "\n")


def run(
    args: argparse.Namespace,
    trainer: Trainer,
    source: Source,
    device: str,
    state: dict[str, Any] | None,
) -> None:
    """Train to the end of the schedule, from the checkpoint's ``state`` where there is one."""
    if state:
        trainer.load(state)
    if trainer.ranks.leads:
        if state:
            print(f"resumed at step {trainer.step} of {trainer.config.steps}", flush=True)
        note_command(args.out, args.command)
    run_training(trainer, source, args.out, workers=workers_of(args, device), pace=pace_of(args))


def render_validation(args: argparse.Namespace, source: Source, render: Render) -> tuple[Any, Any]:
    """The fixed synthetic samples to measure on, always with occluders and on the CPU, and the sampler of them."""
    seed = source.seed + VALIDATION_SEED
    sampler = source.with_occluders(seed)()
    at_once = 32 if source.size <= _LARGE_PX else 8
    return render_many(render, sampler, args.validation, at_once), sampler


def averaged_run(args: argparse.Namespace, kind: type[Config]) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and averaged weights of the run that is to be exported; sets the number of threads."""
    torch.set_num_threads(args.threads)
    state = read_checkpoint(args.out / CHECKPOINT)
    return kind.of_mapping(state["config"]), averaged_weights(state)


def card_details(
    args: argparse.Namespace, config: RunConfig, metrics: Mapping[str, Mapping[str, float]], digits: int = 4
) -> dict[str, Any]:
    """What a card says of the runs behind an asset, and how it was measured."""
    return {
        "commit": commit(),
        "runs": [run_record(folder, type(config)) for folder in (*args.earlier, args.out)],
        "config": asdict(config),
        "metrics": {name: {key: round(value, digits) for key, value in part.items()} for name, part in metrics.items()},
    }


def exported_path(args: argparse.Namespace, name: str) -> Path:
    """Where --export wants the asset: a folder, or the package's own."""
    from pyface3d.io.weights import ASSETS_DIR

    folder: Path = ASSETS_DIR if args.export == Path(".") else args.export
    return folder / f"{name}.safetensors"


def say_exported(asset: Asset, metrics: object) -> None:
    print(f"{asset.path}: {asset.path.stat().st_size / 1e6:.2f} MB, {metrics}")


def fill(network: nn.Module, weights: Mapping[str, Tensor], named: str) -> None:
    """Set the weights of a network that fit by name and shape, and say how many.

    Raises:
        InputError: none does.
    """
    known = network.state_dict()
    fitting = {key: value for key, value in weights.items() if key in known and value.shape == known[key].shape}
    if not fitting:
        raise InputError(f"nothing in {named} fits this network; --init wants weights of the same kind")
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
    """The commit that the package is of, with a mark when files were changed."""
    folder = Path(__file__).resolve().parent
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=folder, capture_output=True, text=True
    )
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def _without_folders(command: str) -> str:
    """The command with absolute paths cut to their last part: where files lay on one machine is of no use."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in command.split())
