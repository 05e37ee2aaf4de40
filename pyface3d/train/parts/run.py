"""A run of the part network, as the flags of ``pyface3d train`` say, and the asset that comes of it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from pyface3d.errors import InputError
from pyface3d.networks.face_parts import FaceParts, face_parts_network
from pyface3d.train import command
from pyface3d.train.imagenet import load_imagenet_trunk
from pyface3d.train.loop import Trainer
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.parts.measures import found_parts, part_measures
from pyface3d.train.parts.photos import read_part_photos
from pyface3d.train.parts.samples import PartSamples, render_parts
from pyface3d.train.parts.task import PartsTask
from pyface3d.train.ranks import Ranks
from pyface3d.train.samples import FaceSource

_PHOTO_SETS = ("face_masks_celebahq",)
_WIDER = 1.1


def run(args: argparse.Namespace) -> None:
    """Train, or export, as the flags of ``pyface3d train`` say."""
    export(args) if args.export else train(args)


def train(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, PartsConfig)
    source = face_source(args, config, device)
    network = make_network(args, config, resumed=state is not None)
    trainer = Trainer(network, PartsTask(config, device, validation_of(args, source)), device, Ranks.join(device))
    command.run(args, trainer, source, device, state)


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
    found = {"synthetic": command.render_validation(args, source, render_parts)[0]}
    if args.photos:
        kind, folder = args.photos
        if kind not in _PHOTO_SETS:
            raise InputError(f"--photos knows the kinds {', '.join(_PHOTO_SETS)}, got {kind!r}")
        found["photos"] = read_part_photos(Path(folder), source.size)
    return found


def export(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write the asset."""
    from pyface3d.train.export import half_precision
    from pyface3d.train.parts.export import NAME, write_face_parts

    config, weights = command.averaged_run(args, PartsConfig)
    network = face_parts_network(half_precision(weights))
    metrics = {
        name: part_measures(found_parts(network, samples.image), samples.segments)
        for name, samples in validation_of(args, face_source(args, config, "cpu")).items()
    }
    details = command.card_details(args, config, metrics, digits=2)
    path = command.exported_path(args, NAME)
    command.say_exported(write_face_parts(path, weights, command.material(args.assets), details), metrics)
