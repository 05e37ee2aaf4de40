"""The head that ships with the package; made by ``scripts/build_head_model.py``, free for any use."""

from __future__ import annotations

from dataclasses import replace

from pyface3d.face_models.brows import middle_of_brows
from pyface3d.face_models.dense_points import DENSE_SCHEME, dense_points
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.face_models.storage import read_face_model
from pyface3d.io.weights import find_asset


def load_head() -> LinearFaceModel:
    """The embedded head, checked against its card, with the landmark schemes "ibug68" and "dense320".

    Raises:
        AssetError: the asset is missing, damaged or not the one its card describes.
    """
    asset = find_asset("head")
    asset.verify()
    model = read_face_model(asset.path)
    schemes = {"ibug68": middle_of_brows(model), DENSE_SCHEME: dense_points(model)}
    return replace(model, embeddings={**model.embeddings, **schemes})
