"""Symmetric completion of half-seen heads: what was seen, where each vertex is from, the whole head, and the truth."""

import math
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.ops import complete_symmetry, rasterize, vertex_normals, vertex_visibility
from pyface3d.render import View, render_clay, render_textured

Picture = NDArray[np.uint8]
TILE = 330
LEVEL = 2  # of subdivision: wrinkles of a few millimetres
FAR = math.radians(-35)  # shows the side that the camera did not see
# Yaw of the photo in degrees, and actions: the last two are asymmetric.
PEOPLE: tuple[tuple[float, dict[str, float]], ...] = (
    (30, {}),
    (40, {"jawOpen": 0.25, "browInnerUp": 0.6}),
    (30, {"mouthSmileLeft": 0.9, "browOuterUpLeft": 0.9, "eyeSquintLeft": 0.7}),
    (30, {"mouthSmileRight": 0.9, "eyeBlinkRight": 1.0, "mouthLeft": 0.5}),
)
# Linear RGB that the clay is multiplied by.
_PRIOR, _OBSERVED, _MIRRORED, _HOLE = (0.45, 0.45, 0.45), (0.15, 0.55, 0.2), (0.15, 0.3, 0.9), (0.85, 0.1, 0.08)


def draw(folder: Path) -> list[Path]:
    """Writes the sheet; returns its path."""
    model = load_face_model("head", LEVEL)
    generator = torch.Generator().manual_seed(4)
    rows = [_row(model, index, *person, generator) for index, person in enumerate(PEOPLE)]
    path = folder / "symmetry_completion.png"
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
    return [path]


def _row(model: FaceModel, index: int, yaw: float, actions: dict[str, float], generator: torch.Generator) -> Picture:
    identity = torch.randn(1, model.identity_dim, generator=generator)
    expression = torch.zeros(1, model.expression_dim)
    for name, value in actions.items():
        expression[0, model.expression_names.index(name)] = value
    # The reference is what a fit would know: half of the person, most of the expression, no relief.
    reference = model.vertices(0.5 * identity, 0.8 * expression)
    truth = _with_relief(model, model.vertices(identity, expression))
    known = _seen(model, truth[0], math.radians(yaw))
    verts = torch.where(known[:, None], truth, reference)
    completed, source = complete_symmetry(verts, known.to(verts)[None], model.mirror, reference, model.topology)
    skin = model.regions["face"] & (source[0] == 2)
    errors = [float((v - truth)[0, skin].norm(dim=-1).square().mean().sqrt()) for v in (reference, completed)]
    red = torch.where(known[:, None], torch.ones(3), torch.tensor(_HOLE) * 1.6)
    sources = torch.tensor([_PRIOR, _OBSERVED, _MIRRORED])[source[0].long()] * 1.6
    columns: list[tuple[str, Tensor, Tensor | None]] = [
        (f"{index + 1}: seen at {yaw:.0f} deg; rest = reference", verts[0], red),
        ("source: green seen, blue mirrored", completed[0], sources),
        (f"completed; far face {errors[0]:.1f} -> {errors[1]:.1f} mm rms", completed[0], None),
        ("truth", truth[0], None),
    ]
    tiles = [_tile(model, head, colours, label, turn) for label, head, colours in columns for turn in (0.0, FAR)]
    return np.concatenate(tiles, axis=1)


def _with_relief(model: FaceModel, head: Tensor) -> Tensor:
    """Wrinkles and folds up to a millimetre, alike on both sides, out of the face."""
    rest = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0]
    x, y = rest[:, 0].abs(), rest[:, 1]
    brow = model.regions["brows"].nonzero()[:, 0]
    forehead = torch.sigmoid((y - rest[brow, 1].max() - 6) / 3)
    wrinkles = 0.9 * forehead * torch.cos((y + 2 * torch.cos(x / 14)) * 2 * math.pi / 9)
    mouth = rest[model.regions["lips"]].mean(0)
    fold = x - 26 - 0.45 * (mouth[1] + 10 - y)  # beside nose and mouth
    below = torch.exp(-(((y - mouth[1] - 12) / 18) ** 2))
    folds = -1.3 * below * torch.exp(-((fold / 2.2) ** 2)) + 0.8 * below * torch.exp(-(((fold - 6) / 5) ** 2))
    face = model.regions["face"] & ~model.regions["lips"]
    amount = (wrinkles + folds) * (face & (rest[:, 2] > 0))
    return head + amount[:, None] * vertex_normals(head, model.topology)


def _seen(model: FaceModel, head: Tensor, yaw: float) -> Tensor:
    """Visible from a camera that sees the head turned by yaw, on the near side of the symmetry plane."""
    view = View.around(head, yaw=yaw, size=1000)
    image = view.camera.project(view.apply(head)[None])
    fragments = rasterize(image, model.topology, 1000, 1000)
    return vertex_visibility(image, fragments, model.topology, tolerance_mm=2.5)[0] & (head[:, 0] <= 0.5)


def _tile(model: FaceModel, head: Tensor, colours: Tensor | None, label: str, yaw: float) -> Picture:
    corner = head.new_tensor([[-85.0, -135.0, -60.0], [85.0, 75.0, 60.0]])  # one place and scale for all
    view = View.around(corner, yaw=yaw, size=TILE, height_mm=225.0)
    picture = render_clay(head, model.topology, view).float()
    if colours is not None:
        flat = render_textured(head, model.topology, colours.clamp(0, 1), view).float()
        picture = picture * flat / 255
    tile = np.ascontiguousarray(picture.clamp(0, 255).to(torch.uint8).numpy())
    if yaw == 0:
        cv2.putText(tile, label, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (150, 0, 0), 1, cv2.LINE_AA)
    return tile
