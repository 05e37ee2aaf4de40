"""GNM head (Google, version 3): identity, expression, and four joints for neck and eyes. Licence: Apache-2.0.

Reads ``gnm_head.npz`` as published. Its arrays name no unit and no axes; the unit is told from the size of the
template (a head is some 0.3 m tall), y is taken as up and z as out of the face, as in our model frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import AssetError, InputError
from pyface3d.face_models.arrays import Field, check_index, other_arrays, read_arrays
from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.geometry import rotation_from_axis_angle
from pyface3d.ops import Topology

SCHEMA: dict[str, Field] = {
    "version": ("U", ()),
    "variant": ("U", ()),
    "template_vertex_positions": ("f", ("V", 3)),
    "template_joint_positions": ("f", ("J", 3)),
    "vertex_identity_basis": ("f", ("I", "V", 3)),
    "joint_identity_basis": ("f", ("I", "J", 3)),
    "expression_basis": ("f", ("E", "V", 3)),
    "identity_names": ("U", ("I",)),
    "expression_names": ("U", ("E",)),
    "joint_names": ("U", ("J",)),
    "vertex_group_names": ("U", ("G",)),
    "mesh_component_names": ("U", ("C",)),
    "joint_parent_indices": ("iu", ("J",)),
    "skinning_weights": ("f", ("J", "V")),
    "joint_regressor": ("f", ("J", "V")),
    "pose_correctives_regressor": ("f", ("P", "W")),
    "quads": ("iu", ("Q", 4)),
    "triangles": ("iu", ("T", 3)),
    "quad_uvs": ("f", ("Q", 4, 2)),
    "triangle_uvs": ("f", ("T", 3, 2)),
    "mirror_indices": ("iu", ("V",)),
    "bone_aligned_template_joint_orientations": ("f", ("J", 3, 3)),
    "vertex_groups": ("f", ("G", "V")),
}


@dataclass(frozen=True, eq=False)
class GnmFaceModel:
    """Linear bind shape, pose correctives, then linear blend skinning; see `FaceModel`.

    Attributes:
        bind: the model without joints.
        joint_names: J names.
        joint_parents: parent of each joint, -1 for the root; parents come before their children.
        joints: rest positions, (J, 3) mm.
        joint_identity_basis: (I, J, 3) mm.
        skinning_weights: (J, V).
        pose_correctives: offsets per entry of (rotation - identity), (9 J, 3 V) mm.
    """

    bind: LinearFaceModel
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]
    joints: Tensor
    joint_identity_basis: Tensor
    skinning_weights: Tensor
    pose_correctives: Tensor
    name: str = "gnm"
    _other_precision: dict[torch.dtype, GnmFaceModel] = field(default_factory=dict, init=False, repr=False)

    @property
    def identity_dim(self) -> int:
        return self.bind.identity_dim

    @property
    def expression_dim(self) -> int:
        return self.bind.expression_dim

    @property
    def albedo_dim(self) -> int:
        return 0

    @property
    def albedo_kind(self) -> Literal["uv", "vertex", "none"]:
        return "none"

    @property
    def topology(self) -> Topology:
        return self.bind.topology

    @property
    def expression_names(self) -> tuple[str, ...]:
        return self.bind.expression_names

    @property
    def mirror(self) -> Tensor:
        return self.bind.mirror

    @property
    def regions(self) -> Mapping[str, Tensor]:
        return self.bind.regions

    @property
    def card(self) -> Mapping[str, Any]:
        return self.bind.card

    def vertices(
        self, identity: Tensor, expression: Tensor, pose: Tensor | None = None, translation: Tensor | None = None
    ) -> Tensor:
        """Heads for coefficients and joint rotations.

        Args:
            identity: standard deviations, (B, I) or (1, I), float32 or float64.
            expression: coefficients, (B, E) or (1, E).
            pose: rotation of each joint against its parent: axis-angle (B, J, 3) in radians or matrices (B, J, 3, 3);
                None leaves all joints at rest.
            translation: added to everything, (B, 3) mm.

        Returns:
            (B, V, 3) mm in the model frame; differentiable in every argument.

        Raises:
            InputError: naming the argument, what was wanted and what was given.
        """
        verts = self.bind.vertices(identity, expression)
        if pose is not None:
            verts = self._in_precision(identity.dtype)._posed(verts, identity, self._rotations(pose, identity.dtype))
        if translation is not None:
            if translation.dim() != 2 or translation.shape[1] != 3:
                raise InputError(f"translation must have shape (B, 3), got {tuple(translation.shape)}")
            verts = verts + translation[:, None]
        return verts

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Raises InputError: the published file holds no colours."""
        return self.bind.albedo(coefficients)

    def landmarks(self, scheme: str = "ibug68") -> LandmarkEmbedding:
        """Raises InputError: the published file names no landmarks."""
        return self.bind.landmarks(scheme)

    def contour(self) -> Tensor:
        """Raises InputError: the published file has no contour."""
        return self.bind.contour()

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> GnmFaceModel:
        """The same model on ``device`` in ``dtype`` (float32 or float64); itself when nothing changes."""
        bind = self.bind.to(device, dtype)
        if bind is self.bind:
            return self
        parts = ("joints", "joint_identity_basis", "skinning_weights", "pose_correctives")
        return replace(self, bind=bind, **{name: getattr(self, name).to(bind.template) for name in parts})

    def _in_precision(self, dtype: torch.dtype) -> GnmFaceModel:
        if dtype == self.bind.dtype:
            return self
        if dtype not in self._other_precision:
            self._other_precision[dtype] = self.to(dtype=dtype)
        return self._other_precision[dtype]

    def _rotations(self, pose: Tensor, dtype: torch.dtype) -> Tensor:
        count = len(self.joint_names)
        if pose.dtype != dtype:
            raise InputError(f"pose must have the dtype of identity, {dtype}, got {pose.dtype}")
        if pose.dim() == 3 and pose.shape[1:] == (count, 3):
            return rotation_from_axis_angle(pose)
        if pose.dim() == 4 and pose.shape[1:] == (count, 3, 3):
            return pose
        raise InputError(f"pose must have shape (B, {count}, 3) or (B, {count}, 3, 3), got {tuple(pose.shape)}")

    def _posed(self, verts: Tensor, identity: Tensor, rotations: Tensor) -> Tensor:
        """Linear blend skinning: v' = sum_j w_j (A_j v + b_j), A_j and b_j the joint's motion from rest."""
        if len({len(verts), len(rotations)} - {1}) > 1:
            raise InputError(f"pose and coefficients must share a batch, got {len(rotations)} and {len(verts)}")
        twist = rotations - torch.eye(3).to(rotations)
        verts = verts + (twist.flatten(1) @ self.pose_correctives).unflatten(1, (-1, 3))
        joints = self.joints + torch.einsum("bi,ijc->bjc", identity, self.joint_identity_basis)
        turned: list[Tensor] = []
        placed: list[Tensor] = []
        for index, parent in enumerate(self.joint_parents):
            if parent < 0:
                turned.append(rotations[:, index])
                placed.append(joints[:, index])
                continue
            bone = joints[:, index] - joints[:, parent]
            turned.append(turned[parent] @ rotations[:, index])
            placed.append(placed[parent] + (turned[parent] @ bone[..., None])[..., 0])
        turn, place = torch.stack(turned, dim=1), torch.stack(placed, dim=1)
        shift = place - (turn @ joints[..., None])[..., 0]
        blended_turn = torch.einsum("jv,bjrc->bvrc", self.skinning_weights, turn)
        blended_shift = torch.einsum("jv,bjc->bvc", self.skinning_weights, shift)
        return (blended_turn @ verts[..., None])[..., 0] + blended_shift


def read_gnm(path: Path) -> GnmFaceModel:
    """Read ``gnm_head.npz``.

    Raises:
        AssetError: the file is damaged or does not follow the published schema; one sentence says where.
    """
    arrays = read_arrays(path, SCHEMA, "GNM's gnm_head.npz")
    if unknown := other_arrays(path, SCHEMA):
        warnings.warn(f"{path} has arrays that are not of GNM 3 and are not used: {', '.join(unknown)}", stacklevel=2)
    count = len(arrays["template_vertex_positions"])
    num_joints = len(arrays["joint_names"])
    if arrays["pose_correctives_regressor"].shape != (9 * num_joints, 3 * count):
        raise AssetError(
            f"{path}: pose_correctives_regressor must have shape ({9 * num_joints}, {3 * count}), got "
            f"{arrays['pose_correctives_regressor'].shape}; get the file again"
        )
    scale = _millimetres_per_unit(arrays["template_vertex_positions"])

    def length(key: str) -> Tensor:
        return torch.from_numpy(arrays[key].astype(np.float32) * np.float32(scale))

    return GnmFaceModel(
        bind=LinearFaceModel(
            name="gnm",
            template=length("template_vertex_positions"),
            identity_basis=length("vertex_identity_basis"),
            expression_basis=length("expression_basis"),
            expression_names=tuple(str(name) for name in arrays["expression_names"]),
            topology=_topology(path, arrays, count),
            mirror=_mirror(path, arrays, count),
            regions={
                str(name): torch.from_numpy(weights > 0.5)
                for name, weights in zip(arrays["vertex_group_names"], arrays["vertex_groups"])
            },
            card={
                "description": f"GNM {arrays['variant']}, version {arrays['version']}",
                "licence": "Apache-2.0, Google",
                "source": "the published gnm_head.npz",
                "file": path.name,
                "units": f"mm ({scale:g} per unit of the file, told from the template's height)",
            },
            embeddings={},
        ),
        joint_names=tuple(str(name) for name in arrays["joint_names"]),
        joint_parents=_parents(path, arrays["joint_parent_indices"]),
        joints=length("template_joint_positions"),
        joint_identity_basis=length("joint_identity_basis"),
        skinning_weights=torch.from_numpy(arrays["skinning_weights"].astype(np.float32)),
        pose_correctives=length("pose_correctives_regressor"),
    )


def _millimetres_per_unit(template: NDArray[np.floating]) -> float:
    height = float(np.ptp(template[:, 1])) if len(template) else 0.0
    return 1000.0 if height < 2.0 else 10.0 if height < 100.0 else 1.0


def _parents(path: Path, parents: NDArray[np.integer]) -> tuple[int, ...]:
    found = []
    for index, parent in enumerate(parents.tolist()):
        root = parent in (-1, index)
        if not root and not 0 <= parent < index:
            raise AssetError(
                f"{path}: joint {index} has parent {parent}, which must come before it; get the file again"
            )
        found.append(-1 if root else parent)
    return tuple(found)


def _mirror(path: Path, arrays: Mapping[str, NDArray[Any]], count: int) -> Tensor:
    mirror = check_index(path, "mirror_indices", arrays["mirror_indices"], count)
    if not (mirror[mirror] == np.arange(count)).all():
        raise AssetError(f"{path}: mirror_indices is not its own inverse; get the file again")
    return torch.from_numpy(mirror)


def _topology(path: Path, arrays: Mapping[str, NDArray[Any]], count: int) -> Topology:
    """Quads cut in two, and triangles; where the triangles are the quads cut in two already, only these."""
    quads, triangles = (check_index(path, key, arrays[key], count) for key in ("quads", "triangles"))
    in_quad = {frozenset(np.delete(quad, k).tolist()) for quad in quads for k in range(4)}
    if len(triangles) and all(frozenset(row) in in_quad for row in triangles.tolist()):
        quads, quad_uvs = quads[:0], arrays["quad_uvs"][:0]
    else:
        quad_uvs = arrays["quad_uvs"]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], triangles])
    corner_uvs = np.concatenate([quad_uvs[:, [0, 1, 2]], quad_uvs[:, [0, 2, 3]], arrays["triangle_uvs"]])
    uvs, corners = np.unique(corner_uvs.reshape(-1, 2).astype(np.float32), axis=0, return_inverse=True)
    flipped = torch.from_numpy(uvs * np.array([1, -1], np.float32) + np.array([0, 1], np.float32))
    return Topology(torch.from_numpy(faces), count, flipped, torch.from_numpy(corners.reshape(-1, 3)))
