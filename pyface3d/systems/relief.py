"""Wrinkles and folds on a reconstruction: by our relief network, by shading, or by the network of Extreme 3D Faces."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.relief import ReliefPrediction, faded, load_relief_predictor
from pyface3d.errors import InputError
from pyface3d.fit.relief import SIZE, bake_relief
from pyface3d.fit.shading_relief import PosedHead, ShadingRelief
from pyface3d.fit.texture_areas import face_areas
from pyface3d.reconstruction import Reconstruction

BUMPS = ("none", "net", "sfs", "original")
"""Where relief comes from: nowhere, our network, shape from shading (no weights), or the published network of Extreme
3D Faces with weights users have."""


class ReliefSource(Protocol):
    """What says which relief a face of a picture has; networks do not look at the head that was fitted."""

    def predict(
        self, image: NDArray[np.uint8], points: NDArray[np.floating], head: PosedHead | None = None
    ) -> ReliefPrediction: ...


def relief_source(name: str, weights: Path | None = None, device: str = "cpu") -> ReliefSource | None:
    """What makes the relief ``name``, loaded once; None for ``"none"``.

    Args:
        name: of ``BUMPS``.
        weights: for ``"original"``, a folder as `systems.extreme3d.predict.read_networks` wants it.
        device: where ``"original"`` runs, and the part network for ``"sfs"``; our relief network is small, and runs
            where its pictures are.

    Raises:
        InputError: ``"original"`` without ``weights``.
        AssetError: weights are missing or damaged; the message says where they come from.
    """
    if name == "original":
        if weights is None:
            raise InputError(
                "bump 'original' needs weights: give --weights FOLDER with ckpt_109_grad.pth.tar of Extreme 3D Faces, "
                "or with what 'pyface3d convert checkpoint' makes of it"
            )
        return _original(weights.resolve(), device)
    if name == "sfs":
        return ShadingRelief(device)
    return load_relief_predictor() if name == "net" else None


@lru_cache(maxsize=2)
def _original(folder: Path, device: str) -> ReliefSource:
    from pyface3d.systems.extreme3d.predict import read_networks

    return read_networks(folder, device)


def posed_head(result: Reconstruction) -> PosedHead:
    """The head of a result as it stands in its picture, for a `ReliefSource`."""
    visible = None if result.occlusion_mask is None else result.occlusion_mask.numpy()
    areas = face_areas(result.model.to("cpu"))
    return PosedHead(result.verts_aligned.float(), result.camera, result.topology, areas, visible)


def check_bump(name: str, model: Any) -> None:
    """Raise unless this relief can be made for this face model.

    Raises:
        InputError: no such relief, or the model has no texture chart to lay it out in.
    """
    if name not in BUMPS:
        raise InputError(f"bump must be one of {', '.join(BUMPS)}, got {name!r}")
    if name != "none" and model.topology.uvs is None:
        raise InputError(
            f"bump {name!r} needs a face model with texture coordinates, and {model.name!r} has none; "
            "take --model head, or --bump none"
        )


def with_relief(
    result: Reconstruction, image: NDArray[np.uint8], predictor: ReliefSource | None = None, size: int = SIZE
) -> Reconstruction:
    """The result with relief in its chart, where the picture shows the face.

    Args:
        result: with landmarks; relief is kept to its ``occlusion_mask`` where it has one.
        image: the picture that it is of, (H, W, 3) uint8 sRGB.
        predictor: None takes the shipped network.
        size: texels a side.

    Raises:
        InputError: the model has no texture chart, or the result no landmarks.
        AssetError: the network's weights are missing or damaged.
    """
    check_bump("net", result.model)
    if result.landmarks is None:
        raise InputError("relief needs the result's landmarks, and it has none")
    start = time.perf_counter()
    head = posed_head(result)
    visible = np.ones(result.image_size, np.bool_) if head.visible is None else head.visible
    prediction = (predictor or load_relief_predictor()).predict(image, result.landmarks.numpy(), head)
    bump = bake_relief(
        prediction,
        faded(visible, prediction.crop),
        result.camera.project(head.verts_camera[None])[0],
        head.verts_camera,
        result.topology,
        head.areas.skin,
        size,
    )
    return replace(result, bump=bump, timings={**result.timings, "relief": time.perf_counter() - start})
