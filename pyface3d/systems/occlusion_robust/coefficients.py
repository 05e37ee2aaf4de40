"""The vector that the regressor answers with: what its entries mean, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel

ANGLES, BANDS, COLOURS, TRANSLATION = 3, 9, 3, 3


@dataclass(frozen=True)
class CoefficientLayout:
    """How many components of the face model the vector holds; 80, 64 and 80 in the published files, 257 in all."""

    identity: int = 80
    expression: int = 64
    albedo: int = 80

    @classmethod
    def of(cls, model: FaceModel) -> CoefficientLayout:
        """All components of a model."""
        return cls(model.identity_dim, model.expression_dim, model.albedo_dim)

    @property
    def sizes(self) -> dict[str, int]:
        """Entries of each part, in the order of the vector."""
        return {
            "identity": self.identity,
            "expression": self.expression,
            "albedo": self.albedo,
            "angles": ANGLES,
            "light": COLOURS * BANDS,
            "translation": TRANSLATION,
        }

    @property
    def slices(self) -> dict[str, slice]:
        """Where each part stands."""
        found, start = {}, 0
        for name, size in self.sizes.items():
            found[name] = slice(start, start + size)
            start += size
        return found

    @property
    def total(self) -> int:
        return sum(self.sizes.values())

    def split(self, vector: Tensor) -> FaceCoefficients:
        """The parts of vectors (B, total), as views.

        Raises:
            InputError: another shape or dtype.
        """
        if not vector.is_floating_point() or vector.dim() != 2 or vector.shape[1] != self.total:
            raise InputError(
                f"coefficients must be real, of shape (B, {self.total}) ({', '.join(map(str, self.sizes.values()))}), "
                f"got {tuple(vector.shape)} {vector.dtype}"
            )
        parts = {name: vector[:, where] for name, where in self.slices.items()}
        return FaceCoefficients(**{**parts, "light": parts["light"].unflatten(1, (COLOURS, BANDS))})

    def zeros(self, batch: int = 1, like: Tensor | None = None) -> FaceCoefficients:
        """The mean face, frontal, in the middle, in even light."""
        kind = torch.zeros(()) if like is None else like
        return self.split(kind.new_zeros(batch, self.total))


@dataclass(frozen=True, eq=False)
class FaceCoefficients:
    """One face per row.

    Attributes:
        identity, expression, albedo: standard deviations, (B, I), (B, E), (B, A).
        angles: pitch, yaw, roll in radians, (B, 3); the face turns by Rz(roll) Ry(yaw) Rx(pitch).
        light: spherical harmonics of red, green and blue light, (B, 3, 9), beside the even light of 0.8 in band 0.
        translation: right, up and towards the camera, decimetres, (B, 3).
    """

    identity: Tensor
    expression: Tensor
    albedo: Tensor
    angles: Tensor
    light: Tensor
    translation: Tensor

    def joined(self) -> Tensor:
        """The vector (B, total) again."""
        parts = (self.identity, self.expression, self.albedo, self.angles, self.light.flatten(1), self.translation)
        return torch.cat(parts, dim=1)

    def __len__(self) -> int:
        return len(self.identity)
