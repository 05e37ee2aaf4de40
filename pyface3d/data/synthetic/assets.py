"""What synthetic faces are made of: tensors by name, from one packed file or from what comes with the package."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from pyface3d.errors import AssetError
from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.dense_points import DENSE_SCHEME
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.ops import Topology

CARD_KEY = "card"
"""Entry of the packed file with sources and licences, JSON as UTF-8 bytes."""

_MAX_BYTES = 2**30
_SCHEME_KEYS = ("ibug68", DENSE_SCHEME)
_MODELS: WeakIdKeyDictionary = WeakIdKeyDictionary()


def load_assets(path: str | os.PathLike[str] | None = None) -> Mapping[str, Tensor]:
    """Assets of all stages by key, on the CPU.

    Args:
        path: a file of ``scripts/pack_synthetic_assets.py``; needs torch and numpy only. None takes what comes with
            the package, the embedded head: every stage then draws what it can make up by rule.

    Raises:
        AssetError: the file cannot be read, unpacks to more than a gigabyte, or has no head.
    """
    if path is None:
        from pyface3d.face_models.head import load_head

        return head_arrays(load_head())
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MAX_BYTES:
            raise AssetError(
                f"{path} unpacks to {unpacked >> 20} MiB, more than synthetic assets can be; pack it again"
            )
        with np.load(path, allow_pickle=False) as data:
            assets = {key: torch.from_numpy(data[key]) for key in data.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, AssetError):
            raise
        raise AssetError(f"cannot read {path} as synthetic assets ({error}); pack it again") from error
    if "people.template" not in assets:
        raise AssetError(f"{path} has no head (people.template); make it with scripts/pack_synthetic_assets.py")
    return assets


def head_arrays(model: LinearFaceModel) -> dict[str, Tensor]:
    """The keys ``people.*`` that `model_of` turns back into ``model``; its albedo stays behind."""
    assert model.topology.uvs is not None and model.topology.uv_faces is not None
    names = {"name": model.name, "regions": list(model.regions), "expressions": list(model.expression_names)}
    arrays = {
        "names": text_tensor(json.dumps(names)),
        "template": model.template,
        "identity": model.identity_basis.half(),  # as they are stored: nothing is lost
        "expression": model.expression_basis.half(),
        "faces": model.topology.faces,
        "uvs": model.topology.uvs,
        "uv_faces": model.topology.uv_faces,
        "mirror": model.mirror.int(),
        "regions": torch.stack(list(model.regions.values())),
        "contour": model.contour().int(),
    }
    for scheme in _SCHEME_KEYS:
        embedding = model.landmarks(scheme)
        arrays |= {f"{scheme}.faces": embedding.faces.int(), f"{scheme}.barycentrics": embedding.barycentrics}
    return {f"people.{key}": value.cpu().contiguous() for key, value in arrays.items()}


def model_of(assets: Mapping[str, Tensor], device: torch.device | str = "cpu") -> LinearFaceModel:
    """The head on whose mesh all synthetic faces live, without albedo; made once for these assets and device."""
    by_device = _MODELS.setdefault(assets["people.template"], {})
    key = str(torch.device(device))
    if key not in by_device:
        by_device[key] = _build(assets) if key == "cpu" else model_of(assets).to(device)
    return by_device[key]


def text_tensor(text: str) -> Tensor:
    """Text as uint8 UTF-8 bytes, (N,)."""
    return torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy())


def tensor_text(tensor: Tensor) -> str:
    """Inverts `text_tensor`."""
    return bytes(tensor.cpu().numpy()).decode()


def _build(assets: Mapping[str, Tensor]) -> LinearFaceModel:
    part = {key.removeprefix("people."): value.cpu() for key, value in assets.items() if key.startswith("people.")}
    names = json.loads(tensor_text(part["names"]))
    template = part["template"].float()
    return LinearFaceModel(
        name=names["name"],
        template=template,
        identity_basis=part["identity"].float(),
        expression_basis=part["expression"].float(),
        expression_names=tuple(names["expressions"]),
        topology=Topology(part["faces"], len(template), part["uvs"].float(), part["uv_faces"]),
        mirror=part["mirror"].long(),
        regions={name: mask.bool() for name, mask in zip(names["regions"], part["regions"])},
        card={"description": "the embedded head without its albedo, for synthetic faces"},
        embeddings={
            scheme: LandmarkEmbedding(part[f"{scheme}.faces"].long(), part[f"{scheme}.barycentrics"].float())
            for scheme in _SCHEME_KEYS
        },
        contour_candidates=part["contour"].long(),
    )
