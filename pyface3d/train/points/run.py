"""A run of the landmark network, as the flags of ``pyface3d train`` say, and the asset that comes of it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from pyface3d.errors import InputError
from pyface3d.networks.face_points import FacePoints
from pyface3d.train import command
from pyface3d.train.imagenet import load_imagenet_trunk
from pyface3d.train.loop import Trainer
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.points.head_tables import HeadTables, head_tables
from pyface3d.train.points.measures import answers, photo_measures, sample_measures
from pyface3d.train.points.photos import PhotoSet, read_photos
from pyface3d.train.points.samples import Samples, render_samples
from pyface3d.train.points.task import PointsTask, start_network
from pyface3d.train.ranks import Ranks
from pyface3d.train.samples import FaceSource

_PHOTO_SETS = ("landmarks_300w",)


def run(args: argparse.Namespace) -> None:
    """Train, or export, as the flags of ``pyface3d train`` say."""
    export(args) if args.export else train(args)


def train(args: argparse.Namespace) -> None:
    config, device, state = command.begin(args, PointsConfig)
    source = face_source(args, config, device)
    validation, tables = render_validation(args, source)
    network = make_network(args, config, validation, tables, resumed=state is not None)
    task = PointsTask(config, tables, device, validation, photos_of(args, config.size))
    trainer = Trainer(network, task, device, Ranks.join(device))
    command.run(args, trainer, source, device, state)


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
    samples, sampler = command.render_validation(args, source, render_samples)
    return samples, head_tables(sampler.model)


def photos_of(args: argparse.Namespace, size: int) -> PhotoSet | None:
    if not args.photos:
        return None
    kind, folder = args.photos
    if kind not in _PHOTO_SETS:
        raise InputError(f"--photos knows the kinds {', '.join(_PHOTO_SETS)}, got {kind!r}")
    return read_photos(Path(folder), size)


def export(args: argparse.Namespace) -> None:
    """Measure the averaged network as it is stored, and write the asset."""
    from pyface3d.networks.face_points import face_points_network
    from pyface3d.train.points.export import NAME, stored_points, write_face_points

    config, weights = command.averaged_run(args, PointsConfig)
    network = face_points_network(stored_points(weights))
    validation, tables = render_validation(args, face_source(args, config, "cpu"))
    metrics = {"synthetic": sample_measures(answers(network, validation.image), validation, tables.gram)}
    if photos := photos_of(args, config.size):
        metrics["photos"] = photo_measures(answers(network, photos.image), photos.points)
    details = command.card_details(args, config, metrics)
    path = command.exported_path(args, NAME)
    command.say_exported(write_face_points(path, weights, command.material(args.assets), details), metrics)
