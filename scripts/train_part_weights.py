"""Train the part network that ships, on synthetic faces.

    python scripts/train_part_weights.py --assets runs/synthetic_assets.npz --steps 6000 --out runs/face_parts
    python scripts/train_part_weights.py --assets … --out runs/face_parts --resume    # after an interruption
    python scripts/train_part_weights.py --assets … --out runs/face_parts --export    # write the asset

It starts from the trunk of the landmark network that ships, which knows faces and what hides them. Everything follows
from the seed and the flags. The run's folder holds checkpoint.pt (every two minutes), config.json, metrics.csv and
TensorBoard files. The network is fully convolutional: --resume --train-size 192 goes on with larger crops. Training
needs torch and numpy alone, with --trunk none or --trunk imagenet; TensorBoard, photos, the landmark network's weights
and --export need the packages of an installation.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import torch

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.networks.face_parts import FaceParts, face_parts_network
from pyface3d.train import command
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.imagenet import load_imagenet_trunk
from pyface3d.train.loop import CHECKPOINT, Trainer
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.parts.measures import found_parts, part_measures
from pyface3d.train.parts.photos import read_part_photos
from pyface3d.train.parts.samples import PartSamples, render_parts
from pyface3d.train.parts.task import PartsTask
from pyface3d.train.samples import FaceSource, render_many

_PHOTO_SETS = ("face_masks_celebahq",)
_WIDER = 1.1


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_run_flags(parser, validation=128)
    add = parser.add_argument
    add("--trunk", choices=("face_points", "imagenet", "none"), default="face_points", help="weights to start from")
    add("--photos", nargs=2, metavar=("KIND", "DIR"), help="face_masks_celebahq DIR: labelled photos, only measured")
    add("--no-occluders", dest="occluders", action="store_false", default=argparse.SUPPRESS)
    for name in ("balance", "border", "overlap", "hard"):
        add(f"--{name}", type=float, default=argparse.SUPPRESS, help="see PartsConfig")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    try:
        export(args) if args.export else train(args)
    except Pyface3dError as error:
        raise SystemExit(f"error: {error}") from None


def train(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, PartsConfig)
    source = face_source(args, config, device)
    network = make_network(args, config, resumed=state is not None)
    trainer = Trainer(network, PartsTask(config, device, validation_of(args, source)), device)
    command.run(args, Path(__file__).name, trainer, source, device, state)


def face_source(args: argparse.Namespace, config: PartsConfig, device: str) -> FaceSource:
    from pyface3d.data.synthetic.views import PARTS

    # No empty crops: the network is only asked where a face was detected. Later shots are framed closer than they were
    # rendered; so much wider, the median crop is as wide as the product's.
    framing = replace(PARTS, margin=_WIDER * PARTS.margin)
    options = {"occluders": config.occluders, "empty": 0.0, "framing": framing, "hard": config.hard}
    return FaceSource(args.assets, config.size, config.seed, device, options)


def make_network(args: argparse.Namespace, config: PartsConfig, *, resumed: bool) -> FaceParts:
    """A network with the weights that the flags name; a resumed one is filled from its checkpoint later."""
    torch.manual_seed(config.seed)
    network = FaceParts()
    if resumed:
        return network
    if args.init:
        command.fill_from_checkpoint(network, args.init)
    elif args.trunk == "face_points":
        from pyface3d.io.weights import load_weights

        weights = {key: value.float() for key, value in load_weights("face_points").items() if key.startswith("trunk.")}
        command.fill(network, weights, "the landmark network")
    elif args.trunk == "imagenet":
        load_imagenet_trunk(network.trunk)
    return network


def validation_of(args: argparse.Namespace, source: FaceSource) -> dict[str, PartSamples]:
    """The fixed synthetic samples, always with occluders, and the photos that the flags name."""
    seed = source.seed + command.VALIDATION_SEED
    sampler = replace(source, seed=seed, options={**source.options, "occluders": True})()
    found = {"synthetic": render_many(render_parts, sampler, args.validation)}
    if args.photos:
        kind, folder = args.photos
        if kind not in _PHOTO_SETS:
            raise InputError(f"--photos knows the kinds {', '.join(_PHOTO_SETS)}, got {kind!r}")
        found["photos"] = read_part_photos(Path(folder), source.size)
    return found


def export(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write the asset."""
    from pyface3d.io.weights import ASSETS_DIR
    from pyface3d.train.export import half_precision
    from pyface3d.train.parts.export import NAME, write_face_parts

    torch.set_num_threads(args.threads)
    state = read_checkpoint(args.out / CHECKPOINT)
    config = PartsConfig.of_mapping(state["config"])
    weights = averaged_weights(state)
    network = face_parts_network(half_precision(weights))
    metrics = {
        name: part_measures(found_parts(network, samples.image), samples.segments)
        for name, samples in validation_of(args, face_source(args, config, "cpu")).items()
    }
    details = {
        "commit": command.commit(),
        "runs": [command.run_record(folder, PartsConfig) for folder in (*args.earlier, args.out)],
        "config": asdict(config),
        "metrics": {name: {key: round(value, 2) for key, value in part.items()} for name, part in metrics.items()},
    }
    folder = ASSETS_DIR if args.export == Path(".") else args.export
    asset = write_face_parts(folder / f"{NAME}.safetensors", weights, command.material(args.assets), details)
    print(f"{asset.path}: {asset.path.stat().st_size / 1e6:.2f} MB, {metrics}")


if __name__ == "__main__":
    main()
