"""Basel Face Model 2009 as Deng et al. (2019) trim it: the face of 35,709 vertices that their regressor and those
descended from it speak of, the occlusion-robust one among them.

Reads ``BFM_model_front.mat`` or ``BFM_model_80.mat`` as published (indices from 1 and colours to 255 in the one, from 0
and to 1 in the other), or makes the model from the licensed parts in one folder. None of them comes with this
package. Sizes are read from the files; decimetres there, millimetres here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.errors import AssetError
from pyface3d.face_models.landmarks import NUM_JAW
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.face_models.matlab_arrays import MatlabArrays, landmarks_at_vertices, rows_of
from pyface3d.face_models.symmetry import mutual_mirror
from pyface3d.io.matlab import matlab_names, read_matlab
from pyface3d.ops import Topology

FRONT_FILES = ("BFM_model_front.mat", "BFM_model_80.mat")
RAW_FILE, MOVES_FILE, SIGMA_FILE = "01_MorphableModel.mat", "Exp_Pca.bin", "std_exp.txt"
FRONT_INDEX_FILE, MOVES_INDEX_FILE, INFO_FILE = "BFM_front_idx.mat", "BFM_exp_idx.mat", "facemodel_info.mat"
IDENTITIES, EXPRESSIONS, ALBEDOS = 80, 64, 80
"""Components that Deng et al. keep of the licensed parts."""
SKIN_REGION = "even_skin"
"""Cheeks, forehead and nose: skin of one colour, as Deng's ``skinmask`` has it."""

_MM_PER_DM, _UM_PER_DM = 100.0, 1e5
_LARGEST_MM = 10_000.0
_NUM_LANDMARKS = 68
_WHERE = {
    RAW_FILE: "ask for the Basel Face Model 2009 at faces.dmi.unibas.ch (licence for research)",
    MOVES_FILE: "CoarseData of Guo et al. at github.com/Juyong/3DFace",
    **dict.fromkeys(
        (SIGMA_FILE, FRONT_INDEX_FILE, MOVES_INDEX_FILE, INFO_FILE),
        "folder BFM of github.com/microsoft/Deep3DFaceReconstruction",
    ),
}
_LICENCE = (
    "each part under its own terms: Basel Face Model 2009 of the University of Basel (research, not redistributable), "
    "expression basis of Guo et al. (academic), index tables of Deng et al. (MIT)"
)


def is_bfm_front(path: Path) -> bool:
    """Whether ``path`` is one of the published files, whatever its name, or a folder with one or with the parts."""
    if path.is_dir():
        return any((path / name).is_file() for name in FRONT_FILES) or (path / MOVES_FILE).is_file()
    return path.suffix.lower() == ".mat" and {"meanshape", "idBase", "exBase"} <= matlab_names(path)


def read_bfm_front(path: Path) -> LinearFaceModel:
    """Read the model from a published file, or make it from the parts of a folder.

    Returns:
        80 identity, 64 expression and 80 albedo components in σ units, mm, the mean face's vertices' mean at the
        origin; albedo per vertex, sRGB; landmarks "ibug68" that are vertices, so that the jaw does not slide; a region
        `SKIN_REGION`.

    Raises:
        AssetError: a file is missing, damaged or inconsistent; it says which, and where such a file comes from.
    """
    if path.is_dir():
        made = next((path / name for name in FRONT_FILES if (path / name).is_file()), None)
        if made is None:
            return _model(path, _from_parts(path))
        path = made
    return _model(path, _published(MatlabArrays(path, read_matlab(path, "Deng's face model"))))


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The model in decimetres and colours from 0 to 1; columns are in σ units, indices from 0."""

    mean: NDArray[np.float32]
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    albedo_mean: NDArray[np.float32]
    albedo: NDArray[np.float32]
    faces: NDArray[np.int64]
    keypoints: NDArray[np.int64]
    skin: NDArray[np.bool_]


def _published(file: MatlabArrays) -> _Arrays:
    count = file.size("meanshape") // 3
    faces, keypoints, skin = _tables(file, count)
    albedo_mean, albedo = file.reals("meantex", (3 * count,)), file.reals("texBase", (3 * count, None))
    # One of the two published files is scaled to 255, the other to 1.
    full = np.float32(255 if albedo_mean.max() > 2 else 1)
    return _Arrays(
        mean=file.reals("meanshape", (3 * count,)),
        identity=file.reals("idBase", (3 * count, None)),
        expression=file.reals("exBase", (3 * count, None)),
        albedo_mean=albedo_mean / full,
        albedo=albedo / full,
        faces=faces,
        keypoints=keypoints,
        skin=skin,
    )


def _tables(file: MatlabArrays, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Triangles, landmarks and skin; whether indices begin with 1 is told from the triangles."""
    raw = file.numbers("tri", (None, 3))
    first = int(raw.size > 0 and raw.min() >= 1 and raw.max() == count)
    faces = file.indices("tri", (None, 3), count, first)
    # The faces round each vertex are filled up with one more than there are. The table itself is made anew from the
    # triangles; it only has to be of them.
    around = file.indices("point_buf", (count, None), len(faces) + 1, first)
    highest = int(around.max(initial=0))
    file.want(highest == len(faces), f"point_buf must be filled up with {len(faces) + first}, got {highest + first}")
    keypoints = file.indices("keypoints", (_NUM_LANDMARKS,), count, first)
    return faces, keypoints, file.numbers("skinmask", (count,)) > 0.5


def _from_parts(folder: Path) -> _Arrays:
    """Deng's trim of the Basel Face Model with Guo's expressions: rows picked by two tables of indices."""
    raw = _matlab(folder, RAW_FILE, "the Basel Face Model")
    info = _matlab(folder, INFO_FILE, "Deng's tables")
    moves, sigma = _moves(_in(folder, MOVES_FILE)), _sigma(_in(folder, SIGMA_FILE))
    full, moved = raw.size("shapeMU") // 3, moves.shape[1] // 3
    front = _matlab(folder, FRONT_INDEX_FILE, "Deng's tables").indices("idx", (None,), moved)
    reference = _matlab(folder, MOVES_INDEX_FILE, "Deng's tables").indices("trimIndex", (moved,), full)
    rows, moved_rows = rows_of(reference[front]), rows_of(front)
    kept = min(EXPRESSIONS, len(sigma), len(moves))
    shape_sigma, texture_sigma = raw.reals("shapeEV", (None,))[:IDENTITIES], raw.reals("texEV", (None,))[:ALBEDOS]
    faces, keypoints, skin = _tables(info, len(front))
    return _Arrays(
        mean=raw.reals("shapeMU", (3 * full,))[rows] / np.float32(_UM_PER_DM),
        identity=raw.reals("shapePC", (3 * full, None), rows, len(shape_sigma)) * (shape_sigma / _UM_PER_DM),
        expression=(moves[:kept, moved_rows].T * (sigma[:kept] / _UM_PER_DM)).astype(np.float32),
        albedo_mean=raw.reals("texMU", (3 * full,))[rows] / np.float32(255),
        albedo=raw.reals("texPC", (3 * full, None), rows, len(texture_sigma)) * (texture_sigma / np.float32(255)),
        faces=faces,
        keypoints=keypoints,
        skin=skin,
    )


def _moves(path: Path) -> NDArray[np.float32]:
    """Expression components (n, 3 M) of ``Exp_Pca.bin``: int32 n, float32 mean (3 M), float32 components (n, 3 M)."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(4)
        number = int.from_bytes(head, "little", signed=True)
        floats = (size - 4) // 4
        if size % 4 or not 1 <= number <= 1000 or floats < 1 or floats % (3 * (number + 1)):
            raise AssetError(
                f"{path} must hold a number of components, their mean and them, got {size} bytes for {number} "
                f"components; {_WHERE[MOVES_FILE]}"
            )
        values = np.fromfile(stream, "<f4", floats)
    if not np.isfinite(values).all():
        raise AssetError(f"{path} holds NaN or infinity; {_WHERE[MOVES_FILE]}")
    return values.reshape(number + 1, -1)[1:].astype(np.float32, copy=False)


def _sigma(path: Path) -> NDArray[np.float64]:
    try:
        values = np.array(path.read_text().split(), dtype=np.float64)
    except ValueError as error:
        raise AssetError(f"{path} must hold numbers ({error}); {_WHERE[SIGMA_FILE]}") from error
    if not len(values) or not np.isfinite(values).all():
        raise AssetError(f"{path} must hold finite numbers; {_WHERE[SIGMA_FILE]}")
    return values


def _model(path: Path, arrays: _Arrays) -> LinearFaceModel:
    verts = _positions(path, "meanshape", arrays.mean[:, None])[0]
    if not (np.abs(verts) < _LARGEST_MM).all():
        raise AssetError(f"{path}: the mean face reaches beyond {_LARGEST_MM:g} mm; get the file again")
    verts = (verts - verts.mean(axis=0, dtype=np.float64)).astype(np.float32)
    expression = torch.from_numpy(_positions(path, "exBase", arrays.expression))
    return LinearFaceModel(
        name="bfm_front",
        template=torch.from_numpy(verts),
        identity_basis=torch.from_numpy(_positions(path, "idBase", arrays.identity)),
        expression_basis=expression,
        expression_names=tuple(f"expression_{index + 1:02d}" for index in range(len(expression))),
        topology=Topology(torch.from_numpy(arrays.faces), len(verts)),
        mirror=torch.from_numpy(mutual_mirror(verts.astype(np.float64))),
        regions={
            "skin": torch.ones(len(verts), dtype=torch.bool),
            SKIN_REGION: torch.from_numpy(np.ascontiguousarray(arrays.skin)),
        },
        card={
            "description": f"Basel Face Model 2009, Deng's front face of {len(verts)} vertices, Guo's expressions",
            "licence": _LICENCE,
            "source": "faces.dmi.unibas.ch; github.com/Juyong/3DFace; github.com/microsoft/Deep3DFaceReconstruction",
            "file": path.name,
            "units": "mm; +x subject's left, +y up, +z out of the face; origin: mean of the mean face's vertices",
        },
        embeddings={"ibug68": landmarks_at_vertices(path, arrays.keypoints, arrays.faces)},
        contour_candidates=torch.from_numpy(arrays.keypoints[:NUM_JAW, None].copy()),
        albedo_mean=torch.from_numpy(np.ascontiguousarray(arrays.albedo_mean.reshape(-1, 3))),
        albedo_basis=torch.from_numpy(np.ascontiguousarray(arrays.albedo.T)).unflatten(1, (-1, 3)),
        albedo_srgb=True,
    )


def _positions(path: Path, name: str, columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns (3V, C) in decimetres as (C, V, 3) in millimetres."""
    if not columns.shape[1]:
        raise AssetError(f"{path}: {name} has no components; get the file again")
    with np.errstate(over="ignore"):
        scaled = np.ascontiguousarray(columns.T) * np.float32(_MM_PER_DM)
    if not np.isfinite(scaled).all():
        raise AssetError(f"{path}: {name} is not finite in millimetres; get the file again")
    return scaled.reshape(columns.shape[1], -1, 3)


def _matlab(folder: Path, name: str, what: str) -> MatlabArrays:
    path = _in(folder, name)
    return MatlabArrays(path, read_matlab(path, what))


def _in(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise AssetError(
            f"{path} is missing: Deng's face model is made of {', '.join(_WHERE)}; get it from {_WHERE[name]}, put it "
            f"there, then run `pyface3d convert model {folder} bfm_front.safetensors`"
        )
    return path
