"""Our own file of a linear face model: one safetensors file with a card in its header.

Tensors: ``template`` (V, 3) mm, ``identity`` (I, V, 3), ``expression`` (E, V, 3), ``faces`` (F, 3), ``mirror`` (V,),
``regions`` (R, V) bool, ``landmarks.SCHEME.faces`` (K,), ``landmarks.SCHEME.barycentrics`` (K, 3); optional: ``uvs``
(T, 2), ``uv_faces`` (F, 3), ``contour`` (17, M), ``albedo_mean`` and ``albedo`` ((A,) before the same shape),
``closing_faces`` (C, 3), ``published_mirror`` (V,). Header: ``format``, ``name``, ``expression_names``,
``region_names``, ``card``, and ``albedo_encoding`` "srgb" where the albedo is not linear. Bases may be float16.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyface3d.errors import AssetError
from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.landmarks import NUM_JAW, SCHEMES
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.io.atomic import atomic_file
from pyface3d.ops import Topology

FORMAT = "pyface3d face model 1"
_REQUIRED = ("template", "identity", "expression", "faces", "mirror", "regions")
_INTEGERS = (torch.int32, torch.int64)
_REALS = (torch.float16, torch.float32, torch.float64)


def save_face_model(path: Path, model: LinearFaceModel, basis_dtype: torch.dtype = torch.float16) -> bytes:
    """Write ``model`` atomically and return the file's content; bases and albedo are stored as ``basis_dtype``.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {
        "template": model.template.float(),
        "identity": model.identity_basis.to(basis_dtype),
        "expression": model.expression_basis.to(basis_dtype),
        "faces": model.topology.faces,
        "mirror": model.mirror.int(),
        "regions": torch.stack(list(model.regions.values())),
    }
    if model.topology.uvs is not None and model.topology.uv_faces is not None:
        tensors |= {"uvs": model.topology.uvs.float(), "uv_faces": model.topology.uv_faces}
    for scheme, embedding in model.embeddings.items():
        tensors[f"landmarks.{scheme}.faces"] = embedding.faces.int()
        tensors[f"landmarks.{scheme}.barycentrics"] = embedding.barycentrics.float()
    if model.contour_candidates is not None:
        tensors["contour"] = model.contour_candidates.int()
    if model.albedo_mean is not None and model.albedo_basis is not None:
        tensors |= {"albedo_mean": model.albedo_mean.to(basis_dtype), "albedo": model.albedo_basis.to(basis_dtype)}
    if model.closing_faces is not None:
        tensors["closing_faces"] = model.closing_faces.int()
    if model.published_mirror is not None:
        tensors["published_mirror"] = model.published_mirror.int()
    metadata = {
        "format": FORMAT,
        "name": model.name,
        "expression_names": json.dumps(model.expression_names),
        "region_names": json.dumps(list(model.regions)),
        "card": json.dumps(dict(model.card), ensure_ascii=False),
        **({"albedo_encoding": "srgb"} if model.albedo_srgb else {}),
    }
    content = _with_sorted_header(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))
    with atomic_file(path) as stream:
        stream.write(content)
    return content


def _with_sorted_header(content: bytes) -> bytes:
    """The same file with its header in a fixed order: safetensors writes metadata in another order every time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format pads so that tensors stay aligned
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_face_model(path: Path) -> LinearFaceModel:
    """Read a face model written by `save_face_model`, as float32 on the CPU.

    Raises:
        AssetError: the file is missing, damaged, or inconsistent; one sentence says where.
    """
    from safetensors import (
        SafetensorError,
        safe_open,
    )  # here, for synthetic faces are drawn where torch is all there is

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 -- not a dict
    except OSError as error:
        raise AssetError(f"cannot read the face model {path}: {error.strerror or error}; check the path") from error
    except SafetensorError as error:
        raise AssetError(f"{path} is not a safetensors file ({error}); get or convert the face model again") from error
    if metadata.get("format") != FORMAT:
        raise AssetError(
            f"{path} is not a face model of pyface3d (format {metadata.get('format')!r}, wanted {FORMAT!r}); "
            "convert it with `pyface3d convert model`"
        )
    return _Checked(path, tensors, metadata).model()


class _Checked:
    """Tensors and header of one file, looked at before use."""

    def __init__(self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        self.path, self.tensors, self.metadata = path, tensors, metadata
        for key in _REQUIRED:
            self._want(key in tensors, f"tensor {key!r} is missing")

    def model(self) -> LinearFaceModel:
        template = self._reals("template", (None, 3))
        count = len(template)
        self._want(count > 0, "template has no vertices")
        expression = self._reals("expression", (None, count, 3))
        names = self._names("expression_names", len(expression))
        regions = self.tensors["regions"]
        self._want(
            regions.dtype == torch.bool and regions.dim() == 2 and regions.shape[1] == count,
            f"regions must be bool of shape (R, {count}), got {regions.dtype} {tuple(regions.shape)}",
        )
        topology = self._topology(count)
        mirror = self._indices("mirror", (count,), count)
        self._want(bool((mirror[mirror] == torch.arange(count)).all()), "mirror is not its own inverse")
        contour = None
        if "contour" in self.tensors:
            contour = self._indices("contour", (NUM_JAW, None), count, lowest=-1)
            self._want(bool((contour[:, :1] >= 0).all()), "contour has a row without candidates")
        mean, basis = self._albedo(count)
        encoding = self.metadata.get("albedo_encoding", "linear")
        self._want(encoding in ("linear", "srgb"), f"albedo_encoding must be linear or srgb, got {encoding!r}")
        closing = self._indices("closing_faces", (None, 3), count) if "closing_faces" in self.tensors else None
        published = None
        if "published_mirror" in self.tensors:
            published = self._indices("published_mirror", (count,), count, lowest=-1)
        return LinearFaceModel(
            name=self.metadata.get("name", self.path.stem),
            template=template,
            identity_basis=self._reals("identity", (None, count, 3)),
            expression_basis=expression,
            expression_names=names,
            topology=topology,
            mirror=mirror,
            regions=dict(zip(self._names("region_names", len(regions)), regions)),
            card=self._card(),
            embeddings=self._embeddings(topology.num_faces),
            contour_candidates=contour,
            albedo_mean=mean,
            albedo_basis=basis,
            albedo_srgb=encoding == "srgb",
            closing_faces=closing,
            published_mirror=published,
        )

    def _topology(self, count: int) -> Topology:
        faces = self._indices("faces", (None, 3), count)
        if "uvs" not in self.tensors:
            return Topology(faces, count)
        uvs = self._reals("uvs", (None, 2))
        return Topology(faces, count, uvs, self._indices("uv_faces", tuple(faces.shape), len(uvs)))

    def _embeddings(self, num_faces: int) -> dict[str, LandmarkEmbedding]:
        found = {}
        for scheme, points in SCHEMES.items():
            prefix = f"landmarks.{scheme}."
            if prefix + "faces" not in self.tensors:
                continue
            faces = self._indices(prefix + "faces", (points,), num_faces)
            self._want(prefix + "barycentrics" in self.tensors, f"tensor {prefix}barycentrics is missing")
            weights = self._reals(prefix + "barycentrics", (points, 3))
            whole = bool(((weights.sum(dim=1) - 1.0).abs() < 1e-4).all()) and bool((weights >= 0.0).all())
            self._want(whole, f"{prefix}barycentrics must be non-negative and sum to one")
            found[scheme] = LandmarkEmbedding(faces, weights)
        return found

    def _albedo(self, count: int) -> tuple[Tensor | None, Tensor | None]:
        if "albedo_mean" not in self.tensors:
            return None, None
        mean = self._reals("albedo_mean", None)
        fits = (mean.dim() == 3 and mean.shape[2] == 3) or tuple(mean.shape) == (count, 3)
        self._want(fits, f"albedo_mean must have shape (Ht, Wt, 3) or ({count}, 3), got {tuple(mean.shape)}")
        self._want("albedo" in self.tensors, "tensor 'albedo' is missing")
        return mean, self._reals("albedo", (None, *mean.shape))

    def _card(self) -> dict[str, Any]:
        card = self._json("card")
        self._want(isinstance(card, dict), "its card is not a table")
        return card

    def _names(self, key: str, count: int) -> tuple[str, ...]:
        names = self._json(key)
        good = isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names)
        self._want(good and len(set(names)) == count, f"{key} must list {count} different names")
        return tuple(names)

    def _json(self, key: str) -> Any:
        try:
            return json.loads(self.metadata.get(key, "null"))
        except (ValueError, RecursionError) as error:
            raise AssetError(f"{self.path}: {key} in its header is not JSON ({error}); get the file again") from error

    def _reals(self, key: str, shape: tuple[int | None, ...] | None) -> Tensor:
        value = self.tensors[key]
        self._want(value.dtype in _REALS, f"{key} must be floating point, got {value.dtype}")
        self._shape(key, value, shape)
        value = value.float()
        self._want(bool(torch.isfinite(value).all()), f"{key} holds NaN or infinity")
        return value

    def _indices(self, key: str, shape: tuple[int | None, ...], limit: int, lowest: int = 0) -> Tensor:
        self._want(key in self.tensors, f"tensor {key!r} is missing")
        value = self.tensors[key]
        self._want(value.dtype in _INTEGERS, f"{key} must be int32 or int64, got {value.dtype}")
        self._shape(key, value, shape)
        if value.numel():
            low, high = int(value.min()), int(value.max())
            self._want(low >= lowest and high < limit, f"{key} must lie in [{lowest}, {limit}), got {low} to {high}")
        return value.long()

    def _shape(self, key: str, value: Tensor, shape: tuple[int | None, ...] | None) -> None:
        if shape is None:
            return
        fits = value.dim() == len(shape) and all(want in (None, got) for want, got in zip(shape, value.shape))
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        self._want(fits, f"{key} must have shape ({wanted}), got {tuple(value.shape)}")

    def _want(self, condition: bool, problem: str) -> None:
        if not condition:
            raise AssetError(f"{self.path}: {problem}; get or convert the face model again")
