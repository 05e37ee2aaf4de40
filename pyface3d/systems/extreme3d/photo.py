"""Extreme 3D Faces on photos: the default fit or the published networks, relief, and the geometry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.detect.crops import Crop
from pyface3d.detect.faces import DETECTOR
from pyface3d.detect.landmarks import PREDICTOR
from pyface3d.detect.relief import has_relief_network
from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit.shading_relief import PosedHead
from pyface3d.fit.texture_areas import face_areas
from pyface3d.geometry.bump_maps import CROP_SIZE
from pyface3d.reconstruction import SOURCES, Reconstruction
from pyface3d.render import render_overlay
from pyface3d.systems import fit as default_fit
from pyface3d.systems.extreme3d.carried import face_relief, rounding
from pyface3d.systems.extreme3d.completed import completed_head, uncovered
from pyface3d.systems.extreme3d.geometry_only import Result
from pyface3d.systems.extreme3d.placing import FoundFace, carried_face, published_faces
from pyface3d.systems.extreme3d.predict import Extreme3dNetworks
from pyface3d.systems.extreme3d.recovery import References, face_chart, recover_relief
from pyface3d.systems.extreme3d.relief import Relief, hide_occluders
from pyface3d.systems.extreme3d.stages import run_stages
from pyface3d.systems.fit import Fit
from pyface3d.systems.relief import BUMPS, ReliefSource, posed_head, relief_source
from pyface3d.systems.sight import network_sight, resolved_occlusion
from pyface3d.systems.steps import one_thread, timed

HEAD_LEVEL = 1
"""Level of ``head`` that the stages use: triangles of some 3 mm; the pixels need them."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Extreme3dFace:
    """One face of a photo.

    Attributes:
        box: x0, y0, x1, y1 of the detected face, px.
        landmarks: (68, 2) float32 px of the photo.
        image_size: height and width of the photo, px.
        crop: photo to crop.
        picture: the crop, (500, 500, 3) uint8 sRGB.
        result: the stages, and what they are made of.
        model: the face model of the stages.
        bump: where the relief comes from, of `systems.relief.BUMPS`.
        occlusion: who says what hides the face: "network", "given", or "none" where nobody was asked.
        recovery: what was filled in under occluders, for the record.
        head: the completed face on the whole head, with the photo's texture; None where the published networks and
            their pose were used.
        timings: seconds by name of step.
        quality: figures that tell a doubtful result from a good one.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    image_size: tuple[int, int]
    crop: Crop
    picture: Picture
    result: Result
    model: FaceModel
    bump: str
    occlusion: str
    recovery: dict[str, Any]
    head: Reconstruction | None = None
    timings: dict[str, float] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Everything but the meshes, as plain values for ``<stem>.json``; ``crop`` takes photo to crop pixels."""
        source = self.result.stages.completed.source.long()
        shares = torch.bincount(source, minlength=len(SOURCES)).double() / max(len(source), 1)
        return {
            **self.result.record(self.model),
            "image_size": {"height": self.image_size[0], "width": self.image_size[1]},
            "box": [float(value) for value in self.box],
            "crop": [*self.crop.matrix.tolist(), [0.0, 0.0, 1.0]],
            "landmarks": self.landmarks.astype(float).tolist(),
            "bump": self.bump,
            "occlusion": {"from": self.occlusion},
            "recovery": self.recovery,
            "source_shares": dict(zip(SOURCES, shares.tolist(), strict=True)),
            "quality": {name: round(float(value), 4) for name, value in self.quality.items()},
            "timings_s": {name: round(value, 4) for name, value in self.timings.items()},
        }

    def overlay(self, image: Picture) -> Picture:
        """The photo (H, W, 3) with the completed head as clay over it; the crop with the foundation where there is
        none."""
        if self.head is not None:
            return self.head.overlay(image)
        foundation = self.result.stages.foundation
        camera, verts = foundation.camera.to(torch.float32), foundation.verts_camera.float()
        return render_overlay(torch.from_numpy(self.picture), verts, camera, foundation.topology).numpy()


def resolved_bump(bump: str | None, weights: Path | None) -> str:
    """Where relief comes from: as told, else by the weights that are given, else by our network where it is installed.

    Raises:
        InputError: no such relief.
    """
    if bump is None:
        if weights is not None:
            return "original"
        return "net" if has_relief_network() else "sfs"
    if bump not in BUMPS:
        raise InputError(f"bump must be one of {', '.join(BUMPS)}, got {bump!r}")
    return bump


def reconstruct_photo(
    image: Picture,
    landmarks: NDArray[np.floating[Any]] | None = None,
    *,
    model: str | FaceModel = "head",
    bump: str | None = None,
    weights: Path | None = None,
    source: ReliefSource | None = None,
    fit: Fit = "full",
    detector: str = DETECTOR,
    predictor: str = PREDICTOR,
    occlusion: str | None = None,
    visible: NDArray[Any] | None = None,
    hidden: NDArray[np.bool_] | None = None,
    recovery: bool = True,
    references: References | None = None,
    max_faces: int | None = None,
    compat: bool = False,
    stitch: bool = False,
    device: str = "cpu",
) -> list[Extreme3dFace]:
    """Every face of a photo in all stages.

    Head, pose and camera are those of the default fit (`systems.fit.reconstruct`), carried into the crop. Where the
    published shape network is at hand and ``model`` is what its coefficients are of, and with ``compat``, they are
    found as the published program does: by its network, from 68 landmarks and with its camera.

    Args:
        image: (H, W, 3) uint8 sRGB, upright.
        landmarks: 68 iBUG points (68, 2) px; then nothing is detected and one face comes back.
        model: a face model, whose triangles should be 3 mm or less, or a name or path for `load_face_model`.
        bump: where relief comes from, of `systems.relief.BUMPS`; None: `resolved_bump`.
        weights: folder with the published networks (`read_networks`), for ``bump="original"``.
        source: what makes the relief instead, loaded: `Extreme3dNetworks`, or a predictor with weights of your own.
        fit, detector, predictor, occlusion, visible, hidden, max_faces, device: see `systems.fit.reconstruct`.
            Occluders are what the part network, ``visible`` or ``hidden`` says; colours tell too little here. Faces
            found as the published program finds them know ``hidden`` only where the part network is asked.
        recovery: fill in the relief under occluders (`recover_relief`); else what they hide is completed like the
            far side of the face.
        references: for the recovery, of `load_references`; None: it has the face's own other side alone.
        compat: the published decisions; then no occluder is looked for either.
        stitch: join the layers of the final mesh (`run_stages`).

    Returns:
        One result per face, best detection first. On the CPU the same bits whatever torch's thread count is.

    Raises:
        NoFaceError: no face was found.
        InputError, AssetError: naming the argument or file at fault.
    """
    if max_faces is not None and max_faces < 1:
        raise InputError(f"max_faces must be at least 1, got {max_faces}")
    if source is None:
        bump = resolved_bump(bump, weights)
        source = relief_source(bump, weights, device)
    else:
        bump = "original" if isinstance(source, Extreme3dNetworks) else bump or "net"
    occlusion = "none" if compat else resolved_occlusion(occlusion)
    coarse, fine = load_models(model)
    published = source if isinstance(source, Extreme3dNetworks) else None
    if compat or (published is not None and published.gives_identity_of(fine)):
        faces: Iterable[FoundFace] = published_faces(
            image, landmarks, fine, published, detector, predictor, max_faces, compat, device
        )
    else:
        results = default_fit.reconstruct(
            *(image, landmarks),
            model=coarse,
            fit=fit,
            detector=detector,
            predictor=predictor,
            occlusion=occlusion,
            visible=visible,
            hidden=hidden,
            max_faces=max_faces,
            device=device,
        )
        faces = (carried_face(image, result, fine) for result in results)
    how = _How(fine, bump, source, occlusion, hidden, recovery, references, compat, stitch, device)
    with one_thread():
        return [_completed(image, face, how) for face in faces]


def load_models(model: str | FaceModel) -> tuple[FaceModel, FaceModel]:
    """What is fitted, and the same model as fine as the stages want it: ``head`` at level 1, any other as it is.

    Raises:
        AssetError, InputError: of `load_face_model`.
    """
    if not isinstance(model, str):
        return model, model
    return load_face_model(model), load_face_model(model, HEAD_LEVEL if model == "head" else 0)


@dataclass(frozen=True)
class _How:
    """How faces are completed, see `reconstruct_photo`."""

    model: FaceModel
    bump: str
    source: ReliefSource | None
    occlusion: str
    hidden: NDArray[np.bool_] | None
    recover: bool
    references: References | None
    compat: bool
    stitch: bool
    device: str


def _completed(image: Picture, found: FoundFace, how: _How) -> Extreme3dFace:
    timings, foundation, model = dict(found.timings), found.placed.foundation, how.model
    with timed(timings, "relief"):
        if isinstance(how.source, Extreme3dNetworks):
            relief = how.source.relief(found.picture)
        else:
            said = None if how.source is None else _said(how.source, image, found, model)
            relief = face_relief(foundation, model, None if said is None else torch.from_numpy(said))
    picture, asked = found.picture, "none"
    recovery: dict[str, Any] = {"state": "none", "occluded_share": 0.0}
    seen: NDArray[Any] | None = None
    if found.fitted is not None and found.fitted.occlusion_from in ("network", "given"):
        assert found.fitted.occlusion_mask is not None
        seen, asked = found.fitted.occlusion_mask.numpy(), found.fitted.occlusion_from
    elif found.fitted is None and how.occlusion == "network":
        with timed(timings, "parts"):
            sight = network_sight(image, found.points, how.device)
            seen, asked = (sight if how.hidden is None else sight.without(how.hidden)).visible, "network"
    if seen is not None:
        with timed(timings, "recovery"):
            occluder = torch.from_numpy(found.crop.warp(np.ascontiguousarray(seen, np.float32)) <= 0.5) & relief.face
            if how.recover and bool(relief.mm.any()):
                relief, recovery = _recovered(relief, occluder, found, how)
                if found.fitted is not None and relief.recovered is not None:
                    picture = uncovered(picture, found.fitted, foundation, relief.recovered)
            else:
                share = float(occluder.sum() / max(int(relief.face.sum()), 1))
                relief, recovery = hide_occluders(relief, occluder), {"state": "hidden", "occluded_share": share}
    if not how.compat:
        with timed(timings, "rounding"):
            relief = replace(relief, rounding=rounding(foundation))
    stages = run_stages(foundation, relief, picture, compat=how.compat, stitch=how.stitch, timings=timings)
    head = None
    if found.fitted is not None:
        with timed(timings, "head"):
            head = completed_head(found.fitted, stages, found.crop)
    size = image.shape[0], image.shape[1]
    return Extreme3dFace(
        *(found.box, found.points, size, found.crop, found.picture, Result(stages, found.placed), model),
        *(how.bump, asked, recovery, head, timings, found.quality),
    )


def _recovered(relief: Relief, occluder: Tensor, found: FoundFace, how: _How) -> tuple[Relief, dict[str, Any]]:
    names, actions = how.model.expression_names, None
    if names:
        actions = dict(zip(names, found.placed.expression.tolist(), strict=True))
    chart = face_chart(how.model)
    return recover_relief(found.placed.foundation, relief, occluder, chart, how.references, actions=actions)


def _said(source: ReliefSource, image: Picture, found: FoundFace, model: FaceModel) -> NDArray[np.float32]:
    """Relief in the pixels of the crop, (500, 500) mm along the normal."""
    if found.fitted is not None:
        return source.predict(image, found.points, posed_head(found.fitted)).over(found.crop)
    foundation = found.placed.foundation
    camera, verts = foundation.camera.to(torch.float32), foundation.verts_camera.float()
    head = PosedHead(verts, camera, foundation.topology, face_areas(model))
    same = Crop(np.eye(2, 3), CROP_SIZE, CROP_SIZE)
    return source.predict(found.picture, found.crop.to_crop(found.points), head).over(same)
