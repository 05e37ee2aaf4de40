"""One line of the table of ops: what to call an op with, a slow twin to compare with, what it is differentiable in."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pyface3d import ops
from pyface3d.ops import Fragments, Topology

Tensors = dict[str, Tensor]
Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Size:
    """How big the inputs of a case are made."""

    batch: int = 2
    grid: int = 4  # vertices along one side of the mesh
    height: int = 6
    width: int = 7
    texture: int = 5


SMALL = Size()
LARGE = Size(batch=3, grid=80, height=150, width=170, texture=130)  # enough work for every loop to be split


@dataclass(frozen=True)
class OpCase:
    """One way to call one public op.

    Attributes:
        op: name in ``pyface3d.ops.__all__``.
        variant: what is special about this case.
        inputs: tensors by name, made on the CPU in float64 for a size; index tensors keep their type.
        call, oracle: from those tensors and the mesh to the op's outputs; the oracle works in float64, one item at a
            time or with torch operations that can be read at a glance.
        differentiable: the inputs for which ``gradcheck`` must hold.
        batched: the inputs whose first axis is the batch.
        needs_faces: inputs name faces, so the mesh cannot be emptied under them.
    """

    op: str
    variant: str
    inputs: Callable[[Size], Tensors]
    call: Callable[[Tensors, Topology], Outputs]
    oracle: Callable[[Tensors, Topology], Outputs]
    differentiable: tuple[str, ...] = ()
    batched: tuple[str, ...] = ()
    needs_faces: bool = False
    tolerance: dict[torch.dtype, tuple[float, float]] = field(default_factory=dict)  # rtol, atol where not the default

    @property
    def name(self) -> str:
        return f"{self.op}-{self.variant}" if self.variant else self.op


def mesh(size: Size) -> Topology:
    """A bent sheet of grid x grid vertices with a vertex that no face uses and texture coordinates."""
    n = size.grid
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (m.reshape(-1) for m in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    v, u = np.meshgrid(np.linspace(0.1, 0.85, n), np.linspace(0.05, 0.9, n), indexing="ij")
    uvs = np.concatenate([np.stack([u.ravel(), v.ravel()], 1), [[0.95, 0.95]]])
    return Topology(torch.from_numpy(faces), n * n + 1, uvs=torch.from_numpy(uvs))


def random_values(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def sheet(size: Size) -> Tensor:
    """Positions of ``mesh`` in mm, a different bent sheet in every image."""
    n = size.grid
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64),) * 2, indexing="ij")
    flat = torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3)
    verts = torch.cat([flat, torch.zeros(1, 3, dtype=torch.float64)]).expand(size.batch, -1, -1)
    return verts + random_values(1, *verts.shape, low=-0.3, high=0.3) / n


def sheet_image(size: Size) -> Tensor:
    """``mesh`` in the image: x px, y px, depth mm; its front, nearly filling the frame."""
    extent = torch.tensor([size.width / 2.2, size.height / 2.2, 0.0], dtype=torch.float64)
    middle = torch.tensor([size.width / 2, size.height / 2, 0.0], dtype=torch.float64)
    depth = random_values(2, size.batch, size.grid**2 + 1, 1, low=9.0, high=11.0)
    return torch.cat([(sheet(size) * extent + middle)[..., :2], depth], -1)


def fragment_tensors(size: Size) -> Tensors:
    """Fragments that no rasteriser has to make: random faces, one pixel in four without."""
    shape = (size.batch, size.height, size.width)
    generator = torch.Generator().manual_seed(3)
    faces = torch.randint(0, mesh(size).num_faces, shape, generator=generator, dtype=torch.int32)
    empty = torch.rand(shape, generator=generator) < 0.25
    weights = random_values(4, *shape, 3, low=0.1)
    weights = weights / weights.sum(-1, keepdim=True)
    weights[empty] = 0
    faces[empty] = -1
    depth = random_values(5, *shape, low=8.0, high=12.0)
    depth[empty] = 0
    return {"face_index": faces, "barycentrics": weights, "depth": depth}


def fragments_of(tensors: Tensors) -> Fragments:
    return Fragments(tensors["face_index"], tensors["barycentrics"], tensors["depth"])


def rasterized_sheet(size: Size) -> Tensors:
    verts = sheet_image(size)
    return {"verts_image": verts, **ops.rasterize(verts, mesh(size), size.height, size.width)._asdict()}
