"""ICT-FaceKit (light), the open model of USC's Institute for Creative Technologies: identities of real scans.

Reads the published folder of OBJ files (``FaceXModel``), one per shape, or the same as arrays in one ``.npz`` (keys
``neutral``, ``identity``, ``expression``, ``expression_names``, ``faces``, ``uvs``, ``uv_faces``). Licence: MIT.
Centimetres there, millimetres here; the origin moves midway between the eyeballs, as in ``head``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.errors import AssetError
from pyface3d.face_models.arrays import Field, check_index, read_arrays
from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.brows import middle_of_brows
from pyface3d.face_models.contour import contour_candidates
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.face_models.symmetry import find_mirror
from pyface3d.ops import Topology

NUM_VERTS = 26719
MM_PER_CM = 10.0
# fmt: off
#: `idx_to_landmark_verts` of the model's vertex_indices.json: the vertex of each of the 68 iBUG points, those of the
#: brows on their upper edge (the model's own scheme "ibug68" has them in the middle, see `middle_of_brows`).
LANDMARK_VERTS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914,
    2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537,
    1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957,
    5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)
#: Ranges of vertices by part, as the model's documentation gives them.
PART_RANGES: dict[str, tuple[int, int]] = {
    "skin": (0, 11248), "face": (0, 9409), "narrow_face": (0, 6706), "neck": (9409, 11248), "mouth_bag": (11248, 13294),
    "eye_sockets": (13294, 14062), "gums_and_tongue": (14062, 17039), "teeth": (17039, 21451), "eyes": (21451, 24591),
    "left_eye": (21451, 23021), "right_eye": (23021, 24591), "lashes": (24591, NUM_VERTS),
}
# fmt: on
_EAR_X_MM = 70.0  # the ears stand further out than this, and behind the jaw


def read_ict(path: Path) -> LinearFaceModel:
    """Read ICT-FaceKit from its folder (or the folder above ``FaceXModel``) or from the ``.npz``.

    Raises:
        AssetError: a file is missing or is not of ICT-FaceKit; one sentence says which and what was wanted.
    """
    shapes = _read_npz(path) if path.suffix == ".npz" else _read_folder(path)
    return _model(path, shapes)


@dataclass(frozen=True)
class _Shapes:
    """Everything in centimetres and as in the files."""

    neutral: NDArray[np.float32]
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]
    faces: NDArray[np.int64]
    uvs: NDArray[np.float32]
    uv_faces: NDArray[np.int64]


def arkit_name(name: str) -> str:
    """``browDown_L`` -> ``browDownLeft``; unsided names stay."""
    return re.sub("_L$", "Left", re.sub("_R$", "Right", name))


_SCHEMA: dict[str, Field] = {
    "neutral": ("f", (NUM_VERTS, 3)),
    "identity": ("f", ("I", NUM_VERTS, 3)),
    "expression_names": ("U", ("E",)),
    "expression": ("f", ("E", NUM_VERTS, 3)),
    "faces": ("iu", ("F", 3)),
    "uvs": ("f", ("T", 2)),
    "uv_faces": ("iu", ("F", 3)),
}


def _read_npz(path: Path) -> _Shapes:
    arrays = read_arrays(path, _SCHEMA, "an .npz of ICT-FaceKit")
    return _Shapes(
        neutral=arrays["neutral"].astype(np.float32),
        identity=arrays["identity"].astype(np.float32),
        expression=arrays["expression"].astype(np.float32),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        faces=arrays["faces"].astype(np.int64),
        uvs=arrays["uvs"].astype(np.float32),
        uv_faces=arrays["uv_faces"].astype(np.int64),
    )


def _read_folder(path: Path) -> _Shapes:
    folder = path / "FaceXModel" if (path / "FaceXModel").is_dir() else path
    neutral_path = folder / "generic_neutral_mesh.obj"
    _want(neutral_path.is_file(), path, "generic_neutral_mesh.obj is missing: it is not ICT-FaceKit's FaceXModel")
    neutral, uvs, corners = _read_obj(neutral_path, with_faces=True)
    _want(neutral.shape == (NUM_VERTS, 3), neutral_path, f"wanted {NUM_VERTS} vertices, got {len(neutral)}")
    identity_paths = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    _want(len(identity_paths) > 0, path, "there is no identity000.obj")
    for index, file in enumerate(identity_paths):
        _want(file.stem == f"identity{index:03d}", path, f"identity{index:03d}.obj is missing")
    known = {neutral_path, *identity_paths}
    expression_paths = sorted((file for file in folder.glob("*.obj") if file not in known), key=lambda file: file.stem)
    return _Shapes(
        neutral=neutral,
        identity=np.stack([_offsets(file, neutral) for file in identity_paths]),
        expression=np.stack([_offsets(file, neutral) for file in expression_paths])
        if expression_paths
        else np.zeros((0, *neutral.shape), np.float32),
        expression_names=tuple(file.stem for file in expression_paths),
        faces=corners[..., 0] - 1,
        uvs=uvs,
        uv_faces=corners[..., 1] - 1,
    )


def _offsets(path: Path, neutral: NDArray[np.float32]) -> NDArray[np.float32]:
    verts, _, _ = _read_obj(path, with_faces=False)
    _want(verts.shape == neutral.shape, path, f"wanted {len(neutral)} vertices, got {len(verts)}")
    return verts - neutral


def _read_obj(path: Path, with_faces: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Vertices (V, 3), texture coordinates (T, 2) and triangles (F, 3, 2) of vertex and texture indices from 1."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        verts = _numbers(lines, "v ", 3)
        if not with_faces:
            return verts, np.zeros((0, 2), np.float32), np.zeros((0, 3, 2), np.int64)
        polygons = (line[2:].split() for line in lines if line.startswith("f "))
        triangles = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]  # some are no quads
        flat = " ".join(corner for triangle in triangles for corner in triangle).replace("/", " ").split()
        return verts, _numbers(lines, "vt ", 2), np.array(flat, np.int64).reshape(-1, 3, 2)
    except OSError as error:
        raise AssetError(f"cannot read {path}: {error.strerror or error}; check the folder") from error
    except ValueError as error:
        raise AssetError(f"{path} is not an OBJ file of ICT-FaceKit ({error}); get it again") from error


def _numbers(lines: list[str], prefix: str, columns: int) -> NDArray[np.float32]:
    text = " ".join(line[len(prefix) :] for line in lines if line.startswith(prefix)).split()
    return np.array(text, np.float32).reshape(-1, columns)


def _model(path: Path, shapes: _Shapes) -> LinearFaceModel:
    faces = check_index(path, "faces", shapes.faces, NUM_VERTS)
    uv_faces = check_index(path, "uv_faces", shapes.uv_faces, len(shapes.uvs))
    for key in ("neutral", "identity", "expression", "uvs"):
        _want(bool(np.isfinite(getattr(shapes, key)).all()), path, f"{key} holds NaN or infinity")
    verts = shapes.neutral.astype(np.float64) * MM_PER_CM
    eyes = [verts[slice(*PART_RANGES[side])] for side in ("left_eye", "right_eye")]
    verts = verts - np.mean([0.5 * (eye.max(axis=0) + eye.min(axis=0)) for eye in eyes], axis=0)
    mirror = find_mirror(verts, faces)
    regions = _regions(verts)
    skin = regions["skin"] & ~regions["ears"] & ~regions["neck"]
    contour = contour_candidates(verts, faces, skin, mirror, verts[list(LANDMARK_VERTS)])
    uvs = shapes.uvs * np.array([1.0, -1.0], np.float32) + np.array([0.0, 1.0], np.float32)
    model = LinearFaceModel(
        name="ict",
        template=torch.from_numpy(verts).float(),
        identity_basis=torch.from_numpy(shapes.identity * np.float32(MM_PER_CM)),
        expression_basis=torch.from_numpy(shapes.expression * np.float32(MM_PER_CM)),
        expression_names=tuple(arkit_name(name) for name in shapes.expression_names),
        topology=Topology(torch.from_numpy(faces), NUM_VERTS, torch.from_numpy(uvs), torch.from_numpy(uv_faces)),
        mirror=torch.from_numpy(mirror),
        regions={name: torch.from_numpy(mask) for name, mask in regions.items()},
        card=_card(path),
        embeddings={"ibug68": _at_vertices(np.array(LANDMARK_VERTS), faces)},
        contour_candidates=torch.from_numpy(contour),
    )
    return replace(model, embeddings={"ibug68": middle_of_brows(model)})


def _regions(verts: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    index = np.arange(NUM_VERTS)
    regions = {name: (index >= low) & (index < high) for name, (low, high) in PART_RANGES.items()}
    jaw = verts[list(LANDMARK_VERTS[:17])]
    behind = verts[:, 2] < jaw[0, 2] - 2.0
    regions["ears"] = regions["skin"] & behind & (np.abs(verts[:, 0]) > _EAR_X_MM)
    return regions


def _at_vertices(vertices: NDArray[np.int64], faces: NDArray[np.int64]) -> LandmarkEmbedding:
    """Landmarks that are vertices, each on the first triangle that has it as a corner."""
    rows, weights = np.zeros(len(vertices), np.int64), np.zeros((len(vertices), 3), np.float32)
    for i, vertex in enumerate(vertices):
        row, corner = np.argwhere(faces == vertex)[0]
        rows[i], weights[i, corner] = row, 1.0
    return LandmarkEmbedding(torch.from_numpy(rows), torch.from_numpy(weights))


def _card(path: Path) -> Mapping[str, Any]:
    return {
        "description": "ICT-FaceKit light: 26,719 vertices, identity components of scans, ARKit-like expressions",
        "licence": "MIT, Copyright (c) 2020 USC Institute for Creative Technologies",
        "source": "github.com/ICT-VGL/ICT-FaceKit",
        "file": path.name,
        "units": "mm; +x subject's left, +y up, +z out of the face; origin midway between the neutral eyeballs",
    }


def _want(condition: bool, path: Path, problem: str) -> None:
    if not condition:
        raise AssetError(f"{path}: {problem}; get ICT-FaceKit from github.com/ICT-VGL/ICT-FaceKit")
