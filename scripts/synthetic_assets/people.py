"""Stage "people": the embedded head, and ICT-FaceKit's identities and expressions on its mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from head_model.identity import rigid_motions
from head_model.scans import load_scans
from head_model.source import Array
from tqdm import tqdm

from pyface3d.data.synthetic.assets import head_arrays
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.face_models.ict import arkit_name

from .children import child_shapes
from .registration import register
from .scan_transfer import Transfer, transfer

SOURCES = [
    {"what": "the embedded head of pyface3d", "licence": "CC0-1.0; its card names the chain"},
    {
        "what": "ICT-FaceKit light (github.com/ICT-VGL/ICT-FaceKit): 100 identity and 55 expression shapes, carried "
        "onto the embedded head's mesh",
        "licence": "MIT, Copyright (c) 2020 USC Institute for Creative Technologies",
    },
]

_MM_PER_CM = 10.0
_FIT_NOISE_MM, _INDEPENDENT_SHARE = 1.0, 0.05  # of a vertex about the best of our faces; neighbours err together
_ACTION_SIGMA = 0.15  # by how much our actions may differ from those of the same name


def pack(data: Path) -> dict[str, np.ndarray]:
    """``people.*``: see `pyface3d.data.synthetic.assets.head_arrays`, and ``people.children`` and ``people.ict_*``."""
    model = load_face_model("head")
    assert isinstance(model, LinearFaceModel)
    arrays = {key: value.numpy() for key, value in head_arrays(model).items()}
    steps = tqdm(total=3, desc="people")
    path = data / "ict_facekit" / "ict_facekit_light.npz"
    scans = load_scans(path)
    actions = read_actions(path)
    place = register(model, scans, actions["jawOpen"])
    steps.update()
    importance = face_importance(model)
    moved = transfer(model, scans, actions, place, importance)
    steps.update()
    matrix, offset = to_head(model, moved, importance)
    steps.update()
    return arrays | {
        "people.children": child_shapes(model).astype(np.float16),
        "people.ict_mean": moved.mean.astype(np.float32),
        "people.ict_identity": moved.identity.astype(np.float16),
        "people.ict_expression": moved.expression.astype(np.float16),
        "people.ict_to_head": matrix.astype(np.float32),
        "people.ict_to_head_offset": offset.astype(np.float32),
    }


def read_actions(path: Path) -> dict[str, Array]:
    """ICT-FaceKit's expression shapes by ARKit name, (U, 3) mm; two sides that ARKit does not tell apart, added."""
    with np.load(path) as data:
        names = [arkit_name(str(name)) for name in data["expression_names"]]
        shapes = dict(zip(names, data["expression"].astype(np.float64) * _MM_PER_CM, strict=True))
    for name in ("browInnerUp", "cheekPuff"):
        shapes[name] = shapes.pop(f"{name}Left") + shapes.pop(f"{name}Right")
    return shapes


def face_importance(model: LinearFaceModel) -> Array:
    """Weight of each vertex in fits, (V,): the skin of the face counts, the rest of the head little."""
    regions = {name: mask.numpy() for name, mask in model.regions.items()}
    return np.where(regions["face"], 1.0, np.where(regions["ears"], 0.1, 0.02)) * regions["skin"]


def to_head(model: LinearFaceModel, moved: Transfer, importance: Array) -> tuple[Array, Array]:
    """The affine map from ICT's coefficients to those of the head that come nearest in shape.

    Least squares over the face with the head's normal prior on identities, and a narrow one on actions about those of
    the same name; a rigid motion of the head is left out of account.

    Returns:
        (100 + E, 70 + E) and (70 + E,): ``coefficients = theirs @ matrix + offset``.
    """
    own = np.concatenate([model.identity_basis.double().numpy(), model.expression_basis.double().numpy()])
    theirs = np.concatenate([moved.identity, moved.expression])
    template = model.template.double().numpy()
    motions = rigid_motions(template)
    scale = np.sqrt(importance * _INDEPENDENT_SHARE) / _FIT_NOISE_MM
    design, wanted = (
        (shapes * scale[:, None]).reshape(len(shapes), -1)
        for shapes in (np.concatenate([own, motions]), np.concatenate([theirs, (moved.mean - template)[None]]))
    )
    num_identity, num_actions = model.identity_dim, model.expression_dim
    precision = np.concatenate([np.ones(num_identity), np.full(num_actions, _ACTION_SIGMA**-2), np.zeros(6)])
    prior = np.zeros((len(wanted), len(design)))
    prior[len(moved.identity) : -1, num_identity : num_identity + num_actions] = np.eye(num_actions)
    right = wanted @ design.T + prior * precision
    solution = np.linalg.solve(design @ design.T + np.diag(precision + 1e-9), right.T).T[:, : len(own)]
    return solution[:-1], solution[-1]
