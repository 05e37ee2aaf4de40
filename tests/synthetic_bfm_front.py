"""A made-up face in the exact files of Deng's trim of the Basel Face Model 2009; nothing of it is anybody's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from synthetic_basel import landmark_spots, shell, waves

_OFFSET_DM = (0.02, -0.07, 0.41)  # the published mean face's middle is not its origin


def front_arrays(columns: int = 31, rows: int = 37, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of ``BFM_model_front.mat``: decimetres, indices from 1, colours to 255; 80, 64 and 80 components."""
    verts, faces, mouth = shell(columns, rows)
    faces = np.concatenate([faces, mouth])  # Deng's face has no hole
    rng = np.random.default_rng(seed)
    count = len(verts)
    spots = landmark_spots()
    keypoints = np.array([int(((verts[:, :2] - point) ** 2).sum(axis=1).argmin()) for point in spots])
    sigma = np.linspace(2.0, 0.05, 80)
    around = np.full((count, 8), len(faces), np.int64)
    filled = np.zeros(count, int)
    for number, face in enumerate(faces):
        for vertex in face:
            around[vertex, filled[vertex]] = number
            filled[vertex] += 1
    skin = (np.abs(verts[:, 0]) < 40) & (verts[:, 1] > -20)
    tone = 25 * verts[:, 2:] / verts[:, 2].max()
    return {
        "meanshape": (verts / 100 + _OFFSET_DM).reshape(1, -1).astype(np.float32),
        "idBase": (waves(verts, 80, rng) * sigma / 100).astype(np.float32),
        "exBase": (waves(verts, 64, rng) * sigma[:64] / 100).astype(np.float64),
        "meantex": (np.array([170.0, 125.0, 105.0]) + tone).reshape(1, -1).astype(np.float32),
        "texBase": (waves(verts, 80, rng) * 3 * sigma).astype(np.float32),
        "tri": (faces + 1).astype(np.float64),
        "point_buf": (around + 1).astype(np.float64),
        "keypoints": (keypoints + 1).astype(np.float64)[None],
        "frontmask2_idx": np.flatnonzero(skin)[:, None] + 1.0,
        "tri_mask2": (faces[::2] + 1).astype(np.float64),
        "skinmask": skin.astype(np.float32)[None],
    }


def as_model_80(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same as ``BFM_model_80.mat`` has it: indices from 0, colours to 1, fewer arrays."""
    kept = {name: arrays[name] for name in arrays if name not in ("frontmask2_idx", "tri_mask2")}
    for name in ("tri", "point_buf", "keypoints"):
        kept[name] = (kept[name] - 1).astype(np.int32)
    return kept | {name: kept[name] / np.float32(255) for name in ("meantex", "texBase")}


def write_front(path: Path, arrays: dict[str, Any]) -> Path:
    scipy.io.savemat(path, arrays, do_compression=True)
    return path


def write_parts(folder: Path, arrays: dict[str, np.ndarray], seed: int = 1) -> Path:
    """The licensed parts from which ``arrays`` are made, with vertices and components that the trim leaves out."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    count = arrays["meanshape"].size // 3
    moved, full = count + 60, count + 150  # vertices of the expression model and of the Basel model
    front = np.sort(rng.permutation(moved)[:count])
    reference = rng.permutation(full)[:moved]

    def spread(values: np.ndarray, size: int, kept: np.ndarray, extra: int) -> np.ndarray:
        whole = rng.normal(0, 1, (size, 3, values.shape[1] + extra)).astype(np.float32)
        whole[kept, :, : values.shape[1]] = values.reshape(count, 3, -1)
        return whole.reshape(3 * size, -1)

    identity_sigma, albedo_sigma = (rng.uniform(0.5, 2, 86).astype(np.float32) for _ in range(2))
    moves_sigma = rng.uniform(0.5, 2, 79)
    basel = reference[front]
    scipy.io.savemat(
        folder / "01_MorphableModel.mat",
        {
            "shapeMU": 1e5 * spread(arrays["meanshape"].reshape(-1, 1), full, basel, 0),
            "shapePC": spread(1e5 * arrays["idBase"] / identity_sigma[:80], full, basel, 6),
            "shapeEV": identity_sigma[:, None],
            "texMU": spread(arrays["meantex"].reshape(-1, 1), full, basel, 0),
            "texPC": spread(arrays["texBase"] / albedo_sigma[:80], full, basel, 6),
            "texEV": albedo_sigma[:, None],
            "tl": np.ones((4, 3)),
        },
    )
    moves = spread(1e5 * arrays["exBase"] / moves_sigma[:64], moved, front, 15)
    with (folder / "Exp_Pca.bin").open("wb") as stream:
        stream.write(np.int32(79).tobytes())
        stream.write(rng.normal(size=3 * moved).astype("<f4").tobytes())
        stream.write(moves.T.astype("<f4").tobytes())
    np.savetxt(folder / "std_exp.txt", moves_sigma[None])
    scipy.io.savemat(folder / "BFM_front_idx.mat", {"idx": front[:, None] + 1})
    scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": reference[:, None] + 1})
    tables = ("tri", "point_buf", "keypoints", "frontmask2_idx", "tri_mask2", "skinmask")
    scipy.io.savemat(folder / "facemodel_info.mat", {name: arrays[name] for name in tables})
    return folder
