"""A made-up face in the exact files of the Basel Face Model 2009 and of Extreme 3D Faces' trim of it.

The surface is a symmetric shell with a nose, sockets and a mouth that is a hole; nothing of it is anybody's data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

# Where the 68 landmarks lie seen from the front, mm: right half and midline by iBUG number, the left by mirroring.
# fmt: off
_RIGHT = {
    0: (-62, 20), 1: (-61, 5), 2: (-59, -10), 3: (-55, -26), 4: (-48, -41), 5: (-39, -53), 6: (-28, -63),
    7: (-14, -70), 8: (0, -72), 17: (-51, 41), 18: (-44, 47), 19: (-34, 49), 20: (-24, 47), 21: (-14, 43),
    27: (0, 30), 28: (0, 20), 29: (0, 10), 30: (0, 0), 31: (-11, -11), 32: (-6, -13), 33: (0, -14),
    36: (-43, 28), 37: (-36, 33), 38: (-27, 33), 39: (-20, 27), 40: (-27, 24), 41: (-36, 24),
    48: (-23, -36), 49: (-15, -32), 50: (-6, -29), 51: (0, -31), 57: (0, -48), 58: (-8, -47), 59: (-16, -43),
    60: (-19, -36), 61: (-7, -34), 62: (0, -34), 66: (0, -41), 67: (-7, -41),
}
# fmt: on
_FLIP = {
    16: 0,
    15: 1,
    14: 2,
    13: 3,
    12: 4,
    11: 5,
    10: 6,
    9: 7,
    26: 17,
    25: 18,
    24: 19,
    23: 20,
    22: 21,
    35: 31,
    34: 32,
    45: 36,
    44: 37,
    43: 38,
    42: 39,
    47: 40,
    46: 41,
    54: 48,
    53: 49,
    52: 50,
    56: 58,
    55: 59,
    64: 60,
    63: 61,
    65: 67,
}  # fmt: skip


def landmark_spots() -> np.ndarray:
    """x and y of the 68 points, (68, 2) mm."""
    spots = {**_RIGHT, **{left: (-_RIGHT[right][0], _RIGHT[right][1]) for left, right in _FLIP.items()}}
    return np.array([spots[index] for index in range(68)], float)


def shell(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3) mm, faces and the faces of the mouth's hole; ``columns`` odd: the middle one lies on x = 0."""
    across, down = np.linspace(-1, 1, columns), np.linspace(1, -1, rows)
    x, y = (grid.ravel() for grid in np.meshgrid(78 * np.sin(1.2 * across) / np.sin(1.2), 95 * down))
    z = 90 * np.sqrt(np.clip(1 - (x / 92) ** 2 - (y / 150) ** 2, 0, None)) + 20
    z += 22 * np.exp(-((x / 11) ** 2) - (y / 16) ** 2 * np.where(y < 0, 1.6, 0.35))  # the nose
    z -= 7 * (
        np.exp(-(((x - 32) / 13) ** 2) - ((y - 29) / 9) ** 2) + np.exp(-(((x + 32) / 13) ** 2) - ((y - 29) / 9) ** 2)
    )
    verts = np.column_stack([x, y, z])
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right = (a % columns) < columns // 2  # diagonals mirror each other too
    b, c, d = a + 1, a + columns, a + columns + 1
    first = np.where(right[:, None], np.column_stack([a, c, d]), np.column_stack([a, c, b]))
    second = np.where(right[:, None], np.column_stack([a, d, b]), np.column_stack([b, c, d]))
    faces = np.concatenate([first, second])
    middle = verts[faces].mean(axis=1)
    mouth = (np.abs(middle[:, 0]) < 16) & (np.abs(middle[:, 1] + 38) < 2.5)
    return verts, faces[~mouth], faces[mouth]


def basel_arrays(columns: int = 61, rows: int = 73, components: int = 99, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of ``BaselFaceModel_mod`` with the shapes, units and indices from 1 of the published program."""
    verts, faces, mouth = shell(columns, rows)
    rng = np.random.default_rng(seed)
    count = len(verts)
    index = np.arange(count)
    pair = index // columns * columns + (columns - 1 - index % columns)
    spots = landmark_spots()

    def nearest(points: np.ndarray) -> np.ndarray:
        return np.array([int(((verts[:, :2] - point) ** 2).sum(axis=1).argmin()) for point in points])

    inner = spots.copy()
    inner[:17] *= 0.9
    arrays = {
        "faces": faces + 1,
        "faces_fill": np.concatenate([faces, mouth]) + 1,
        "shapeMU": verts.reshape(-1, 1),
        "shapePC": waves(verts, components, rng),
        "shapeEV": np.linspace(3.0, 0.3, components)[:, None],
        "texMU": (np.tile([170.0, 130.0, 110.0], count) + rng.normal(0, 4, 3 * count)),
        "texPC": waves(verts, components, rng),
        "texEV": np.linspace(20.0, 1.0, components)[:, None],
        "expMU": np.zeros((3 * count, 1)),
        "expPC": waves(verts, 29, rng),
        "expEV": np.linspace(2.1, 0.1, 29)[:, None],
        "pair": pair + 1,
        "innerLandmarkIndex": nearest(inner)[:, None] + 1,
        "outerLandmarkIndex": nearest(spots)[:, None] + 1,
    }
    integers = ("faces", "faces_fill", "pair", "innerLandmarkIndex", "outerLandmarkIndex")
    return {name: value.astype(np.uint16 if name in integers else np.float32) for name, value in arrays.items()}


def write_trimmed(path: Path, arrays: dict[str, Any]) -> Path:
    """``BaselFaceModel_mod.h5`` or ``.mat``, by the suffix of ``path``."""
    if path.suffix == ".mat":
        scipy.io.savemat(path, {"BFM": arrays}, do_compression=True)
        return path
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    return path


def write_raw(folder: Path, arrays: dict[str, np.ndarray], tables: dict[str, Any] | None = None, seed: int = 1) -> Path:
    """The three licensed files from which the trim step gives ``arrays``; returns the first.

    Every fifth vertex of the full model is one that the trim leaves out, and the expression model lacks some of those.

    Args:
        tables: a real ``mod_struct`` to write instead of the made-up one; ``arrays`` must be of its sizes.
    """
    rng = np.random.default_rng(seed)
    count = len(arrays["pair"])
    if tables is None:
        kept = np.flatnonzero(np.arange(count + count // 4) % 5 != 4)[:count]
        full = count + count // 4
        reference = np.full(full, -1, np.int32)
        present = np.ones(full, bool)
        present[np.setdiff1d(np.arange(full), kept)[::2]] = False
        reference[present] = np.arange(present.sum()) + 1
        tables = {
            "tx": 0.231,
            "vertex_indices": (kept + 1).astype(np.uint16)[None],
            "vertex_expr_ref": reference[:, None],
            **{name: arrays[name] for name in ("faces", "faces_fill")},
            **{name: arrays[name].reshape(1, -1) for name in ("pair", "innerLandmarkIndex", "outerLandmarkIndex")},
            "expEV": arrays["expEV"].astype(np.float64),
        }
    kept, reference = np.asarray(tables["vertex_indices"]).ravel() - 1, np.asarray(tables["vertex_expr_ref"]).ravel()
    full, moved = len(reference), int(reference.max())
    moved_rows, kept_rows = _rows(reference[kept].astype(int) - 1), _rows(kept.astype(int))

    def spread(values: np.ndarray, size: int, rows: np.ndarray, extra: int) -> np.ndarray:
        """``values`` in the rows of the trim among noise, with ``extra`` further columns that the trim leaves out."""
        whole = rng.normal(0, 1, (size, values.shape[1] + extra)).astype(np.float32)
        whole[rows, : values.shape[1]] = values
        return whole

    mean = arrays["shapeMU"].reshape(-1, 3).astype(np.float64) - [float(np.squeeze(tables["tx"])), 0, 0]
    more = 6 if arrays["shapePC"].shape[1] == 99 else 0
    sigma, colour = ((np.concatenate([arrays[k].ravel(), np.ones(more)]))[:, None] for k in ("shapeEV", "texEV"))
    scipy.io.savemat(
        folder / "01_MorphableModel.mat",
        {
            "shapeMU": spread(1000 * mean.reshape(-1, 1), 3 * full, kept_rows, 0),
            "shapePC": spread(arrays["shapePC"], 3 * full, kept_rows, more),
            "shapeEV": (1000 * sigma).astype(np.float32),
            "texMU": spread(arrays["texMU"].reshape(-1, 1), 3 * full, kept_rows, 0),
            "texPC": spread(arrays["texPC"], 3 * full, kept_rows, more),
            "texEV": colour.astype(np.float32),
            "tl": np.ones((4, 3)),
        },
    )
    scipy.io.savemat(
        folder / "Model_Expression.mat",
        {
            "mu_exp": 1000 * spread(arrays["expMU"].reshape(-1, 1), 3 * moved, moved_rows, 0),
            "w_exp": 1000 * spread(arrays["expPC"], 3 * moved, moved_rows, 0),
        },
    )
    scipy.io.savemat(folder / "mod_struct_expr.mat", {"mod_struct": tables}, do_compression=True)
    return folder / "01_MorphableModel.mat"


def _rows(vertices: np.ndarray) -> np.ndarray:
    return (3 * vertices[:, None] + np.arange(3)).ravel()


def waves(verts: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth displacements as columns, (3V, number), about 1 mm large."""
    phase = rng.uniform(0, 2 * np.pi, (number, 3))
    frequency = rng.normal(0, 1 / 60, (number, 3, 3))
    waves = np.sin(np.einsum("vc,nkc->nkv", verts, frequency) + phase[..., None])
    return 0.6 * waves.transpose(2, 1, 0).reshape(-1, number)
