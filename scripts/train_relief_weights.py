"""Train the relief network that ships, on synthetic faces.

    python scripts/train_relief_weights.py --assets runs/synthetic_assets.npz --steps 20000 --out runs/relief
    python scripts/train_relief_weights.py --assets … --out runs/relief --resume    # after an interruption
    python scripts/train_relief_weights.py --assets … --out runs/relief --export    # write the asset

Everything follows from the seed and the flags. The run's folder holds checkpoint.pt (every two minutes), config.json,
metrics.csv and TensorBoard files (crop, found relief, true relief as clay). The network starts from nothing. Training
needs torch and numpy alone; TensorBoard and --export need the packages of an installation.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import torch

from pyface3d.errors import Pyface3dError
from pyface3d.networks.relief import ReliefNet
from pyface3d.train import command
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.loop import CHECKPOINT, Trainer
from pyface3d.train.relief.config import ReliefConfig
from pyface3d.train.relief.samples import ReliefSamples, render_relief
from pyface3d.train.relief.task import ReliefTask, reliefs, sample_measures
from pyface3d.train.samples import FaceSource, render_many

_VALIDATION_SAMPLES = 96


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_run_flags(parser, _VALIDATION_SAMPLES)
    parser.add_argument("--no-occluders", dest="occluders", action="store_false", default=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    try:
        export(args) if args.export else train(args)
    except Pyface3dError as error:
        raise SystemExit(f"error: {error}") from None


def train(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, ReliefConfig)
    source = face_source(args, config, device)
    torch.manual_seed(config.seed)
    network = ReliefNet()
    if args.init and state is None:
        command.fill_from_checkpoint(network, args.init)
    trainer = Trainer(network, ReliefTask(config, render_validation(args, source)), device)
    command.run(args, Path(__file__).name, trainer, source, device, state)


def face_source(args: argparse.Namespace, config: ReliefConfig, device: str) -> FaceSource:
    from pyface3d.data.synthetic.views import RELIEF

    options = {"occluders": config.occluders, "framing": RELIEF, "empty": 0.0}
    return FaceSource(args.assets, config.size, config.seed, device, options)


def render_validation(args: argparse.Namespace, source: FaceSource) -> ReliefSamples:
    """The fixed synthetic samples, always with occluders."""
    seed = source.seed + command.VALIDATION_SEED
    sampler = replace(source, seed=seed, options={**source.options, "occluders": True})()
    samples = render_many(render_relief, sampler, args.validation)
    assert isinstance(samples, ReliefSamples)
    return samples


def export(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write the asset."""
    from pyface3d.io.weights import ASSETS_DIR
    from pyface3d.networks.relief import relief_network
    from pyface3d.train.export import half_precision
    from pyface3d.train.relief.export import NAME, write_relief

    torch.set_num_threads(args.threads)
    state = read_checkpoint(args.out / CHECKPOINT)
    config = ReliefConfig.of_mapping(state["config"])
    weights = averaged_weights(state)
    network = relief_network(half_precision(weights))
    validation = render_validation(args, face_source(args, config, "cpu"))
    metrics = sample_measures(reliefs(network, validation.image), validation)
    details = {
        "commit": command.commit(),
        "runs": [command.run_record(folder, ReliefConfig) for folder in (*args.earlier, args.out)],
        "config": asdict(config),
        "metrics": {"synthetic": {key: round(value, 4) for key, value in metrics.items()}},
    }
    folder = ASSETS_DIR if args.export == Path(".") else args.export
    asset = write_relief(folder / f"{NAME}.safetensors", weights, command.material(args.assets), details)
    print(f"{asset.path}: {asset.path.stat().st_size / 1e6:.2f} MB, {metrics}")


if __name__ == "__main__":
    main()
