"""A run of the relief network, as the flags of ``pyface3d train`` say, and the asset that comes of it."""

from __future__ import annotations

import argparse

import torch

from pyface3d.networks.relief import ReliefNet
from pyface3d.train import command
from pyface3d.train.loop import Trainer
from pyface3d.train.ranks import Ranks
from pyface3d.train.relief.config import ReliefConfig
from pyface3d.train.relief.samples import render_relief
from pyface3d.train.relief.task import ReliefTask, reliefs, sample_measures
from pyface3d.train.samples import FaceSource


def run(args: argparse.Namespace) -> None:
    """Train, or export, as the flags of ``pyface3d train`` say."""
    export(args) if args.export else train(args)


def train(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, ReliefConfig)
    source = face_source(args, config, device)
    torch.manual_seed(config.seed)
    network = ReliefNet()
    if args.init and state is None:
        command.fill_from_checkpoint(network, args.init)
    task = ReliefTask(config, command.render_validation(args, source, render_relief)[0])
    trainer = Trainer(network, task, device, Ranks.join(device))
    command.run(args, trainer, source, device, state)


def face_source(args: argparse.Namespace, config: ReliefConfig, device: str) -> FaceSource:
    from pyface3d.data.synthetic.views import RELIEF

    options = {"occluders": config.occluders, "framing": RELIEF, "empty": 0.0}
    return FaceSource(args.assets, config.size, config.seed, device, options)


def export(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write the asset."""
    from pyface3d.networks.relief import relief_network
    from pyface3d.train.export import half_precision
    from pyface3d.train.relief.export import NAME, write_relief

    config, weights = command.averaged_run(args, ReliefConfig)
    network = relief_network(half_precision(weights))
    validation = command.render_validation(args, face_source(args, config, "cpu"), render_relief)[0]
    metrics = sample_measures(reliefs(network, validation.image), validation)
    details = command.card_details(args, config, {"synthetic": metrics})
    path = command.exported_path(args, NAME)
    command.say_exported(write_relief(path, weights, command.material(args.assets), details), metrics)
