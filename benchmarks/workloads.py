"""Scenes the benchmarks share: meshes the size of a face model's, seen by the camera of a face network's crop."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyface3d.ops import Topology

ROOT = Path(__file__).resolve().parents[1]


def data_folder() -> Path:
    """Where the meshes bfm70k, bfm53k and head26k lie: beside the test data, never inside the project."""
    data = Path(os.environ.get("PYFACE3D_TEST_DATA", ROOT.parent / "shared" / "data"))
    return data.parent / "perf"


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3) float64 in camera axes (x right, y down, z away), height 2, about the origin."""

    name: str
    verts: np.ndarray
    faces: np.ndarray

    @property
    def topology(self) -> Topology:
        return Topology(torch.from_numpy(self.faces), len(self.verts))


def load_mesh(path: Path) -> Mesh:
    arrays = np.load(path)
    return Mesh(path.stem, arrays["v"].astype(np.float64), arrays["t"])


def benchmark_mesh(name: str = "bfm70k") -> Mesh:
    """The named mesh, or a synthetic head of its size where the data is not on this machine."""
    path = data_folder() / f"{name}.npz"
    return load_mesh(path) if path.is_file() else synthetic_head()


def synthetic_head(rows: int = 189, columns: int = 189) -> Mesh:
    """The front of an ellipsoid with a nose: 35,721 vertices, 70,688 faces, as open as a face model's."""
    v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1.2, 1.2, columns), indexing="ij")
    polar = v * np.pi * 0.47
    verts = np.stack([0.72 * np.sin(u) * np.cos(polar), np.sin(polar), -0.8 * np.cos(u) * np.cos(polar)], -1)
    verts[..., 2] -= 0.25 * np.exp(-((u / 0.18) ** 2) - ((v - 0.05) / 0.2) ** 2)
    at = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2)
    return Mesh("synthetic70k", verts.reshape(-1, 3), faces.reshape(-1, 3).astype(np.int32))


def scene(mesh: Mesh, batch: int, size: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Topology]:
    """``batch`` views of the mesh in pictures of ``size`` pixels squared, the same views in every run.

    Yaw within 60 degrees, pitch 20, roll 15; ten units away; focal length 1015 pixels at 224. Returns verts_image
    (B, V, 3) and the topology.
    """
    rng = np.random.default_rng(0)
    focal = 1015 * size / 224
    views = []
    for _ in range(batch):
        yaw, pitch, roll = np.radians([rng.uniform(-60, 60), rng.uniform(-20, 20), rng.uniform(-15, 15)])
        rotation = _turn(2, roll) @ _turn(0, pitch) @ _turn(1, yaw)
        shift = [rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), 10 + rng.uniform(-0.3, 0.3)]
        x, y, z = (mesh.verts @ rotation.T + shift).T
        views.append(np.stack([focal * x / z + size / 2, focal * y / z + size / 2, z], -1))
    return torch.tensor(np.array(views), dtype=dtype), mesh.topology


def _turn(axis: int, angle: float) -> np.ndarray:
    """Right-handed rotation about a coordinate axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix
