"""Basel Face Model 2009 in the layout of Extreme 3D Faces: a face trimmed to 46,990 vertices, with an expression model.

Reads either the three files it is made of, ``01_MorphableModel.mat`` (Basel), ``Model_Expression.mat`` (3DDFA) and
``mod_struct_expr.mat`` (the trim tables of Extreme 3D Faces), or what that program makes of them, with the same arrays
as datasets of ``BaselFaceModel_mod.h5`` or in the structure ``BFM`` of ``BaselFaceModel_mod.mat``. None of them comes
with this package. Sizes are read from the files; micrometres and indices from 1 there, millimetres and 0 here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.errors import AssetError
from pyface3d.face_models.landmarks import INNER_SCHEME, NUM_JAW
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.face_models.matlab_arrays import MatlabArrays, landmarks_at_vertices, rows_of, scaled_basis
from pyface3d.face_models.symmetry import mutual_mirror
from pyface3d.io.matlab import Fields, read_matlab
from pyface3d.ops import Topology

RAW_FILE, EXPRESSION_FILE, TABLES_FILE = "01_MorphableModel.mat", "Model_Expression.mat", "mod_struct_expr.mat"
TRIMMED_FILES = ("BaselFaceModel_mod.h5", "BaselFaceModel_mod.mat")
NUM_COMPONENTS = 99
"""Identity and albedo components that Extreme 3D Faces keeps of the 199."""
NUM_LANDMARKS = 68

_UM_PER_MM = 1000.0
_LARGEST_MM = 10_000.0
_WHERE = {
    RAW_FILE: "ask for the Basel Face Model 2009 at faces.dmi.unibas.ch (licence for research)",
    EXPRESSION_FILE: "get it with 3DDFA's code (github.com/cleardusk/3DDFA, the original release)",
    TABLES_FILE: "get it from the folder 3DMM_model of github.com/anhttran/extreme_3d_faces",
}
_LICENCE = (
    "each part under its own terms: Basel Face Model 2009 of the University of Basel (research, not redistributable), "
    "expression model of 3DDFA, trim tables of Extreme 3D Faces (academic, non-commercial)"
)


def is_basel(path: Path) -> bool:
    """Whether ``path`` may be one of the files above, or a folder with one; its content is looked at on reading."""
    if path.is_dir():
        return any((path / name).is_file() for name in (RAW_FILE, *TRIMMED_FILES))
    return path.suffix.lower() in (".mat", ".h5")


def read_basel(path: Path) -> LinearFaceModel:
    """Read the trimmed model from one of its files, or from the folder that holds them.

    Args:
        path: a folder, ``BaselFaceModel_mod.h5`` or ``.mat``, or ``01_MorphableModel.mat``, beside which the other two
            files are looked for.

    Returns:
        Identity and expression in σ units, mm; albedo per vertex; landmark schemes "ibug68" (the published outer jaw)
        and "ibug68_inner"; the contour slides between the two. ``mirror`` is made anew from the mean face, since the
        published table is no involution; that one stands in ``published_mirror`` where it is.

    Raises:
        AssetError: a file is missing, damaged or inconsistent; it says which, and where such a file comes from.
    """
    if path.is_dir():
        path = next(path / name for name in (*TRIMMED_FILES, RAW_FILE) if (path / name).is_file())
    what = "a file of the Basel Face Model"
    fields = read_matlab(path, what)
    if "tl" in fields and "expPC" not in fields:
        return _model(path, _trimmed(path, fields))
    inner = fields.get("BFM", fields)
    if not isinstance(inner, dict) or "expPC" not in inner:
        found = ", ".join(sorted(fields)[:6]) or "nothing"
        raise AssetError(
            f"{path} is not {what}: it holds {found}; give {RAW_FILE}, {TRIMMED_FILES[0]} or the folder that has them"
        )
    return _model(path, _of_fields(MatlabArrays(path, inner)))


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The trimmed model in mm, σ apart from the bases; vertices count from 0."""

    faces: NDArray[np.int64]
    closing_faces: NDArray[np.int64]
    pair: NDArray[np.int64]
    inner: NDArray[np.int64]
    outer: NDArray[np.int64]
    shape_mean: NDArray[np.float32]
    shape_basis: NDArray[np.float32]
    shape_sigma: NDArray[np.float32]
    texture_mean: NDArray[np.float32]
    texture_basis: NDArray[np.float32]
    texture_sigma: NDArray[np.float32]
    expression_mean: NDArray[np.float32]
    expression_basis: NDArray[np.float32]
    expression_sigma: NDArray[np.float32]


def _trimmed(path: Path, fields: Fields) -> _Arrays:
    """The trim step of Extreme 3D Faces (without forehead): rows of the full model picked by its tables."""
    raw = MatlabArrays(path, fields)
    tables_path = _beside(path, TABLES_FILE)
    structure = read_matlab(tables_path, "the trim tables of Extreme 3D Faces").get("mod_struct")
    if not isinstance(structure, dict):
        raise AssetError(f"{tables_path} has no structure mod_struct; {_WHERE[TABLES_FILE]}")
    tables = MatlabArrays(tables_path, structure)
    expression_path = _beside(path, EXPRESSION_FILE)
    moves = MatlabArrays(expression_path, read_matlab(expression_path, "the expression model of 3DDFA"))

    full = raw.size("shapeMU") // 3
    kept = tables.indices("vertex_indices", (None,), full)
    rows = rows_of(kept)
    reference = tables.numbers("vertex_expr_ref", (full,))
    moved = moves.size("mu_exp") // 3
    wanted = reference[kept].astype(np.int64)
    tables.want(
        wanted.size > 0 and wanted.min() >= 1 and wanted.max() <= moved,
        f"vertex_expr_ref must lie in 1 to {moved} for every kept vertex",
    )
    moved_rows = rows_of(wanted - 1)
    faces, closing = _faces(tables, len(kept))
    mean = raw.reals("shapeMU", (3 * full,))[rows] / np.float32(_UM_PER_MM)
    mean[0::3] += tables.reals("tx", (1,))[0]  # the middle of the face to x = 0
    return _Arrays(
        faces=faces,
        closing_faces=closing,
        pair=tables.indices("pair", (len(kept),), len(kept)),
        inner=tables.indices("innerLandmarkIndex", (NUM_LANDMARKS,), len(kept)),
        outer=tables.indices("outerLandmarkIndex", (NUM_LANDMARKS,), len(kept)),
        shape_mean=mean,
        shape_basis=raw.reals("shapePC", (3 * full, None), rows, NUM_COMPONENTS),
        shape_sigma=raw.reals("shapeEV", (None,))[:NUM_COMPONENTS] / np.float32(_UM_PER_MM),
        texture_mean=raw.reals("texMU", (3 * full,))[rows],
        texture_basis=raw.reals("texPC", (3 * full, None), rows, NUM_COMPONENTS),
        texture_sigma=raw.reals("texEV", (None,))[:NUM_COMPONENTS],
        expression_mean=moves.reals("mu_exp", (3 * moved,))[moved_rows] / np.float32(_UM_PER_MM),
        expression_basis=moves.reals("w_exp", (3 * moved, None), moved_rows) / np.float32(_UM_PER_MM),
        expression_sigma=tables.reals("expEV", (None,)),
    )


def _of_fields(file: MatlabArrays) -> _Arrays:
    """The trimmed model as Extreme 3D Faces writes it."""
    count = file.size("shapeMU") // 3
    faces, closing = _faces(file, count)
    return _Arrays(
        faces=faces,
        closing_faces=closing,
        pair=file.indices("pair", (count,), count),
        inner=file.indices("innerLandmarkIndex", (NUM_LANDMARKS,), count),
        outer=file.indices("outerLandmarkIndex", (NUM_LANDMARKS,), count),
        shape_mean=file.reals("shapeMU", (3 * count,)),
        shape_basis=file.reals("shapePC", (3 * count, None)),
        shape_sigma=file.reals("shapeEV", (None,)),
        texture_mean=file.reals("texMU", (3 * count,)),
        texture_basis=file.reals("texPC", (3 * count, None)),
        texture_sigma=file.reals("texEV", (None,)),
        expression_mean=file.reals("expMU", (3 * count,)),
        expression_basis=file.reals("expPC", (3 * count, None)),
        expression_sigma=file.reals("expEV", (None,)),
    )


def _model(path: Path, arrays: _Arrays) -> LinearFaceModel:
    with np.errstate(over="ignore"):
        verts = (arrays.shape_mean + arrays.expression_mean).reshape(-1, 3)
    if not (np.abs(verts) < _LARGEST_MM).all():
        raise AssetError(f"{path}: the mean face reaches beyond {_LARGEST_MM:g} mm; get the file again")
    count, own = len(verts), np.arange(len(verts))
    faces = torch.from_numpy(arrays.faces)
    mutual = arrays.pair[arrays.pair] == own
    expression = scaled_basis(path, "expression", arrays.expression_basis, arrays.expression_sigma)
    return LinearFaceModel(
        name="bfm09",
        template=torch.from_numpy(verts),
        identity_basis=scaled_basis(path, "shape", arrays.shape_basis, arrays.shape_sigma),
        expression_basis=expression,
        expression_names=tuple(f"expression_{index + 1:02d}" for index in range(len(expression))),
        topology=Topology(faces, count),
        mirror=torch.from_numpy(mutual_mirror(verts.astype(np.float64))),
        regions={"skin": torch.ones(count, dtype=torch.bool)},
        card={
            "description": f"Basel Face Model 2009, trimmed to {count} vertices, with 3DDFA's expressions",
            "licence": _LICENCE,
            "source": "faces.dmi.unibas.ch; github.com/cleardusk/3DDFA; github.com/anhttran/extreme_3d_faces",
            "file": path.name,
            "units": "mm; +x subject's left, +y up, +z out of the face; origin of the Basel Face Model",
            "published_pairs": {
                "self": int((arrays.pair == own).sum()),
                "mutual": int((mutual & (arrays.pair != own)).sum()) // 2,
                "not_mutual": int((~mutual).sum()),
            },
        },
        embeddings={
            "ibug68": landmarks_at_vertices(path, arrays.outer, arrays.faces),
            INNER_SCHEME: landmarks_at_vertices(path, arrays.inner, arrays.faces),
        },
        contour_candidates=torch.from_numpy(np.column_stack([arrays.outer[:NUM_JAW], arrays.inner[:NUM_JAW]])),
        albedo_mean=torch.from_numpy(arrays.texture_mean.reshape(-1, 3)) / 255,
        albedo_basis=scaled_basis(path, "texture", arrays.texture_basis, arrays.texture_sigma) / 255,
        albedo_srgb=True,
        closing_faces=torch.from_numpy(arrays.closing_faces),
        published_mirror=torch.from_numpy(np.where(mutual, arrays.pair, -1)),
    )


def _beside(path: Path, name: str) -> Path:
    for folder in (path.parent, path.parent / "3DMM_model"):
        if (folder / name).is_file():
            return folder / name
    raise AssetError(
        f"{path.parent / name} is missing: {path.name} needs it; {_WHERE[name]}, put it there, "
        f"then run `pyface3d convert model {path.parent} bfm09.safetensors`"
    )


def _faces(file: MatlabArrays, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The surface, and the triangles that ``faces_fill`` adds to it."""
    faces = file.indices("faces", (None, 3), count)
    filled = file.indices("faces_fill", (None, 3), count)
    file.want(np.array_equal(filled[: len(faces)], faces), "faces_fill must begin with faces")
    return faces, filled[len(faces) :]
