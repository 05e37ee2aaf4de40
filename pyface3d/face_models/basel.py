"""Basel Face Model 2009 in the layout of Extreme 3D Faces: a face trimmed to 46,990 vertices, with an expression model.

Reads either the three files it is made of, ``01_MorphableModel.mat`` (Basel), ``Model_Expression.mat`` (3DDFA) and
``mod_struct_expr.mat`` (the trim tables of Extreme 3D Faces), or what that program makes of them, with the same arrays
as datasets of ``BaselFaceModel_mod.h5`` or in the structure ``BFM`` of ``BaselFaceModel_mod.mat``. None of them comes
with this package. Sizes are read from the files; micrometres and indices from 1 there, millimetres and 0 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.errors import AssetError
from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.landmarks import INNER_SCHEME, NUM_JAW
from pyface3d.face_models.linear import LinearFaceModel
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
    return _model(path, _of_fields(_Checked(path, inner)))


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
    raw = _Checked(path, fields)
    tables_path = _beside(path, TABLES_FILE)
    structure = read_matlab(tables_path, "the trim tables of Extreme 3D Faces").get("mod_struct")
    if not isinstance(structure, dict):
        raise AssetError(f"{tables_path} has no structure mod_struct; {_WHERE[TABLES_FILE]}")
    tables = _Checked(tables_path, structure)
    expression_path = _beside(path, EXPRESSION_FILE)
    moves = _Checked(expression_path, read_matlab(expression_path, "the expression model of 3DDFA"))

    full = raw.size("shapeMU") // 3
    kept = tables.indices("vertex_indices", (None,), full)
    rows = _rows_of(kept)
    reference = tables.numbers("vertex_expr_ref", (full,))
    moved = moves.size("mu_exp") // 3
    wanted = reference[kept].astype(np.int64)
    tables.want(
        wanted.size > 0 and wanted.min() >= 1 and wanted.max() <= moved,
        f"vertex_expr_ref must lie in 1 to {moved} for every kept vertex",
    )
    moved_rows = _rows_of(wanted - 1)
    faces, closing = tables.faces(len(kept))
    mean = raw.reals("shapeMU", (3 * full,))[rows] / np.float32(_UM_PER_MM)
    mean[0::3] += tables.reals("tx", (1,))[0]  # the middle of the face to x = 0
    return _Arrays(
        faces=faces,
        closing_faces=closing,
        pair=tables.indices("pair", (len(kept),), len(kept)),
        inner=tables.indices("innerLandmarkIndex", (NUM_LANDMARKS,), len(kept)),
        outer=tables.indices("outerLandmarkIndex", (NUM_LANDMARKS,), len(kept)),
        shape_mean=mean,
        shape_basis=raw.reals("shapePC", (3 * full, None), rows),
        shape_sigma=raw.reals("shapeEV", (None,))[:NUM_COMPONENTS] / np.float32(_UM_PER_MM),
        texture_mean=raw.reals("texMU", (3 * full,))[rows],
        texture_basis=raw.reals("texPC", (3 * full, None), rows),
        texture_sigma=raw.reals("texEV", (None,))[:NUM_COMPONENTS],
        expression_mean=moves.reals("mu_exp", (3 * moved,))[moved_rows] / np.float32(_UM_PER_MM),
        expression_basis=moves.reals("w_exp", (3 * moved, None), moved_rows) / np.float32(_UM_PER_MM),
        expression_sigma=tables.reals("expEV", (None,)),
    )


def _of_fields(file: _Checked) -> _Arrays:
    """The trimmed model as Extreme 3D Faces writes it."""
    count = file.size("shapeMU") // 3
    faces, closing = file.faces(count)
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
    expression = _basis(path, "expression", arrays.expression_basis, arrays.expression_sigma)
    return LinearFaceModel(
        name="bfm09",
        template=torch.from_numpy(verts),
        identity_basis=_basis(path, "shape", arrays.shape_basis, arrays.shape_sigma),
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
            "ibug68": _at_vertices(path, arrays.outer, arrays.faces),
            INNER_SCHEME: _at_vertices(path, arrays.inner, arrays.faces),
        },
        contour_candidates=torch.from_numpy(np.column_stack([arrays.outer[:NUM_JAW], arrays.inner[:NUM_JAW]])),
        albedo_mean=torch.from_numpy(arrays.texture_mean.reshape(-1, 3)) / 255,
        albedo_basis=_basis(path, "texture", arrays.texture_basis, arrays.texture_sigma) / 255,
        albedo_srgb=True,
        closing_faces=torch.from_numpy(arrays.closing_faces),
        published_mirror=torch.from_numpy(np.where(mutual, arrays.pair, -1)),
    )


def _basis(path: Path, name: str, columns: NDArray[np.float32], sigma: NDArray[np.float32]) -> torch.Tensor:
    """Columns (3V, C) times their σ, as (C, V, 3)."""
    if columns.shape[1] < len(sigma) or not len(sigma):
        raise AssetError(f"{path}: {name} has {columns.shape[1]} components but {len(sigma)} σ; get the file again")
    with np.errstate(over="ignore"):
        scaled = columns.T[: len(sigma)] * sigma[:, None]
    if not np.isfinite(scaled).all():
        raise AssetError(f"{path}: {name} components times their σ are not finite; get the file again")
    return torch.from_numpy(np.ascontiguousarray(scaled)).unflatten(1, (-1, 3))


def _at_vertices(path: Path, vertices: NDArray[np.int64], faces: NDArray[np.int64]) -> LandmarkEmbedding:
    """Landmarks that are vertices, each on the first triangle that has it as a corner."""
    corner = np.full(int(faces.max(initial=-1)) + 1, -1, np.int64)
    flat = faces.ravel()[::-1]
    corner[flat] = np.arange(len(flat))[::-1]  # of equal indices numpy keeps the last assignment: the first corner
    found = np.array([corner[v] if v < len(corner) else -1 for v in vertices.tolist()])
    if (found < 0).any():
        raise AssetError(f"{path}: landmark vertex {vertices[found < 0][0] + 1} is on no triangle; get the file again")
    weights = np.zeros((len(vertices), 3), np.float32)
    weights[np.arange(len(vertices)), found % 3] = 1.0
    return LandmarkEmbedding(torch.from_numpy(found // 3), torch.from_numpy(weights))


def _rows_of(vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of x, y, z in arrays of interleaved coordinates."""
    return (3 * vertices[:, None] + np.arange(3)).ravel()


def _beside(path: Path, name: str) -> Path:
    for folder in (path.parent, path.parent / "3DMM_model"):
        if (folder / name).is_file():
            return folder / name
    raise AssetError(
        f"{path.parent / name} is missing: {path.name} needs it; {_WHERE[name]}, put it there, "
        f"then run `pyface3d convert model {path.parent} bfm09.safetensors`"
    )


class _Checked:
    """The arrays of one file, looked at before use."""

    def __init__(self, path: Path, fields: Mapping[str, Any]) -> None:
        self.path, self.fields = path, fields

    def numbers(self, key: str, shape: tuple[int | None, ...], rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The array of that shape; sides of one entry do not count, as MATLAB has no vectors."""
        value = self.fields.get(key)
        self.want(isinstance(value, np.ndarray), f"array {key!r} is missing")
        assert isinstance(value, np.ndarray)
        given = value.shape
        if value.ndim > len(shape):
            value = value.reshape([side for side in given if side != 1] or [1])
        if value.ndim < len(shape):
            value = value.reshape(*value.shape, *(1,) * (len(shape) - value.ndim))
        fits = value.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, value.shape))
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        self.want(fits, f"{key} must have shape ({wanted}), got {given}")
        return value if rows is None else value[rows, :NUM_COMPONENTS]

    def reals(
        self, key: str, shape: tuple[int | None, ...], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """As float32; with ``rows`` only these, and at most the components that are kept."""
        with np.errstate(over="ignore"):
            value = self.numbers(key, shape, rows).astype(np.float32)
        self.want(bool(np.isfinite(value).all()), f"{key} holds NaN or infinity")
        return value

    def indices(self, key: str, shape: tuple[int | None, ...], limit: int) -> NDArray[np.int64]:
        """Indices from 1 to ``limit`` in the file, from 0 here."""
        value = self.numbers(key, shape)
        whole = value.astype(np.int64) if np.isfinite(value).all() else np.zeros(1, np.int64)
        self.want(bool((whole == value).all()), f"{key} must hold whole numbers")
        low, high = (int(whole.min()), int(whole.max())) if whole.size else (1, 1)
        self.want(low >= 1 and high <= limit, f"{key} must lie in 1 to {limit}, got {low} to {high}")
        return whole - 1

    def faces(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The surface, and the triangles that ``faces_fill`` adds to it."""
        faces = self.indices("faces", (None, 3), count)
        filled = self.indices("faces_fill", (None, 3), count)
        self.want(np.array_equal(filled[: len(faces)], faces), "faces_fill must begin with faces")
        return faces, filled[len(faces) :]

    def size(self, key: str) -> int:
        value = self.fields.get(key)
        self.want(isinstance(value, np.ndarray), f"array {key!r} is missing")
        assert isinstance(value, np.ndarray)
        self.want(value.size > 0 and value.size % 3 == 0, f"{key} must hold x, y, z in turn, got {value.size} numbers")
        return value.size

    def want(self, condition: bool, problem: str) -> None:
        if not condition:
            raise AssetError(f"{self.path}: {problem}; get the file again")
