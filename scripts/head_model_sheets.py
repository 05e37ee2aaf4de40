"""Contact sheets of a face model to judge by eye: people, expressions, components, landmarks, contour, chart.

python scripts/head_model_sheets.py OUT [--model head] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.io.color import linear_to_srgb
from pyface3d.render import View, render_clay, render_textured

TILE = 300
QUARTER = math.radians(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="head")
    parser.add_argument("--level", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=sorted(SHEETS), help="leave out the others")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    model = load_face_model(arguments.model, arguments.level)
    generator = torch.Generator().manual_seed(arguments.seed)
    for name in arguments.only or SHEETS:
        picture = SHEETS[name](model, generator)
        path = arguments.output / f"{model.name}_{name}.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        print(path)


def people(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """24 random people as clay, from the front and turned by 45 degrees."""
    verts = model.vertices(torch.randn(24, model.identity_dim, generator=generator), _rest(model, 24))
    tiles = [_tile(render_clay(head, model.topology, _view(head, yaw))) for head in verts for yaw in (0.0, QUARTER)]
    return _grid(tiles, 8)


def people_textured(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """The same with random albedo, unlit."""
    verts = model.vertices(torch.randn(24, model.identity_dim, generator=generator), _rest(model, 24))
    albedo = model.albedo(torch.randn(24, model.albedo_dim, generator=generator))
    tiles = [
        _tile(render_textured(head, model.topology, texture, _view(head, yaw)))
        for head, texture in zip(verts, albedo)
        for yaw in (0.0, QUARTER)
    ]
    return _grid(tiles, 8)


def expressions(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """Every action at full strength on the mean head, textured and as clay."""
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.eye(model.expression_dim))
    texture = model.albedo(torch.zeros(1, model.albedo_dim))[0]
    tiles = []
    for name, head in zip(model.expression_names, verts):
        view = _close_view(head)
        tiles.append(_tile(render_clay(head, model.topology, view), name))
        tiles.append(_tile(render_textured(head, model.topology, texture, view)))
    return _grid(tiles, 8)


def identity_components(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """The first 12 identity components at -2 and +2 standard deviations, front and 45 degrees."""
    tiles = []
    for index in range(min(12, model.identity_dim)):
        for value in (-2.0, 2.0):
            identity = torch.zeros(1, model.identity_dim)
            identity[0, index] = value
            head = model.vertices(identity, _rest(model, 1))[0]
            for yaw in (0.0, QUARTER):
                tiles.append(_tile(render_clay(head, model.topology, _view(head, yaw)), f"{index} {value:+.0f}"))
    return _grid(tiles, 8)


def albedo_components(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """The first 12 albedo components at -2 and +2 standard deviations."""
    head = model.vertices(torch.zeros(1, model.identity_dim), _rest(model, 1))[0]
    tiles = []
    for index in range(min(12, model.albedo_dim)):
        for value in (-2.0, 2.0):
            coefficients = torch.zeros(1, model.albedo_dim)
            coefficients[0, index] = value
            texture = model.albedo(coefficients)[0]
            tiles.append(_tile(render_textured(head, model.topology, texture, _view(head)), f"{index} {value:+.0f}"))
    return _grid(tiles, 8)


def landmarks(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """The 68 points on the mean head, front and side, and the contour candidates below."""
    head = model.vertices(torch.zeros(1, model.identity_dim), _rest(model, 1))[0]
    points = model.landmarks("ibug68").points(head[None], model.topology)[0]
    candidates = model.contour()
    rows = [head[row[row >= 0]] for row in candidates]
    upper, lower = [], []
    for yaw in (0.0, QUARTER, math.radians(80)):
        view = _close_view(head, yaw, 900)
        upper.append(_dots(_array(render_clay(head, model.topology, view)), view, [points], numbered=True))
        lower.append(_dots(_array(render_clay(head, model.topology, view)), view, rows))
    return np.concatenate([np.concatenate(upper, axis=1), np.concatenate(lower, axis=1)])


def regions(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """Each named region in red, front and 45 degrees."""
    head = model.vertices(torch.zeros(1, model.identity_dim), _rest(model, 1))[0]
    tiles = []
    for name, mask in model.regions.items():
        colours = torch.where(mask[:, None], torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.5, 0.5, 0.5]))
        for yaw in (0.0, QUARTER):
            view = _view(head, yaw)
            lit = render_clay(head, model.topology, view).float()
            flat = render_textured(head, model.topology, colours, view).float()
            tiles.append(_tile((lit * flat / 255.0).to(torch.uint8), name))
    return _grid(tiles, 8)


def chart(model: FaceModel, generator: torch.Generator) -> np.ndarray:
    """Mean texture with the chart's triangles."""
    topology = model.topology
    if topology.uvs is None or topology.uv_faces is None:
        raise SystemExit(f"model {model.name!r} has no chart")
    texture = linear_to_srgb(model.albedo(torch.zeros(1, model.albedo_dim)))[0].numpy()
    picture = cv2.resize((texture * 255).astype(np.uint8), (1536, 1536), interpolation=cv2.INTER_CUBIC)
    corners = topology.uvs.numpy()[topology.uv_faces.numpy()] * 1536 * 16
    cv2.polylines(picture, list(np.round(corners).astype(np.int32)), True, (40, 90, 40), 1, cv2.LINE_AA, shift=4)
    return picture


SHEETS: dict[str, Callable[[FaceModel, torch.Generator], np.ndarray]] = {
    "people": people,
    "people_textured": people_textured,
    "expressions": expressions,
    "identity": identity_components,
    "albedo": albedo_components,
    "landmarks": landmarks,
    "regions": regions,
    "chart": chart,
}


def _rest(model: FaceModel, count: int) -> Tensor:
    return torch.zeros(count, model.expression_dim)


def _view(head: Tensor, yaw: float = 0.0) -> View:
    return View.around(head, yaw=yaw, size=TILE, height_mm=290.0)


def _close_view(head: Tensor, yaw: float = 0.0, size: int = TILE) -> View:
    """The face from brow to chin, always at one place, so that what moves is seen to move."""
    corner = head.new_tensor([[-85.0, -135.0, -60.0], [85.0, 55.0, 60.0]])
    return View.around(corner, yaw=yaw, size=size, height_mm=195.0)


def _array(picture: Tensor) -> np.ndarray:
    return np.ascontiguousarray(picture.numpy())


def _tile(picture: Tensor, label: str = "") -> np.ndarray:
    tile = _array(picture)
    if label:
        cv2.putText(tile, label, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (160, 0, 0), 1, cv2.LINE_AA)
    return tile


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    blank = np.full_like(tiles[0], 255)
    tiles = tiles + [blank] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])


def _dots(picture: np.ndarray, view: View, groups: list[Tensor], numbered: bool = False) -> np.ndarray:
    colours = [(220, 0, 0), (0, 150, 0), (0, 0, 220)]
    for index, group in enumerate(groups):
        spots = view.camera.project(view.apply(group)[None])[0, :, :2].round().int().tolist()
        for number, spot in enumerate(spots):
            cv2.circle(picture, spot, 3, colours[index % 3], -1, cv2.LINE_AA)
            if numbered:
                cv2.putText(
                    picture, str(number), (spot[0] + 4, spot[1]), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 160), 1
                )
    return picture


if __name__ == "__main__":
    main()
