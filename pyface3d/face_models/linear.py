"""A head that is linear in its coefficients: the common form of most face models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import Topology, blend_shapes


@dataclass(frozen=True, eq=False)
class LinearFaceModel:
    """``vertices = template + identity @ identity_basis + expression @ expression_basis``; see `FaceModel`.

    Attributes:
        name: name in the registry.
        template: mean neutral head, (V, 3) mm.
        identity_basis: mm per standard deviation, (I, V, 3).
        expression_basis: mm at full action, (E, V, 3).
        expression_names: E names.
        topology: triangles and, where there is a chart, texture coordinates.
        mirror: vertex on the other side, (V,) int64.
        regions: named parts, (V,) bool each.
        card: source, licence, how it was made.
        embeddings: landmark schemes by name.
        contour_candidates: see `FaceModel.contour`; None where the file has none.
        albedo_mean: (Ht, Wt, 3) or (V, 3) RGB; None where the model has no albedo.
        albedo_basis: RGB per standard deviation, (A, …) with the shape of ``albedo_mean`` behind it.
        albedo_srgb: whether these two are sRGB; else they are linear RGB.
        closing_faces: triangles that close holes of the surface (mouth, eyes, rim) where it is rendered, (C, 3) int64;
            None where nothing needs closing.
        published_mirror: the partner table of the model's publisher, (V,) int64, −1 where it is not its own inverse;
            None where there is none. ``mirror`` is ours.
    """

    name: str
    template: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    expression_names: tuple[str, ...]
    topology: Topology
    mirror: Tensor
    regions: Mapping[str, Tensor]
    card: Mapping[str, Any]
    embeddings: Mapping[str, LandmarkEmbedding]
    contour_candidates: Tensor | None = None
    albedo_mean: Tensor | None = None
    albedo_basis: Tensor | None = None
    albedo_srgb: bool = False
    closing_faces: Tensor | None = None
    published_mirror: Tensor | None = None
    _other_precision: dict[torch.dtype, LinearFaceModel] = field(default_factory=dict, init=False, repr=False)

    @property
    def identity_dim(self) -> int:
        return len(self.identity_basis)

    @property
    def expression_dim(self) -> int:
        return len(self.expression_basis)

    @property
    def albedo_dim(self) -> int:
        return 0 if self.albedo_basis is None else len(self.albedo_basis)

    @property
    def albedo_kind(self) -> Literal["uv", "vertex", "none"]:
        if self.albedo_mean is None:
            return "none"
        return "uv" if self.albedo_mean.dim() == 3 else "vertex"

    @property
    def device(self) -> torch.device:
        return self.template.device

    @property
    def dtype(self) -> torch.dtype:
        return self.template.dtype

    def vertices(self, identity: Tensor, expression: Tensor, pose: Tensor | None = None) -> Tensor:
        """Heads for coefficients.

        Args:
            identity: standard deviations, (B, I) or (1, I), float32 or float64.
            expression: strength of each action, (B, E) or (1, E), dtype of ``identity``.
            pose: must be None; this model has no joints.

        Returns:
            (B, V, 3) mm in the model frame, dtype of the arguments; differentiable in both.

        Raises:
            InputError: naming the argument, what was wanted and what was given.
        """
        if pose is not None:
            raise InputError(f"pose must be None: model {self.name!r} has no joints; move the vertices instead")
        _check_coefficients("identity", identity, self.identity_dim, self.name)
        _check_coefficients("expression", expression, self.expression_dim, self.name)
        if identity.dtype != expression.dtype:
            raise InputError(f"identity and expression must share a dtype, got {identity.dtype}, {expression.dtype}")
        if len(identity) != len(expression) and 1 not in (len(identity), len(expression)):
            raise InputError(f"identity and expression must share a batch, got {len(identity)} and {len(expression)}")
        model = self._in_precision(identity.dtype)
        parts = [(identity, model.identity_basis), (expression, model.expression_basis)]
        parts.sort(key=lambda part: len(part[0]))  # what all heads share comes first and is made once
        shared = blend_shapes(*parts[0], model.template)
        return blend_shapes(*parts[1], shared[0] if len(shared) == 1 else shared)

    def albedo(self, coefficients: Tensor) -> Tensor:
        """Linear RGB for coefficients (B, A) in standard deviations: (B, Ht, Wt, 3) or (B, V, 3), clipped to [0, 1].

        Raises:
            InputError: the model has no albedo, or the coefficients have the wrong shape or dtype.
        """
        if self.albedo_mean is None or self.albedo_basis is None:
            raise InputError(f"model {self.name!r} has no albedo; use one that has, such as 'head'")
        _check_coefficients("coefficients", coefficients, self.albedo_dim, self.name)
        model = self._in_precision(coefficients.dtype)
        assert model.albedo_mean is not None and model.albedo_basis is not None
        offsets = coefficients @ model.albedo_basis.flatten(1)
        albedo = (model.albedo_mean + offsets.unflatten(1, model.albedo_mean.shape)).clamp(0.0, 1.0)
        return srgb_to_linear(albedo) if self.albedo_srgb else albedo

    def landmarks(self, scheme: str = "ibug68") -> LandmarkEmbedding:
        """Where the points of ``scheme`` lie on the mesh.

        Raises:
            InputError: the model knows no such scheme; the message lists those it knows.
        """
        if scheme not in self.embeddings:
            known = ", ".join(self.embeddings) or "none"
            raise InputError(f"model {self.name!r} has no landmark scheme {scheme!r}; it has: {known}")
        return self.embeddings[scheme]

    def contour(self) -> Tensor:
        """Candidate vertices per jaw point, (17, M) int64, padded with -1; see `FaceModel.contour`.

        Raises:
            InputError: the model's file has no contour.
        """
        if self.contour_candidates is None:
            raise InputError(f"model {self.name!r} has no contour; use one that has, such as 'head'")
        return self.contour_candidates

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LinearFaceModel:
        """The same model on ``device`` in ``dtype`` (float32 or float64); itself when nothing changes."""
        device = self.device if device is None else torch.device(device)
        dtype = self.dtype if dtype is None else dtype
        if dtype not in (torch.float32, torch.float64):
            raise InputError(f"dtype must be float32 or float64, got {dtype}")
        if device == self.device and dtype == self.dtype:
            return self
        return replace(
            self,
            template=self.template.to(device, dtype),
            identity_basis=self.identity_basis.to(device, dtype),
            expression_basis=self.expression_basis.to(device, dtype),
            topology=self.topology.to(device),
            mirror=self.mirror.to(device),
            regions={name: mask.to(device) for name, mask in self.regions.items()},
            embeddings={name: embedding.to(device) for name, embedding in self.embeddings.items()},
            contour_candidates=_moved(self.contour_candidates, device),
            albedo_mean=_moved(self.albedo_mean, device, dtype),
            albedo_basis=_moved(self.albedo_basis, device, dtype),
            closing_faces=_moved(self.closing_faces, device),
            published_mirror=_moved(self.published_mirror, device),
        )

    def _in_precision(self, dtype: torch.dtype) -> LinearFaceModel:
        """This model in the dtype of a caller's coefficients, converted once."""
        if dtype == self.dtype:
            return self
        if dtype not in self._other_precision:
            self._other_precision[dtype] = self.to(dtype=dtype)
        return self._other_precision[dtype]


def _moved(value: Tensor | None, device: torch.device, dtype: torch.dtype | None = None) -> Tensor | None:
    return None if value is None else value.to(device, dtype)


def _check_coefficients(argument: str, value: Tensor, dim: int, model: str) -> None:
    if value.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{argument} must be float32 or float64, got {value.dtype}")
    if value.dim() != 2 or value.shape[1] != dim:
        raise InputError(f"{argument} must have shape (B, {dim}) for model {model!r}, got {tuple(value.shape)}")
