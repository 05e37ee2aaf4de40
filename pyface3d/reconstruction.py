"""The one result of every system: a frozen record of a reconstructed face, and its way into files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.geometry import Camera, euler_from_rotation
from pyface3d.geometry.bump_maps import levels_from_relief
from pyface3d.io.color import linear_to_srgb
from pyface3d.io.meshes import Mesh, Morphs, encode_glb, encode_obj, encode_ply
from pyface3d.io.pictures import encode_png, reduced
from pyface3d.io.records import encode_json, versions
from pyface3d.io.staging import staged_files
from pyface3d.ops import Topology, sample_texture, vertex_normals
from pyface3d.surface_detail import dense_face, normal_map

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

STAGES = ("foundation", "withBump")
"""Stages of a result, roughest first; withBump exists where there is relief. Later systems add sparseFull and final."""
POSES = ("frontal", "aligned")
FORMATS = ("ply", "obj", "glb")
_OVERLAY_SIZE = 1600
SOURCES = ("prior", "observed", "mirrored", "recovered")
"""What ``Reconstruction.source`` counts: index 0 is taken from the model alone, and so on."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One face of one picture. Tensors lie on the CPU and must not be written to; refinement makes a new one.

    Attributes:
        image_size: height and width of the upright picture, px.
        box: x0, y0, x1, y1 of the detected face, px.
        crop: picture pixels to crop pixels as a homogeneous matrix, (3, 3); None where the system uses no crop.
        camera: the camera of the picture, B = 1.
        coefficients: by name: ``identity`` (I,) σ units, ``expression`` (E,), ``rotation`` (3, 3) model to camera,
            ``translation`` (3,) mm; where fitted ``albedo`` (A,) and ``light`` (9, 3).
        verts: (V, 3) mm, model frame (+x right of the picture, +y up, +z out of the face).
        verts_aligned: (V, 3) mm, camera frame: ``rotation @ verts + translation``.
        topology: triangles and texture coordinates.
        texture: (Ht, Wt, 3) linear RGB over the UV chart, or None.
        bump: relief in the chart of ``topology``, mm along the normal, (T, T), or None; 0 where no skin is seen.
        normals: (V, 3) unit, model frame.
        occlusion_mask: (H, W) bool over the picture, True where the face is seen; None where nothing looked for it.
        source: (V,) uint8: 0 prior, 1 observed, 2 mirrored, 3 recovered.
        confidence: (V,) in [0, 1].
        landmarks: (68, 2) px, as found or given; None where the system uses none.
        system: name of the system that made this.
        model: the face model; gives the named expressions of the GLB.
        timings: seconds by name of step.
        quality: figures by name that tell a doubtful result from a good one; which ones depends on the system.
        occlusion_from: who says what ``occlusion_mask`` says: "network" (our part network), "colours" (of the
            person's skin), "given" (the caller); None without a mask.

    Raises:
        InputError: a tensor of the wrong shape, by name.
    """

    image_size: tuple[int, int]
    box: tuple[float, float, float, float]
    crop: Tensor | None
    camera: Camera
    coefficients: Mapping[str, Tensor]
    verts: Tensor
    verts_aligned: Tensor
    topology: Topology
    texture: Tensor | None
    bump: Tensor | None
    normals: Tensor
    occlusion_mask: Tensor | None
    source: Tensor
    confidence: Tensor
    landmarks: Tensor | None
    system: str
    model: FaceModel
    timings: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    occlusion_from: str | None = None

    def __post_init__(self) -> None:
        count = self.topology.num_verts
        wanted: dict[str, tuple[int | None, ...]] = {
            **dict.fromkeys(("verts", "verts_aligned", "normals"), (count, 3)),
            **dict.fromkeys(("source", "confidence"), (count,)),
            "texture": (None, None, 3),
            "bump": (None, None),
            "occlusion_mask": self.image_size,
            "landmarks": (68, 2),
            "crop": (3, 3),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is None:
                continue
            fits = len(value.shape) == len(shape)
            if not fits or any(size not in (None, given) for size, given in zip(shape, value.shape, strict=True)):
                raise InputError(f"{name} must have shape {shape}, got {tuple(value.shape)}")
            if value.device.type != "cpu":
                raise InputError(f"{name} must lie on the CPU, got {value.device}")
        missing = {"identity", "expression", "rotation", "translation"} - set(self.coefficients)
        if missing:
            raise InputError(f"coefficients must hold {', '.join(sorted(missing))}, got {sorted(self.coefficients)}")

    @property
    def rotation(self) -> Tensor:
        """Model frame to camera frame, (3, 3)."""
        return self.coefficients["rotation"]

    @property
    def translation(self) -> Tensor:
        """Origin of the model frame in the camera frame, (3,) mm."""
        return self.coefficients["translation"]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that `stage` can give for this result."""
        return STAGES if self.bump is not None else STAGES[:1]

    def stage(self, name: str = "foundation", pose: str = "frontal") -> Mesh:
        """The mesh of one stage: positions in mm, sRGB colour per vertex, provenance, texture.

        Args:
            name: one of ``stages``.
            pose: ``"frontal"`` for the model frame, ``"aligned"`` for the camera frame of the picture.

        Raises:
            InputError: no such stage or pose.
        """
        check_choices("stage", [name], self.stages)
        check_choices("pose", [pose], POSES)
        if name == "withBump":
            return self._dense(pose)
        verts, normals = self.verts, self.normals
        if pose == "aligned":
            verts, normals = self.verts_aligned, normals @ self.rotation.T.to(normals.dtype)
        topology, texture = self.topology, None
        if self.texture is not None and topology.uvs is not None:
            texture = srgb_bytes(self.texture)
        return Mesh(
            verts=_float32(verts),
            faces=topology.faces.numpy(),
            normals=_float32(normals),
            colors=self._vertex_colors(),
            source=self.source.numpy().astype(np.uint8),
            confidence=_float32(self.confidence),
            uvs=None if topology.uvs is None else _float32(topology.uvs),
            uv_faces=None if topology.uv_faces is None else topology.uv_faces.numpy(),
            texture=texture,
        )

    def _dense(self, pose: str) -> Mesh:
        assert self.bump is not None
        face = getattr(self.model, "regions", {}).get("face")
        dense = dense_face(self.verts_aligned.float(), self.camera, self.topology, self.bump, face)
        verts, normals, colors, texture = dense.verts, dense.normals, None, None
        if pose == "frontal":
            verts, normals = (verts - self.translation) @ self.rotation, normals @ self.rotation
        if self.texture is not None:
            texture, uvs = srgb_bytes(self.texture), dense.uvs[None, None].to(self.texture)
            colors = srgb_bytes(sample_texture(self.texture[None], uvs)[0, 0])
        return Mesh(
            verts=_float32(verts),
            faces=dense.faces.numpy(),
            normals=_float32(normals),
            colors=colors,
            source=self.source[dense.nearest].numpy().astype(np.uint8),
            confidence=_float32(self.confidence[dense.nearest]),
            uvs=_float32(dense.uvs),
            uv_faces=dense.faces.numpy(),
            texture=texture,
        )

    def morph_targets(self) -> tuple[Tensor, Morphs]:
        """The person's neutral face and named expressions.

        Returns:
            The neutral verts (V, 3) mm, model frame, and the model's expressions at this identity, each as its
            displacement at weight 1 together with that of the normals. The morphs' ``weights`` are the fitted
            expression, so ``neutral + Σ weight · offset`` is ``verts``.
        """
        identity, weights = self.coefficients["identity"], self.coefficients["expression"]
        names = tuple(self.model.expression_names)
        rows = torch.cat([weights.new_zeros(1, len(weights)), torch.eye(len(weights), dtype=weights.dtype)])
        shapes = self.model.to("cpu").vertices(identity.expand(len(rows), -1), rows).to(self.verts.dtype)
        offsets = shapes[1:] - shapes[:1]
        neutral = self.verts - torch.einsum("e,evc->vc", weights.to(offsets.dtype), offsets)
        base = vertex_normals(neutral, self.topology)
        turned = vertex_normals(neutral + offsets, self.topology) - base
        return neutral, Morphs(names, _float32(offsets), _float32(turned), _float32(weights))

    def animatable(self) -> Mesh:
        """The frontal mesh that a GLB holds: the neutral face, expressions as morph targets, relief as normal map."""
        mesh = self.stage("foundation", "frontal")
        if self.bump is not None:
            mesh = replace(mesh, normal_map=normal_map(self.verts.float(), self.topology, self.bump))
        if not self.model.expression_names:
            return mesh
        neutral, morphs = self.morph_targets()
        normals = _float32(vertex_normals(neutral, self.topology))
        return Mesh(**{**_arrays(mesh), "verts": _float32(neutral), "normals": normals, "morphs": morphs})

    def encode(
        self,
        stem: str = "face",
        stages: Iterable[str] = STAGES[:1],
        poses: Iterable[str] = POSES,
        formats: Iterable[str] = ("ply", "glb"),
        *,
        ascii: bool = False,
        plain: bool = False,
        image: NDArray[np.uint8] | None = None,
    ) -> Iterator[tuple[str, bytes]]:
        """The files of `export` but the JSON, one at a time: name and content; same arguments and errors."""
        stages, poses, formats = tuple(stages), tuple(poses), tuple(formats)
        check_choices("stages", stages, self.stages)
        check_choices("poses", poses, POSES)
        check_choices("formats", formats, FORMATS)
        if "ply" in formats:
            for stage in stages:
                for pose in poses:
                    yield f"{stem}_{stage}_{pose}.ply", encode_ply(self.stage(stage, pose), ascii=ascii, plain=plain)
        if "obj" in formats:
            yield from encode_obj(self.stage(), stem).items()
        if "glb" in formats:
            yield f"{stem}.glb", encode_glb(self.animatable(), stem)
        if self.bump is not None:
            yield f"{stem}_bump.png", encode_png(levels_from_relief(self.bump.numpy(), gain=1.0))
        if self.occlusion_mask is not None:
            yield f"{stem}_occlusion.png", encode_png(self.occlusion_mask.numpy().astype(np.uint8) * 255)
        if image is not None:
            yield f"{stem}_overlay.png", encode_png(self.overlay(image))

    def export(
        self,
        folder: str | os.PathLike[str],
        stem: str = "face",
        stages: Iterable[str] = STAGES[:1],
        poses: Iterable[str] = POSES,
        formats: Iterable[str] = ("ply", "glb"),
        *,
        ascii: bool = False,
        plain: bool = False,
        image: NDArray[np.uint8] | None = None,
    ) -> list[Path]:
        """Write the result to ``folder``; all files appear at the end, each whole.

        Args:
            folder: made when missing.
            stem: beginning of every file name.
            stages, poses: for which PLY files ``<stem>_<stage>_<pose>.ply`` are written.
            formats: of ``"ply"``, ``"obj"`` (with ``.mtl`` and ``.png``) and ``"glb"``.
            ascii, plain: for PLY, see `io.meshes.encode_ply`.
            image: the picture, (H, W, 3) uint8 sRGB; with it ``<stem>_overlay.png`` is written.

        Returns:
            The paths of all files, ``<stem>.json`` (see `record`) last.

        Raises:
            InputError: a stage, pose or format that does not exist.
            OutputError: a file cannot be written.
        """
        with staged_files(folder) as files:
            for name, data in self.encode(stem, stages, poses, formats, ascii=ascii, plain=plain, image=image):
                files.write_bytes(name, data)
            files.write_bytes(f"{stem}.json", encode_json(self.record()))
        return files.written

    def record(self) -> dict[str, Any]:
        """Everything but the meshes, as plain values for a JSON file; lengths in mm and px, angles in degrees."""
        yaw, pitch, roll = (float(angle.rad2deg()) for angle in euler_from_rotation(self.rotation.double()))
        tensors = {name: value for name, value in self.coefficients.items() if name not in ("rotation", "translation")}
        shares = torch.bincount(self.source.long(), minlength=len(SOURCES)).double() / max(len(self.source), 1)
        return {
            "status": "ok",
            "system": self.system,
            "model": _model_record(self.model),
            "image_size": {"height": self.image_size[0], "width": self.image_size[1]},
            "box": [float(value) for value in self.box],
            "crop": _rows(self.crop),
            "camera": {
                "focal_px": float(self.camera.focal[0]),
                "center_px": _rows(self.camera.center[0]),
                "height": self.camera.height,
                "width": self.camera.width,
            },
            "pose": {
                "yaw_deg": yaw,
                "pitch_deg": pitch,
                "roll_deg": roll,
                "rotation": _rows(self.rotation),
                "translation_mm": _rows(self.translation),
            },
            "coefficients": {name: _rows(value) for name, value in tensors.items()},
            "expression_names": list(self.model.expression_names),
            "landmarks": _rows(self.landmarks),
            "occlusion": {"from": self.occlusion_from},
            "source_shares": {name: float(share) for name, share in zip(SOURCES, shares, strict=True)},
            "quality": {name: round(float(value), 4) for name, value in self.quality.items()},
            "versions": versions(),
            "timings_s": {name: round(float(value), 4) for name, value in self.timings.items()},
        }

    def render(self, yaw: float = 0.0, pitch: float = 0.0, size: int = 512, textured: bool = True) -> NDArray[np.uint8]:
        """A picture of the head in front of a plain background.

        Args:
            yaw, pitch: radians the head is turned from straight ahead (geometry.rotation_from_euler).
            size: height and width, px.
            textured: with its texture, else as clay with its relief; a result without texture is always clay.

        Returns:
            (size, size, 3) uint8, sRGB.
        """
        from pyface3d.render import render_clay, render_textured

        if textured and self.texture is not None:
            picture = render_textured(self.verts, self.topology, self.texture, yaw=yaw, pitch=pitch, size=size)
        else:
            picture = render_clay(self.verts, self.topology, bump=self.bump, yaw=yaw, pitch=pitch, size=size)
        return picture.numpy()

    def overlay(self, image: NDArray[np.uint8], region: tuple[int, int, int, int] | None = None) -> NDArray[np.uint8]:
        """The picture with the aligned mesh as clay over it.

        Args:
            image: the picture, (H, W, 3) uint8 sRGB.
            region: x0, y0, x1, y1 of a part of it, px; the whole when left out.

        Returns:
            The region, its longer side reduced to 1600 px where it is longer, (h, w, 3) uint8 sRGB.
        """
        from pyface3d.render import render_overlay

        left, top, right, bottom = region or (0, 0, image.shape[1], image.shape[0])
        photo = reduced(image[top:bottom, left:right], _OVERLAY_SIZE)
        height, width = photo.shape[:2]
        one = self.camera.focal.new_ones(1)
        camera = self.camera.cropped(one * left, one * top, one * (width / (right - left)), height, width)
        clay = self.verts_aligned, camera, self.topology
        return render_overlay(torch.from_numpy(photo), *clay, bump=self.bump).numpy()

    def _vertex_colors(self) -> NDArray[np.uint8] | None:
        topology = self.topology
        if self.texture is None or topology.uvs is None or topology.uv_faces is None:
            return None
        # A vertex on a seam has several places in the chart; the one of its first triangle is taken. Of equal
        # indices numpy keeps the last assignment, hence the reversed order.
        place = np.zeros(topology.num_verts, np.int64)
        place[topology.faces.numpy().reshape(-1)[::-1]] = topology.uv_faces.numpy().reshape(-1)[::-1]
        uvs = topology.uvs[torch.from_numpy(place)].to(self.texture.dtype)
        return srgb_bytes(sample_texture(self.texture[None], uvs[None, None])[0, 0])


def check_choices(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise unless every one of ``given`` is in ``known``.

    Raises:
        InputError: naming ``what``, the stranger and the choices.
    """
    known = tuple(known)
    for value in given:
        if value not in known:
            raise InputError(f"{what} must be of {', '.join(known)}, got {value!r}")


def srgb_bytes(linear: Tensor) -> NDArray[np.uint8]:
    """Linear RGB of any shape as sRGB bytes."""
    encoded: NDArray[np.uint8] = (linear_to_srgb(linear.clamp(0, 1)) * 255).round().to(torch.uint8).numpy()
    return encoded


def _float32(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().to(torch.float32).contiguous().numpy()


def _rows(tensor: Tensor | None) -> Any:
    # Six digits after the point: micrometres, and far below a thousandth of a pixel or of a standard deviation.
    return None if tensor is None else np.round(tensor.detach().double().numpy(), 6).tolist()


def _arrays(mesh: Mesh) -> dict[str, Any]:
    return {name: getattr(mesh, name) for name in mesh.__dataclass_fields__}


def _model_record(model: FaceModel) -> dict[str, Any]:
    known = {key: model.card[key] for key in ("licence", "sha256") if model.card.get(key)}
    return {"name": model.name, **known}
