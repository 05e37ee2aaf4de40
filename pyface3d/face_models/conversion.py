"""From the file a model is published as to one safetensors file of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from pyface3d.errors import InputError, OutputError
from pyface3d.face_models import LinearFaceModel, load_face_model, save_face_model
from pyface3d.io.checksums import file_sha256


def convert_model(source: Path, target: Path, *, basis_dtype: torch.dtype = torch.float32) -> LinearFaceModel:
    """Read a published face model and write it as ``target``, with a card that names its source and licence.

    Args:
        source: anything that `load_face_model` reads from a path.
        target: a ``.safetensors`` file; its folder is made when missing.
        basis_dtype: of the bases and the albedo in the file; float16 halves it and rounds to a few micrometres.

    Returns:
        The model as written: `load_face_model` of ``target`` gives it back.

    Raises:
        InputError: no such source, not a linear model, or a target of another kind or that is the source.
        AssetError: the source is damaged, or a file beside it is missing.
        OutputError: the target cannot be written.
    """
    if target.suffix != ".safetensors":
        raise InputError(f"{target} must end in .safetensors; that is what the converted model is")
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; name a file in it")
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"{target} is the model that is read; name another file to write")
    model = load_face_model(source)
    if not isinstance(model, LinearFaceModel):
        raise InputError(f"{source} holds the model {model.name!r}, which has joints and stays in its own file")
    card = dict(model.card)
    if source.is_file():
        card |= {"file": source.name, "file_sha256": file_sha256(source)}
    card["made_by"] = "pyface3d convert model"
    model = replace(model, card=card)
    save_face_model(target, model, basis_dtype)
    return model
