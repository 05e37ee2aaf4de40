"""Who lies opposite whom on a model's face."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pyface3d.face_models import FaceModel
from pyface3d.face_models.symmetry import symmetric_partners

_CACHE: WeakKeyDictionary[FaceModel, Tensor] = WeakKeyDictionary()


def partner_table(model: FaceModel, compat: bool = False) -> Tensor:
    """Partner of each vertex across x = 0, (V,) int64, −1 where there is none.

    From the model's mirror where the two lie opposite each other in its mean face; ``compat``: the publisher's table
    where the model has one.
    """
    published = getattr(model, "published_mirror", None)
    if compat and published is not None:
        return published.cpu()
    if model not in _CACHE:
        zero = torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)
        verts = model.vertices(*zero)[0].cpu().double().numpy()
        _CACHE[model] = torch.from_numpy(symmetric_partners(verts, model.mirror.cpu().numpy()))
    return _CACHE[model]
