"""The whole face model as plain arrays: affine shape, affine albedo, and the part of the skin that a fit looks at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.fit.sparse_model import evaluate_affine

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_TEXTURE_SIZE = 256  # a photometric fit looks at faces of some 130 pixels: more texels would only alias
_FOREHEAD = 0.55  # how far above the brows the fitted skin reaches, over the distance from brows to chin


@dataclass(frozen=True)
class DenseFace:
    """Shape ``mean + coefficients @ basis`` in mm and albedo ``albedo_mean + coefficients @ albedo_basis``.

    Attributes:
        mean: (V, 3) float32, and ``basis`` (N, V, 3), identity first, N = I + E.
        identity_dim: I.
        albedo_mean: linear RGB, (Ht, Wt, 3) in the UV chart or (V, 3) per vertex, and ``albedo_basis`` (A, ...).
        albedo_in_uv: which of the two.
        face: vertices of the facial skin, forehead to chin and ear to ear, without eyes and mouth, (V,) bool.
    """

    mean: Tensor
    basis: Tensor
    identity_dim: int
    albedo_mean: Tensor
    albedo_basis: Tensor
    albedo_in_uv: bool
    face: Tensor

    def verts(self, coefficients: Tensor) -> Tensor:
        """(B, V, 3) for coefficients (B, N)."""
        return self.mean + torch.einsum("bn,nvd->bvd", coefficients.to(self.basis), self.basis)


_CACHE: "WeakKeyDictionary[FaceModel, DenseFace]" = WeakKeyDictionary()


def dense_face(model: "FaceModel") -> DenseFace:
    """The arrays of ``model``, computed once for each model, on the CPU wherever the model is.

    Raises:
        InputError: the model has no albedo.
    """
    if model not in _CACHE:
        if model.albedo_kind == "none" or model.albedo_dim == 0:
            raise InputError(f"model {model.name!r} has no albedo, so pixels cannot be fitted: fit landmarks only")
        on_cpu = model.to("cpu")
        with torch.no_grad():
            mean, basis = evaluate_affine(on_cpu, lambda verts: verts.float())
            albedo_mean, albedo_basis = _affine_albedo(on_cpu)
        _CACHE[model] = DenseFace(
            *(mean, basis, model.identity_dim, albedo_mean, albedo_basis, model.albedo_kind == "uv"),
            facial_skin(on_cpu, mean),
        )
    return _CACHE[model]


def _affine_albedo(model: "FaceModel") -> tuple[Tensor, Tensor]:
    """Mean and basis at the size the fit needs. Small steps keep clear of the clamp to [0, 1] that albedo may have."""
    zero = torch.zeros(1, model.albedo_dim)
    mean = _shrink(model.albedo(zero).float(), model.albedo_kind)
    step = 0.1
    rows = [
        (_shrink(model.albedo(unit[None] * step).float(), model.albedo_kind) - mean) / step
        for unit in torch.eye(model.albedo_dim)
    ]
    return mean[0], torch.cat(rows)


def _shrink(albedo: Tensor, kind: str) -> Tensor:
    if kind != "uv":
        return albedo
    factor = max(1, albedo.shape[1] // _TEXTURE_SIZE)
    return F.avg_pool2d(albedo.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1).contiguous()


def facial_skin(model: "FaceModel", mean: Tensor) -> Tensor:
    """Skin from the forehead to the chin and between the jaw points, without the insides of eyes and mouth, (V,)."""
    marks = model.landmarks("ibug68").points(mean[None], model.topology)[0]
    jaw, brows, chin = marks[:17], marks[17:27], marks[8]
    top = brows[:, 1].amax() + _FOREHEAD * (brows[:, 1].mean() - chin[1])
    back = jaw[[0, 16], 2].mean()
    inside = (mean[:, 1] <= top) & (mean[:, 1] >= chin[1] - 5) & (mean[:, 2] >= back)
    inside &= mean[:, 0].abs() <= jaw[:, 0].abs().amax()
    skin = model.regions.get("skin")
    return inside if skin is None else inside & skin.to(inside.device)
