"""A small head of our own making, for tests that need a result but no fit: an egg with a nose and 52 named moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import Topology
from pyface3d.reconstruction import Reconstruction

# fmt: off
ARKIT = [
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
]
# fmt: on


@dataclass
class EggModel:
    """A linear model over an egg of ``rows`` x ``columns`` quads, with a seam in its texture chart at the back."""

    rows: int = 24
    columns: int = 32
    name: str = "egg"
    expression_names: tuple[str, ...] = tuple(ARKIT)
    card: dict = field(default_factory=lambda: {"licence": "Apache-2.0", "sha256": "0" * 64})

    def __post_init__(self) -> None:
        rows, columns = self.rows, self.columns
        tilt = np.linspace(0, np.pi, rows + 1)[1:-1]
        turn = np.arange(columns) / columns * 2 * np.pi - np.pi  # the face is at 0, the seam at the back
        up, around = np.meshgrid(np.cos(tilt), turn, indexing="ij")
        ring = np.sin(np.arccos(up))
        body = np.stack([80 * ring * np.sin(around), 110 * up, 95 * ring * np.cos(around)], -1).reshape(-1, 3)
        nose = np.exp(-((body[:, 0] / 12) ** 2) - ((body[:, 1] + 5) / 22) ** 2) * (body[:, 2] > 0)
        body[:, 2] += 18 * nose
        self.template = torch.tensor(np.concatenate([body, [[0, 110, 0], [0, -110, 0]]]), dtype=torch.float32)
        faces, uv_faces, uvs = [], [], []
        width = columns + 1
        for row in range(rows - 1):
            for column in range(width):
                uvs.append((column / columns, (row + 1) / rows))
        for row in range(rows - 2):
            for column in range(columns):
                a, b = row * columns + column, row * columns + (column + 1) % columns
                faces += [(a, a + columns, b), (b, a + columns, b + columns)]
                s, t = row * width + column, row * width + column + 1
                uv_faces += [(s, s + width, t), (t, s + width, t + width)]
        last = (rows - 2) * columns
        for column in range(columns):
            following = (column + 1) % columns
            faces.append((len(body), column, following))
            faces.append((len(body) + 1, last + following, last + column))
            uvs += [((column + 0.5) / columns, 0.0), ((column + 0.5) / columns, 1.0)]
            uv_faces.append((len(uvs) - 2, column, column + 1))
            uv_faces.append((len(uvs) - 1, (rows - 2) * width + column + 1, (rows - 2) * width + column))
        self.topology = Topology(
            torch.tensor(faces), len(self.template), torch.tensor(uvs, dtype=torch.float32), torch.tensor(uv_faces)
        )
        generator = torch.Generator().manual_seed(7)
        centers = torch.randint(len(body), (len(ARKIT),), generator=generator)
        moves = torch.randn(len(ARKIT), 3, generator=generator) * 6
        distance = (self.template[None] - self.template[centers][:, None]).norm(dim=-1)
        self.expression = (1 - distance / 35).clamp_min(0)[..., None] ** 2 * moves[:, None]
        self.identity = torch.stack([self.template * 0.03, self.template * torch.tensor([0.05, 0.0, 0.0])])

    def to(self, device: str) -> EggModel:
        return self

    def vertices(self, identity: Tensor, expression: Tensor) -> Tensor:
        shape = torch.einsum("bi,ivc->bvc", identity, self.identity.to(identity))
        move = torch.einsum("be,evc->bvc", expression, self.expression.to(expression))
        return self.template.to(identity) + shape + move


def checker_texture(size: int = 128) -> Tensor:
    """Skin-coloured squares with a gradient, so that a wrong place or a turned axis shows; linear RGB."""
    v, u = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    squares = ((u // 8 + v // 8) % 2)[..., None]
    srgb = np.concatenate([np.full((size, size, 1), 200), u[..., None] * 255 / size, v[..., None] * 255 / size], -1)
    return torch.from_numpy(srgb_to_linear((srgb * (0.8 + 0.2 * squares)).astype(np.uint8)))


def chart_texture(size: int = 256) -> np.ndarray:
    """A texture that spells its own coordinates: green grows with u, blue with v; sRGB bytes."""
    v, u = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size, indexing="ij")
    return np.stack([np.full_like(u, 200), 255 * u, 255 * v], -1).round().astype(np.uint8)


def egg_reconstruction(height: int = 240, width: int = 320, yaw: float = 0.3, seed: int = 0) -> Reconstruction:
    """A result as a system would give it, of an egg in the middle of a picture."""
    model = EggModel()
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(2, generator=generator)
    expression = torch.rand(len(ARKIT), generator=generator) * 0.5
    verts = model.vertices(identity[None], expression[None])[0]
    angles = (torch.tensor([value]) for value in (yaw, 0.1, -0.05))
    rotation = rotation_from_euler(*angles)[0]
    translation = torch.tensor([0.0, 0.0, 900.0])
    from pyface3d.ops import vertex_normals

    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[60:180, 100:220] = True
    count = len(verts)
    return Reconstruction(
        image_size=(height, width),
        box=(width / 2 - 40.0, height / 2 - 50.0, width / 2 + 40.0, height / 2 + 50.0),
        crop=None,
        camera=Camera(torch.tensor([700.0]), torch.tensor([[width / 2, height / 2]]), height, width),
        coefficients={
            "identity": identity,
            "expression": expression,
            "rotation": rotation,
            "translation": translation,
        },
        verts=verts,
        verts_aligned=verts @ rotation.T + translation,
        topology=model.topology,
        texture=checker_texture(),
        bump=None,
        normals=vertex_normals(verts, model.topology),
        occlusion_mask=mask,
        source=(torch.arange(count) % 4).to(torch.uint8),
        confidence=torch.linspace(0, 1, count),
        landmarks=torch.rand(68, 2, generator=generator) * 100,
        system="fit",
        model=model,
        timings={"fit": 0.1},
    )
