"""Outlines of the head: enlarged, as steps, antialiased and supersampled; and the fit of a pose to a silhouette."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from pyface3d import ops
from pyface3d.face_models import load_face_model
from pyface3d.io.color import linear_to_srgb
from pyface3d.render import View

Picture = NDArray[np.uint8]
SIZE = 160
CROP = 36  # pixels of a side, each drawn ZOOM times as large
ZOOM = 11
STEPS = (25, 75, 300)
_LIGHT = (-0.6, -0.5, -0.6)  # towards it, in the camera frame (x right, y down, z forward)
_WALL = (0.10, 0.18, 0.30)  # linear, behind the head


def draw(folder: Path) -> list[Path]:
    """Writes the sheets; returns their paths."""
    paths = []
    for name, picture in (("antialias_outlines.png", outlines()), ("antialias_fit.png", silhouette_fit())):
        paths.append(folder / name)
        cv2.imwrite(str(paths[-1]), picture[..., ::-1])
    return paths


def outlines() -> Picture:
    """Nose before cheek, ear and jaw before the wall; the mesh has the faces of a pixel's size or less."""
    model = load_face_model("head", 1)
    head = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0]
    view = View.around(head, yaw=math.radians(50), size=SIZE, height_mm=300.0)
    verts = view.camera.project(view.apply(head)[None])
    normals = ops.vertex_normals(view.apply(head)[None], model.topology)
    lit = (normals @ normalize(torch.tensor(_LIGHT), dim=0)).clamp(min=0)
    colours = (0.05 + 0.6 * lit)[..., None] * torch.tensor([1.0, 0.82, 0.70])

    def picture(times: int) -> tuple[Tensor, ops.Fragments]:
        scale = torch.tensor([times, times, 1.0])
        fragments = ops.rasterize(verts * scale, model.topology, SIZE * times, SIZE * times)
        drawn = ops.interpolate(colours, fragments, model.topology)
        return torch.where(fragments.mask[..., None], drawn, torch.tensor(_WALL)), fragments

    plain, fragments = picture(1)
    smooth = ops.antialias(plain, fragments, verts, model.topology)
    fine = picture(16)[0].reshape(1, SIZE, 16, SIZE, 16, 3).mean((2, 4))
    at_outline = (smooth != plain).any(-1)
    error = [(p - fine)[at_outline].square().mean().sqrt().item() for p in (plain, smooth)]
    titles = f"plain, error {error[0]:.3f}", f"antialias, error {error[1]:.3f}", "16 x 16 samples"
    rows = []
    for row, column in _crops(fragments):
        tiles = []
        for title, image in zip(titles, (plain, smooth, fine)):
            crop = linear_to_srgb(image[0, row : row + CROP, column : column + CROP].clamp(0, 1))
            pixels = (255 * crop).round().to(torch.uint8).numpy().repeat(ZOOM, 0).repeat(ZOOM, 1)
            tiles.append(_labelled(pixels, title))
        rows.append(np.concatenate(tiles, 1))
    return np.concatenate(rows, 0)


def _crops(fragments: ops.Fragments) -> list[tuple[int, int]]:
    """Corners of three crops: the steepest step of depth inside the head, the crown, the outline at half height."""
    depth, mask = fragments.depth[0], fragments.mask[0]
    step = torch.where(mask[:, 1:] & mask[:, :-1], (depth[:, 1:] - depth[:, :-1]).abs(), 0.0)
    middle = slice(SIZE // 3, 2 * SIZE // 3)
    score = torch.nn.functional.avg_pool2d(step[None, middle], 9, 1, 4)[0]
    nose = divmod(int(score.argmax()), score.shape[1])
    rows, columns = mask.nonzero(as_tuple=True)
    crown = (int(rows.min()), int(columns[rows == rows.min()].float().mean()))
    back = (SIZE // 2, int(columns[rows == SIZE // 2].max()))
    places = (nose[0] + SIZE // 3, nose[1]), crown, back
    return [tuple(min(max(at - CROP // 2, 0), SIZE - CROP) for at in place) for place in places]  # type: ignore[misc]


def silhouette_fit() -> Picture:
    """examples/fit_silhouette.py, short and long: white is hit, red is missing, blue is too much."""
    example = _example("fit_silhouette")
    target = example.silhouette(*example.TRUTH, 288)
    poses = [("start", example.START), *((f"{steps} steps", example.fit(target, steps)) for steps in STEPS)]
    tiles = [_labelled(_overlay(target, target), "target")]
    for name, pose in poses:
        overlap, degrees, distance = example.misfit(*pose, target)
        label = f"{name}: overlap {overlap:.3f}, {degrees:.1f} deg, {distance:.1f} mm"
        tiles.append(_labelled(_overlay(example.silhouette(*pose, 288), target), label))
    return np.concatenate(tiles, 1)


def _overlay(mask: Tensor, target: Tensor) -> Picture:
    picture = torch.cat([target, torch.minimum(mask, target), mask], -1)[0]
    return (255 * picture).round().to(torch.uint8).numpy()


def _example(name: str) -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _labelled(picture: Picture, text: str) -> Picture:
    """With its title above, and a margin."""
    framed = cv2.copyMakeBorder(picture, 22, 4, 4, 4, cv2.BORDER_CONSTANT, value=(32, 32, 32))
    cv2.putText(framed, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return np.asarray(framed, np.uint8)
