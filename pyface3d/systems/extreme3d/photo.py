"""Extreme 3D Faces on photos: landmarks, the published networks with weights that the user brings, and the geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.detect import Face, detect_faces, face_from_landmarks, landmarks68
from pyface3d.detect.crops import Crop
from pyface3d.detect.faces import DETECTOR
from pyface3d.detect.landmarks import PREDICTOR
from pyface3d.errors import InputError, NoFaceError
from pyface3d.face_models import FaceModel
from pyface3d.io.meshes import Mesh
from pyface3d.io.pictures import encode_png, reduced
from pyface3d.ops import Topology
from pyface3d.reconstruction import POSES, SOURCES, check_choices
from pyface3d.render import render_clay, render_overlay
from pyface3d.systems.extreme3d.geometry_only import Case, Result, reconstruct_case
from pyface3d.systems.extreme3d.predict import Extreme3dNetworks, predict_case
from pyface3d.systems.extreme3d.relief import hide_occluders
from pyface3d.systems.extreme3d.stages import STAGES
from pyface3d.systems.running import THUMBNAIL, RunOptions, Writer, around
from pyface3d.systems.sight import network_sight, resolved_occlusion

_SHAPES = 99  # what the published coefficients are of
_SIDE = np.deg2rad(35.0)


@dataclass(frozen=True, eq=False)
class Extreme3dFace:
    """One face of a photo.

    Attributes:
        face: as it was found.
        landmarks: (68, 2) float32 px of the photo.
        image_size: height and width of the photo, px.
        crop: photo to crop.
        case: what the geometry was given.
        result: what it made of it.
        model: the face model.
        occlusion: "network" where occluders were taken out of the relief, else "none".
    """

    face: Face
    landmarks: NDArray[np.float32]
    image_size: tuple[int, int]
    crop: Crop
    case: Case
    result: Result
    model: FaceModel
    occlusion: str

    def record(self) -> dict[str, Any]:
        """Everything but the meshes, as plain values for ``<stem>.json``; ``crop`` takes photo to crop pixels."""
        source = self.result.stages.completed.source.long()
        shares = torch.bincount(source, minlength=len(SOURCES)).double() / max(len(source), 1)
        return {
            **self.result.record(self.model),
            "image_size": {"height": self.image_size[0], "width": self.image_size[1]},
            "box": [float(value) for value in self.face.box],
            "crop": [*self.crop.matrix.tolist(), [0.0, 0.0, 1.0]],
            "landmarks": self.landmarks.astype(float).tolist(),
            "occlusion": self.occlusion,
            "source_shares": dict(zip(SOURCES, shares.tolist(), strict=True)),
            "quality": {
                "detection_score": float(self.face.score),
                "landmark_rms_crop_px": round(self.result.landmark_rms_px, 4),
            },
        }

    def overlay(self) -> NDArray[np.uint8]:
        """The crop with the foundation as clay over it, (500, 500, 3) uint8 sRGB."""
        foundation = self.result.stages.foundation
        camera, verts = foundation.camera.to(torch.float32), foundation.verts_camera.float()
        return render_overlay(torch.from_numpy(self.case.image), verts, camera, foundation.topology).numpy()


def reconstruct_photo(
    image: NDArray[np.uint8],
    networks: Extreme3dNetworks,
    model: FaceModel,
    landmarks: NDArray[np.floating[Any]] | None = None,
    *,
    detector: str = DETECTOR,
    predictor: str = PREDICTOR,
    occlusion: str | None = None,
    max_faces: int | None = None,
    compat: bool = False,
    device: str = "cpu",
) -> list[Extreme3dFace]:
    """Every face of a photo in all stages.

    Args:
        image: (H, W, 3) uint8 sRGB, upright.
        networks: of `read_networks`.
        model: the Basel Face Model takes the shape network's coefficients, where there is one; any other model, whose
            triangles should be 3 mm or less (`head` at level 1), is fitted to the landmarks.
        landmarks: 68 iBUG points (68, 2) px; then nothing is detected and one face comes back.
        detector, predictor, max_faces, device: see `systems.fit.reconstruct`.
        occlusion: "network": what our part network calls an occluder is taken out of the relief and filled from the
            other side; "colours": nothing is (colour tells too little here); None: the network where it is installed.
        compat: the published decisions; then no occluder is looked for either.

    Returns:
        One result per face, best detection first.

    Raises:
        NoFaceError: no face was found.
        InputError, AssetError: naming the argument or file at fault.
    """
    if max_faces is not None and max_faces < 1:
        raise InputError(f"max_faces must be at least 1, got {max_faces}")
    hide = resolved_occlusion(occlusion) == "network" and not compat
    fit_identity = networks.shape is None or model.identity_dim != _SHAPES
    done = []
    for face, points in _found(image, landmarks, detector, predictor, max_faces, device):
        case, crop = predict_case("face", image, points, networks)
        if hide:
            visible = network_sight(image, points, device).visible
            occluder = torch.from_numpy(crop.warp(visible) <= 0.5) & case.relief.face
            case = replace(case, relief=hide_occluders(case.relief, occluder))
        result = reconstruct_case(case, model, fit_identity=fit_identity, compat=compat)
        size = image.shape[0], image.shape[1]
        done.append(Extreme3dFace(face, points, size, crop, case, result, model, "network" if hide else "none"))
    return done


def _found(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating[Any]] | None,
    detector: str,
    predictor: str,
    max_faces: int | None,
    device: str,
) -> Iterator[tuple[Face, NDArray[np.float32]]]:
    if landmarks is not None:
        yield face_from_landmarks(landmarks), np.asarray(landmarks, np.float32)
        return
    faces = detect_faces(image, detector, device=device)
    if not faces:
        raise NoFaceError(
            f"no face was found (picture of {image.shape[1]} x {image.shape[0]} pixels, detector {detector}); "
            "try --detector dlib-cnn, a larger picture, or give 68 landmarks (--landmarks)"
        )
    for face in faces[:max_faces]:
        yield face, landmarks68(image, face, predictor)[0]


@dataclass(frozen=True)
class Extreme3dOptions(RunOptions):
    """How a run of `reconstruct_photo` writes and works.

    Attributes:
        stages, poses, ascii, plain, legacy_names: see `Stages.encode`.
    """

    stages: tuple[str, ...] = STAGES
    poses: tuple[str, ...] = POSES
    ascii: bool = False
    plain: bool = False
    legacy_names: bool = False

    def __post_init__(self) -> None:
        check_choices("stages", self.stages, STAGES)
        check_choices("poses", self.poses, POSES)
        super().__post_init__()

    def affecting_files(self) -> dict[str, Any]:
        names = ("stages", "poses", "ascii", "plain", "legacy_names")
        return {**{name: getattr(self, name) for name in names}, **super().affecting_files()}

    def writer(self) -> Writer:
        return _StageWriter(self)


@dataclass(frozen=True)
class _StageWriter:
    options: Extreme3dOptions

    def files(self, stem: str, result: Extreme3dFace, image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
        options = self.options
        meshes = result.result.stages.encode(
            *(stem, options.stages, options.poses),
            ascii=options.ascii,
            plain=options.plain,
            legacy_names=options.legacy_names,
        )
        yield from meshes
        yield f"{stem}_overlay.png", encode_png(result.overlay())

    def pictures(self, result: Extreme3dFace, image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        left, top, right, bottom = around(result.face.box, image)
        stages = result.result.stages
        return {
            "photo": reduced(image[top:bottom, left:right], THUMBNAIL),
            "overlay": reduced(result.overlay(), THUMBNAIL),
            **{stage: _clay(stages.mesh(stage), 0.0) for stage in STAGES},
            "final side": _clay(stages.mesh("final"), _SIDE),
        }


def _clay(mesh: Mesh, yaw: float) -> NDArray[np.uint8]:
    if not len(mesh.verts):
        return np.full((THUMBNAIL, THUMBNAIL, 3), 255, np.uint8)
    topology = Topology(torch.from_numpy(mesh.faces), len(mesh.verts))
    return render_clay(torch.from_numpy(mesh.verts), topology, yaw=yaw, size=THUMBNAIL).numpy()
