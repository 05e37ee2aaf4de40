"""What every face model offers, whatever file it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pyface3d.ops import Topology


@dataclass(frozen=True, eq=False)
class LandmarkEmbedding:
    """K points fixed on a mesh: a face each and where on it.

    Attributes:
        faces: rows of ``topology.faces``, (K,) int64.
        barycentrics: weights of the face's three corners, (K, 3), non-negative, summing to one.
    """

    faces: Tensor
    barycentrics: Tensor

    def points(self, verts: Tensor, topology: Topology) -> Tensor:
        """The points on meshes ``verts`` (B, V, 3): (B, K, 3), dtype of ``verts``, differentiable in ``verts``."""
        corners = topology.faces[self.faces].long()
        return (verts[:, corners] * self.barycentrics.to(verts.dtype)[:, :, None]).sum(dim=2)

    def to(self, device: torch.device | str) -> LandmarkEmbedding:
        return LandmarkEmbedding(self.faces.to(device), self.barycentrics.to(device))


@runtime_checkable
class FaceModel(Protocol):
    """A parametric head in millimetres: +x the subject's left, +y up, +z out of the face.

    Without pose, vertices are affine in identity and expression. Identity and albedo coefficients are in standard
    deviations of the model's population; actions of ``expression_names`` run from 0 to 1.
    """

    @property
    def name(self) -> str: ...

    @property
    def topology(self) -> Topology: ...

    @property
    def expression_names(self) -> tuple[str, ...]: ...

    @property
    def mirror(self) -> Tensor:
        """Vertex on the other side of the face, (V,) int64."""
        ...

    @property
    def regions(self) -> Mapping[str, Tensor]:
        """Named parts of the mesh, (V,) bool each."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """Source, licence and how the file was made."""
        ...

    @property
    def albedo_kind(self) -> Literal["uv", "vertex", "none"]: ...

    @property
    def identity_dim(self) -> int: ...

    @property
    def expression_dim(self) -> int: ...

    @property
    def albedo_dim(self) -> int: ...

    def vertices(self, identity: Tensor, expression: Tensor, pose: Tensor | None = None) -> Tensor:
        """Heads (B, V, 3) in mm for identity (B, I) and expression (B, E); ``pose`` only where the model has joints."""
        ...

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Linear RGB for coefficients (B, A): (B, Ht, Wt, 3) in the UV chart, or (B, V, 3) where it is per vertex."""
        ...

    def landmarks(self, scheme: str = "ibug68") -> LandmarkEmbedding:
        """Where the points of a landmark scheme lie on the mesh."""
        ...

    def contour(self) -> Tensor:
        """Vertices over which each of the 17 jaw points may slide, (17, M) int64, padded with -1.

        Each row starts with the vertex of the jaw line seen from the front, goes on towards the cheek, and then a
        little backwards: in a turned head the jaw point lies at whichever of them ends the face in the picture.
        """
        ...

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> FaceModel:
        """The same model elsewhere or in another precision."""
        ...
