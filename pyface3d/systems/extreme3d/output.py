"""What a run of Extreme 3D Faces writes: stages, the completed head, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.io.meshes import Mesh, encode_glb, encode_obj
from pyface3d.io.pictures import encode_png, reduced
from pyface3d.ops import Topology
from pyface3d.reconstruction import FORMATS, POSES, check_choices
from pyface3d.render import render_clay, render_textured
from pyface3d.systems.extreme3d.photo import Extreme3dFace
from pyface3d.systems.extreme3d.stages import STAGES
from pyface3d.systems.running import THUMBNAIL, RunOptions, Writer, around

SOURCE_COLOURS = ((0.55, 0.55, 0.55), (0.25, 0.7, 0.3), (0.25, 0.45, 0.95), (0.95, 0.6, 0.1))
"""Of prior, observed, mirrored and recovered in pictures, sRGB: grey, green, blue, orange."""
_PICTURE = 500  # px
_SIDE = np.deg2rad(35.0)
_TURN = np.deg2rad(25.0)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Extreme3dOptions(RunOptions):
    """How a run of `reconstruct_photo` writes and works.

    Attributes:
        stages, poses, ascii, plain, legacy_names: see `Stages.encode`.
        formats: of "ply" (the stages), "glb" and "obj" (the completed head).
    """

    stages: tuple[str, ...] = STAGES
    poses: tuple[str, ...] = POSES
    formats: tuple[str, ...] = ("ply", "glb")
    ascii: bool = False
    plain: bool = False
    legacy_names: bool = False

    def __post_init__(self) -> None:
        check_choices("stages", self.stages, STAGES)
        check_choices("poses", self.poses, POSES)
        check_choices("formats", self.formats, FORMATS)
        super().__post_init__()

    def affecting_files(self) -> dict[str, Any]:
        names = ("stages", "poses", "formats", "ascii", "plain", "legacy_names")
        return {**{name: getattr(self, name) for name in names}, **super().affecting_files()}

    def writer(self) -> Writer:
        return _StageWriter(self)


@dataclass(frozen=True)
class _StageWriter:
    options: Extreme3dOptions

    def files(self, stem: str, result: Extreme3dFace, image: Picture) -> Iterator[tuple[str, bytes]]:
        options, stages = self.options, result.result.stages
        if "ply" in options.formats:
            yield from stages.encode(
                *(stem, options.stages, options.poses),
                ascii=options.ascii,
                plain=options.plain,
                legacy_names=options.legacy_names,
            )
        others = tuple(name for name in options.formats if name != "ply")
        if result.head is not None:
            yield from result.head.encode(stem, formats=others, image=image)
        else:
            whole = stages.mesh("sparseFull")
            if "glb" in others:
                yield f"{stem}.glb", encode_glb(whole, stem)
            if "obj" in others:
                yield from encode_obj(whole, stem).items()
            yield f"{stem}_overlay.png", encode_png(result.overlay(image))
        yield f"{stem}_source.png", encode_png(source_picture(stages.mesh("final"), size=_PICTURE))

    def pictures(self, result: Extreme3dFace, image: Picture) -> dict[str, Picture]:
        region = around(result.box, image)
        left, top, right, bottom = region
        stages, head = result.result.stages, result.head
        final = stages.mesh("final")
        overlay = result.overlay(image) if head is None else head.overlay(image, region)
        drawn = {
            "photo": reduced(image[top:bottom, left:right], THUMBNAIL),
            "overlay": reduced(overlay, THUMBNAIL),
            **{stage: clay_picture(stages.mesh(stage)) for stage in STAGES[:-1]},
            "final": clay_picture(final),
            "final side": clay_picture(final, _SIDE),
            "source": source_picture(final),
        }
        if head is not None:
            drawn |= {"head": head.render(yaw=-_TURN, size=THUMBNAIL)}
        return drawn


def clay_picture(mesh: Mesh, yaw: float = 0.0, size: int = THUMBNAIL) -> Picture:
    """A mesh as clay, (size, size, 3) uint8; white where it is empty."""
    if not len(mesh.verts):
        return np.full((size, size, 3), 255, np.uint8)
    return render_clay(torch.from_numpy(mesh.verts), _topology(mesh), yaw=yaw, size=size).numpy()


def source_picture(mesh: Mesh, yaw: float = 0.0, size: int = THUMBNAIL) -> Picture:
    """A mesh as clay in the colours of where it comes from (`SOURCE_COLOURS`), (size, size, 3) uint8."""
    if not len(mesh.verts) or mesh.source is None:
        return np.full((size, size, 3), 255, np.uint8)
    linear = torch.tensor(SOURCE_COLOURS)[torch.from_numpy(mesh.source.astype(np.int64))] ** 2.2
    flat = render_textured(torch.from_numpy(mesh.verts), _topology(mesh), linear, yaw=yaw, size=size).numpy()
    shade = clay_picture(mesh, yaw, size).astype(np.float32) / 255
    return (flat * shade).round().astype(np.uint8)


def _topology(mesh: Mesh) -> Topology:
    return Topology(torch.from_numpy(mesh.faces), len(mesh.verts))
