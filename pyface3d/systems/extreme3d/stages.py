"""From a foundation and its relief to the four stages, as meshes and as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.geometry.rotations import axis_angle_from_rotation, frontal_rotation
from pyface3d.io.meshes import Mesh, encode_ply
from pyface3d.ops import Topology, vertex_normals
from pyface3d.reconstruction import POSES, check_choices
from pyface3d.systems.extreme3d.foundation import Foundation
from pyface3d.systems.extreme3d.merge import FinalFace, merge_layers
from pyface3d.systems.extreme3d.registration import Registration, register_pixels
from pyface3d.systems.extreme3d.relief import DenseFace, Relief, build_dense
from pyface3d.systems.extreme3d.symmetry import CompletedFace, complete_face, to_camera, with_source
from pyface3d.systems.extreme3d.visibility import Visibility, between_pixels, look
from pyface3d.systems.steps import timed

STAGES = ("foundation", "withBump", "sparseFull", "final")
LEGACY_NAMES = {"sparseFull": "sparse_full"}
"""What the published program calls a stage in its files where its own description says otherwise."""
PUBLISHED_FILES = (
    ("foundation", "frontal"), ("foundation", "aligned"), ("withBump", "aligned"), ("final", "frontal"),
)  # fmt: skip
"""The files that the published program writes unless told otherwise."""

_MIRRORED_TRUST = _RECOVERED_TRUST = 0.5  # confidence of what was seen elsewhere, over that of what was seen there


@dataclass(frozen=True, eq=False)
class Stages:
    """Everything between a foundation with its relief and the final mesh; each part follows from those before it.

    ``image`` is the crop (H, W, 3) uint8 sRGB that gives the meshes their colours, or None.
    """

    foundation: Foundation
    relief: Relief
    dense: DenseFace
    visibility: Visibility
    completed: CompletedFace
    registration: Registration
    final: FinalFace
    compat: bool
    image: NDArray[np.uint8] | None = None

    def mesh(self, stage: str, pose: str = "frontal") -> Mesh:
        """One stage: positions in mm, normals, source and confidence, float32; sRGB colours where there is an image.

        Args:
            stage: one of `STAGES`.
            pose: ``"frontal"``: model frame (sparseFull and final moved to the face's plane of symmetry);
                ``"aligned"``: camera frame of the crop.

        Raises:
            InputError: no such stage or pose.
        """
        check_choices("stage", [stage], STAGES)
        check_choices("pose", [pose], POSES)
        foundation, aligned = self.foundation, pose == "aligned"
        if stage == "foundation":
            count = foundation.topology.num_verts
            verts = foundation.verts_camera if aligned else foundation.verts
            nothing = torch.zeros(count)
            return _mesh(verts, foundation.topology.faces, nothing, nothing, self._vertex_colors())
        if stage == "withBump":
            verts, faces, pixels = self.dense.mesh.item(0)
            if not aligned:
                verts = (verts - foundation.translation) @ foundation.rotation
            source, confidence = self._of_pixels(pixels.long())
            return _mesh(verts, faces, source, confidence, self._pixel_colors(pixels.long()))
        if stage == "sparseFull":
            verts, faces = self.completed.verts, foundation.topology.faces
            source, confidence, colors = self.completed.source, self.vertex_confidence(), self._vertex_colors()
        else:
            verts, faces = self.final.verts, self.final.faces
            source, confidence, colors = self._of_final()
        if aligned:
            verts = to_camera(foundation, self.completed.plane, verts)
        return _mesh(verts, faces, source, confidence, colors)

    def vertex_confidence(self) -> Tensor:
        """Confidence of the completed vertices: the trust in the picture there, or half of that on the other side."""
        trust, source = self.visibility.weights, self.completed.source
        other = trust[self.foundation.mirror.clamp_min(0)] * _MIRRORED_TRUST
        found = torch.where(source == 2, other, torch.zeros_like(trust))
        return torch.where(source == 1, trust, torch.where(source == 3, trust * _RECOVERED_TRUST, found))

    def _of_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Source and confidence of dense pixels (N, 2)."""
        observed = torch.ones(len(pixels))
        if self.relief.recovered is None:
            return observed, observed
        filled = self.relief.recovered[pixels[:, 1], pixels[:, 0]]
        return torch.where(filled, 3 * observed, observed), torch.where(filled, _RECOVERED_TRUST * observed, observed)

    def _vertex_colors(self) -> Tensor | None:
        """What the crop shows at each vertex, else at its partner, else the mean of what it shows: (V, 3) uint8."""
        if self.image is None:
            return None
        image, seen, partner = torch.from_numpy(self.image).double(), self.visibility.seen, self.foundation.mirror
        around = between_pixels(self.foundation.verts_image, *self.image.shape[:2])
        seen = seen & around.inside
        colors = around.read(image)
        usual = colors[seen].mean(0) if bool(seen.any()) else image.new_full((3,), 128.0)
        borrowed = torch.where(((partner >= 0) & seen[partner.clamp_min(0)])[:, None], colors[partner], usual)
        return torch.where(seen[:, None], colors, borrowed).round().to(torch.uint8)

    def _pixel_colors(self, pixels: Tensor) -> Tensor | None:
        return None if self.image is None else torch.from_numpy(self.image)[pixels[:, 1], pixels[:, 0]]

    def _of_final(self) -> tuple[Tensor, Tensor, Tensor | None]:
        registration = self.registration
        trust = (registration.shares * self.visibility.weights[registration.anchors]).sum(1)
        source, share = self._of_pixels(registration.pixels)
        sources = [self.completed.source.to(trust), source.to(trust), torch.full_like(trust, 2)]
        trusts = [self.vertex_confidence(), trust * share, trust * share * _MIRRORED_TRUST]
        lengths = torch.tensor([0, len(sources[0]), len(sources[0]) + len(trust)])
        rows = lengths[self.final.layers.long()] + self.final.origin
        on_vertices, on_pixels = self._vertex_colors(), self._pixel_colors(registration.pixels)
        colors = None
        if on_vertices is not None and on_pixels is not None:
            colors = torch.cat([on_vertices, on_pixels, on_pixels])[rows]
        return torch.cat(sources)[rows], torch.cat(trusts)[rows], colors

    def encode(
        self,
        stem: str,
        stages: Iterable[str] = STAGES,
        poses: Iterable[str] = POSES,
        *,
        ascii: bool = False,
        plain: bool = False,
        legacy_names: bool = False,
    ) -> Iterator[tuple[str, bytes]]:
        """Names and contents of ``<stem>_<stage>_<pose>.ply``, one at a time.

        Args:
            ascii, plain: see `io.meshes.encode_ply`; both give the published files.
            legacy_names: ``sparse_full`` for ``sparseFull``.

        Raises:
            InputError: no such stage or pose.
        """
        stages, poses = tuple(stages), tuple(poses)
        check_choices("stages", stages, STAGES)
        check_choices("poses", poses, POSES)
        for stage in stages:
            for pose in poses:
                name = LEGACY_NAMES.get(stage, stage) if legacy_names else stage
                yield f"{stem}_{name}_{pose}.ply", encode_ply(self.mesh(stage, pose), ascii=ascii, plain=plain)

    def record(self) -> dict[str, Any]:
        """Camera, pose and plane for a JSON file: what turns any of the meshes into pixels of the crop."""
        foundation, plane = self.foundation, self.completed.plane
        upright = frontal_rotation(foundation.rotation) @ foundation.rotation
        return {
            "camera": {
                "focal_px": float(foundation.camera.focal[0]),
                "center_px": foundation.camera.center[0].tolist(),
                "height": foundation.camera.height,
                "width": foundation.camera.width,
            },
            "pose": {
                "rotation": foundation.rotation.tolist(),
                "translation_mm": foundation.translation.tolist(),
                "rotation_vector_from_front": axis_angle_from_rotation(upright).tolist(),
            },
            "plane": {"rotation": plane.rotation.tolist(), "translation_mm": plane.translation.tolist()},
            "counts": {
                "pixels": int(self.dense.mesh.is_vertex.sum()),
                "registered": len(self.registration),
                "known_vertices": int((self.completed.source != 0).sum() - (self.completed.source == 2).sum()),
                "mirrored_vertices": int((self.completed.source == 2).sum()),
            },
            "compat": self.compat,
        }


def run_stages(
    foundation: Foundation,
    relief: Relief,
    image: NDArray[np.uint8] | None = None,
    *,
    compact: bool = True,
    compat: bool = False,
    stitch: bool = False,
    timings: dict[str, float] | None = None,
) -> Stages:
    """All stages of one face.

    Args:
        foundation: from `build_foundation`.
        relief: over the same crop.
        image: the crop (H, W, 3) uint8 sRGB, for colours.
        compact: leave vertices that no face uses out of the final mesh.
        compat: the published program's decisions where they differ, see docs/systems/extreme3d.md.
        stitch: join the layers of the final mesh without overlap or seam; not with ``compat``.
        timings: gets the seconds of every step by name.

    Raises:
        InputError: relief or image have not the size of the foundation's crop.
    """
    if image is not None and (image.dtype != np.uint8 or image.shape != (*relief.mm.shape, 3)):
        raise InputError(f"image must be uint8 {(*relief.mm.shape, 3)}, got {image.dtype} {image.shape}")
    if stitch and compat:
        raise InputError("compat keeps the layers of the final mesh apart, as published: leave out stitch or compat")
    spent = {} if timings is None else timings
    with timed(spent, "dense"):
        dense = build_dense(foundation, relief, compat=compat)
    with timed(spent, "visibility"):
        visibility = look(foundation, relief, compat=compat)
    with timed(spent, "symmetry"):
        completed = complete_face(foundation, dense, visibility, compat=compat)
        completed = with_source(completed, foundation, relief.recovered)
    with timed(spent, "registration"):
        registration = register_pixels(foundation, dense, completed, compat=compat)
    with timed(spent, "merge"):
        final = merge_layers(foundation, relief, completed, registration, compact=compact, compat=compat, stitch=stitch)
    return Stages(foundation, relief, dense, visibility, completed, registration, final, compat, image)


def _mesh(verts: Tensor, faces: Tensor, source: Tensor, confidence: Tensor, colors: Tensor | None) -> Mesh:
    normals = vertex_normals(verts, Topology(faces, len(verts)))
    return Mesh(
        verts=verts.float().numpy(),
        faces=faces.to(torch.int32).numpy(),
        normals=normals.float().numpy(),
        colors=None if colors is None else colors.numpy(),
        source=source.to(torch.uint8).numpy(),
        confidence=np.ascontiguousarray(confidence.float().numpy()),
    )
