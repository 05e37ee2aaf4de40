"""Files of the original systems, which you bring under their terms, into files that pyface3d uses.

Nothing in an original file is run: pickles, whole modules among them, are read as data. Which network a checkpoint
holds is found from its keys and shapes; every key is accounted for.

examples:
  pyface3d convert checkpoint ckpt_109_grad.pth.tar weights/       weights/extreme3d_bump_generator.safetensors + card
  pyface3d convert checkpoint deca_model.tar weights/              three networks, three files
  pyface3d convert checkpoint deca_model.tar coarse.safetensors --network deca_e_flame
  pyface3d convert inspect unknown.pth                             which network it is, or comes closest to, and why not
  pyface3d convert checkpoint shape_model.pth weights/             shape_mean.npz must lie beside it
  pyface3d convert model 01_MorphableModel.mat bfm09.safetensors   docs/face_models.md: two more beside it
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg, subcommand

from pyface3d.cli import EXIT_OK
from pyface3d.networks.published import ORIGINALS

_NETWORK_HELP = f"The only network wanted, of {', '.join(ORIGINALS)}; all that IN holds when left out."


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint of torch (.pth, .tar, .pth.tar, .model, .pkl) into safetensors and a card."""

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """The file as published."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """A folder, or the .safetensors file where IN holds one network; the card goes beside it."""
    network: Annotated[str | None, arg(metavar="NAME", help=_NETWORK_HELP)] = None
    licence: Annotated[str | None, arg(metavar="TEXT")] = None
    """Terms under which you have the file, for the card; asked for at a terminal when left out."""

    def run(self) -> int:
        from pyface3d.convert.checkpoints import convert_checkpoint, networks_in
        from pyface3d.io.checkpoints import read_checkpoint
        from pyface3d.networks.originals import first_of

        checkpoint = read_checkpoint(self.source)
        found = networks_in(checkpoint, self.network)
        licence = self.licence or _ask_licence(self.source, found[0].match.name)
        print(f"{self.source}: {checkpoint.format} format, {sum(map(len, checkpoint.state_dicts.values()))} tensors")
        for one, asset in convert_checkpoint(self.source, self.out, self.network, licence, _progress):
            stored = (one.stored[key] for key in one.match.keys.values())
            size = asset.path.stat().st_size / 2**20
            print(f"{one.match.name}: {len(list(stored))} tensors -> {asset.path} ({size:.1f} MB)")
            if one.match.left_out:
                print(f"  left out, {len(one.match.left_out)} of other parts: {first_of(one.match.left_out, 4)}")
        if checkpoint.others:
            print(f"not weights, left out: {first_of(checkpoint.others)}")
        return EXIT_OK


@dataclass(frozen=True)
class Inspect:
    """What a checkpoint holds, and which network each part is; writes nothing."""

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """The file as published, or a converted one."""

    def run(self) -> int:
        from pyface3d.io.checkpoints import read_checkpoint
        from pyface3d.networks.originals import find_networks, first_of

        checkpoint = read_checkpoint(self.source)
        print(f"{self.source}: {checkpoint.format} format")
        for entry, stored in checkpoint.state_dicts.items():
            numbers = sum(math.prod(value.shape) for value in stored.values())
            print(
                f"{entry or 'the file itself'}: {len(stored)} tensors, {numbers:,} numbers, first {next(iter(stored))}"
            )
            for match in find_networks(stored):
                if not match.resembles:
                    print("  is no network that pyface3d knows")
                    continue
                print(f"  {'is' if match.num_wrong == 0 else 'comes closest to'} {match.name}: {match.report()}")
        if checkpoint.others:
            print(f"not weights: {first_of(checkpoint.others)}")
        return EXIT_OK


@dataclass(frozen=True)
class Model:
    """A published face model into one safetensors file with a card, which --model then takes by its path.

    Basel Face Model 2009 (01_MorphableModel.mat or its folder, BaselFaceModel_mod.h5 or .mat), Deng's trim of it
    (BFM_model_front.mat, BFM_model_80.mat, or the folder of the parts it is made of), ICT-FaceKit. Put as
    bfm09.safetensors or bfm_front.safetensors into the folder that PYFACE3D_MODELS names, they are known by that name.
    """

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """The file or folder as published."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The .safetensors file to write."""
    half: bool = False
    """Store bases and albedo as float16: half the size, rounded to a few micrometres."""

    def run(self) -> int:
        import torch

        from pyface3d.face_models.conversion import convert_model

        model = convert_model(self.source, self.out, basis_dtype=torch.float16 if self.half else torch.float32)
        size = self.out.stat().st_size / 2**20
        print(
            f"{model.name}: {model.topology.num_verts} vertices, {model.topology.num_faces} triangles, "
            f"{model.identity_dim} identity, {model.expression_dim} expression, {model.albedo_dim} albedo components "
            f"-> {self.out} ({size:.1f} MB)"
        )
        print(f"licence: {model.card['licence']}")
        return EXIT_OK


def _ask_licence(path: Path, network: str) -> str | None:
    """What the user says at a terminal; None elsewhere, so that scripts never wait."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    known = ORIGINALS[network].licence
    print(f"Under which terms do you have {path.name}? (known: {known}; Enter takes that) ", end="", file=sys.stderr)
    return sys.stdin.readline().strip() or None


def _progress(things: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Any = tqdm(things, total=total, desc=what, disable=None, leave=False, file=sys.stderr)
    return bar


Command = (
    Annotated[Checkpoint, subcommand("checkpoint")]
    | Annotated[Model, subcommand("model")]
    | Annotated[Inspect, subcommand("inspect")]
)
