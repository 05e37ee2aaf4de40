"""A run of a network of Extreme 3D Faces, as the flags of ``pyface3d train`` say, and the files that come of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.networks.extreme3d import ShapeRegressor
from pyface3d.train import command
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.config import RunConfig
from pyface3d.train.extreme3d.bump import BumpPair, BumpTask, bump_figures, reliefs
from pyface3d.train.extreme3d.bump_samples import render_bumps
from pyface3d.train.extreme3d.config import PUBLISHED, BumpConfig, ShapeConfig
from pyface3d.train.extreme3d.shape import (
    ShapeTask,
    coefficients,
    render_heads,
    shape_figures,
    start_network,
)
from pyface3d.train.loop import Trainer
from pyface3d.train.ranks import Ranks
from pyface3d.train.samples import FaceSource, Render, Source

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

OUR_MODEL = "head"
BUMP, JUDGE, SHAPE = "extreme3d_bump_generator", "extreme3d_bump_discriminator", "extreme3d_shape"


def run(args: argparse.Namespace) -> None:
    """Train, or export, as the flags of ``pyface3d train extreme3d`` say."""
    if args.export == Path("."):
        raise InputError(
            "--export needs a folder: these weights do not ship, reconstruct takes them by --weights FOLDER"
        )
    if args.network == "bump":
        export_bump(args) if args.export else train_bump(args)
    else:
        export_shape(args) if args.export else train_shape(args)


def train_bump(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, BumpConfig, _recipe(args, BumpConfig))
    source = bump_source(args, config, device)
    torch.manual_seed(config.seed)
    network = BumpPair(config)
    if args.init and state is None:
        command.fill(network.Gnet, start_weights(args.init, BUMP, "Gnet."), args.init.name)
        if config.adversarial and args.init.suffix != ".safetensors":  # published files hold both, and some checkpoints
            judge = start_weights(args.init, JUDGE, "Dnet.")
            if judge:
                command.fill(network.Dnet, judge, args.init.name)
    validation = command.render_validation(args, source, render_bumps)[0]
    trainer = Trainer(network, BumpTask(config, validation), device, Ranks.join(device))
    command.run(args, trainer, source, device, state)


def train_shape(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, ShapeConfig, _recipe(args, ShapeConfig))
    source = shape_source(args, config, device)
    validation, sampler = command.render_validation(args, source, _shape_render(config))
    torch.manual_seed(config.seed)
    sizes = _shape_sizes(config, sampler.model)
    network = ShapeRegressor(sizes["shapes"], sizes["textures"])
    start_network(network, validation)
    if args.init and state is None:
        command.fill(network, start_weights(args.init, SHAPE), args.init.name)
    trainer = Trainer(network, ShapeTask(config, _shape_render(config), validation), device, Ranks.join(device))
    command.run(args, trainer, source, device, state)


def bump_source(args: argparse.Namespace, config: BumpConfig, device: str) -> FaceSource:
    """One photo of each person: relief along the axis is known in the view that was rendered."""
    from pyface3d.data.synthetic.views import EXTREME3D

    options = {"occluders": config.occluders, "framing": EXTREME3D, "empty": 0.0, "shots": 1}
    return FaceSource(args.assets, config.size, config.seed, device, options)


def shape_source(args: argparse.Namespace, config: ShapeConfig, device: str) -> Source:
    """Rich people where coefficients of ``head`` are wanted; else faces of the model itself, which alone are exact."""
    if config.model != OUR_MODEL:
        from pyface3d.train.extreme3d.model_faces import ModelSource  # face models in files need more than torch

        return ModelSource(config.model, args.assets, config.size, config.seed, device, config.occluders)
    from pyface3d.data.synthetic.views import EXTREME3D

    options = {"occluders": config.occluders, "framing": EXTREME3D, "empty": 0.0}
    return FaceSource(args.assets, config.size, config.seed, device, options)


def _shape_render(config: ShapeConfig) -> Render:
    if config.model == OUR_MODEL:
        return render_heads
    from pyface3d.train.extreme3d.model_faces import render_models

    return render_models


def _shape_sizes(config: ShapeConfig, model: FaceModel) -> dict[str, int]:
    """Synthetic people's colours are none of ``head``'s albedo."""
    return {"shapes": model.identity_dim, "textures": 0 if config.model == OUR_MODEL else model.albedo_dim}


def start_weights(path: Path, name: str, prefix: str = "") -> Mapping[str, Tensor]:
    """Weights to start the network ``name`` from.

    Args:
        path: a run's ``checkpoint.pt``, or a file of weights, converted or as published.
        name: of the network.
        prefix: of its keys in a run's checkpoint.
    """
    from pyface3d.convert.checkpoints import load_network

    if path.suffix == ".pt":
        weights = averaged_weights(read_checkpoint(path))
        return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    return load_network(path, name).state_dict()


def export_bump(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write it."""
    from pyface3d.train.extreme3d.export import stored_weights

    config, weights = command.averaged_run(args, BumpConfig)
    network = BumpPair(config)
    generator = {key.removeprefix("Gnet."): value for key, value in weights.items() if key.startswith("Gnet.")}
    network.Gnet.load_state_dict({key: value.float() for key, value in stored_weights(generator).items()})
    validation = command.render_validation(args, bump_source(args, config, "cpu"), render_bumps)[0]
    metrics = bump_figures(*reliefs(network.eval(), validation.image, config), validation)
    sizes = {} if config.channels == BumpConfig.channels else {"channels": config.channels}
    _write(args, config, BUMP, generator, sizes, metrics)


def export_shape(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write it."""
    from pyface3d.networks.originals import load_original
    from pyface3d.train.extreme3d.export import stored_weights

    config, weights = command.averaged_run(args, ShapeConfig)
    source = shape_source(args, config, "cpu")
    validation, sampler = command.render_validation(args, source, _shape_render(config))
    sizes = _shape_sizes(config, sampler.model)
    network: Any = load_original(SHAPE, stored_weights(weights), sizes)
    metrics = shape_figures(coefficients(network, validation.image), validation, network.shapes)
    _write(args, config, SHAPE, weights, sizes, metrics, config.model)


def _write(
    args: argparse.Namespace,
    config: BumpConfig | ShapeConfig,
    name: str,
    weights: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    metrics: Mapping[str, float],
    model: str = OUR_MODEL,
) -> None:
    from pyface3d.train.extreme3d.export import write_network

    details = command.card_details(args, config, {"synthetic": metrics})
    details["config"]["model"] = Path(model).name  # where it lay on one machine is of no use
    asset = write_network(args.export, name, weights, sizes, command.material(args.assets), details)
    command.say_exported(asset, metrics)


def _recipe(args: argparse.Namespace, kind: type[RunConfig]) -> Mapping[str, Any]:
    return PUBLISHED[kind] if args.recipe == "published" else {}
