"""A head of 64 pixels, its texture read nearest, bilinear and trilinear, beside the mean of 256 times the pixels."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.face_models import load_face_model
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import Fragments, Topology, rasterize, render_texture, uv_footprint
from pyface3d.render import View

Picture = NDArray[np.uint8]
SIZE = 64  # pixels of the head
FINER = 16  # pixels of the reference to one of these, along each side
SCALE = 4  # of the panels
YAW = 0.5  # radians: cheek seen at a slant
FILTERS = ("nearest", "bilinear", "trilinear")


def draw(folder: Path) -> list[Path]:
    """Writes the sheet; returns its path."""
    path = folder / "texture_filters.png"
    cv2.imwrite(str(path), sheet()[..., ::-1])
    return [path]


def sheet() -> Picture:
    """A row for each texture, plain and with a fine check: the reference, three filters, and their errors."""
    model = load_face_model("head")
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0]
    albedo = model.albedo(torch.zeros(1, model.albedo_dim))
    view = View.around(verts, yaw=YAW, size=SIZE)
    rows = [_row(texture, name, verts, model.topology, view) for name, texture in _textures(albedo).items()]
    return np.concatenate(rows, 0)


def _textures(albedo: Tensor) -> dict[str, Tensor]:
    _, height, width, _ = albedo.shape
    rows, columns = torch.arange(height)[:, None] // 6, torch.arange(width) // 6
    check = ((rows + columns) % 2).to(albedo.dtype)[None, ..., None]
    return {f"albedo {height} x {width}": albedo, "albedo, checks of 6 texels": albedo * (0.35 + 0.65 * check)}


def _row(texture: Tensor, name: str, verts: Tensor, topology: Topology, view: View) -> Picture:
    reference, whole = _reference(texture, verts, topology, view)
    pictures, errors = [_panel(reference, f"{name}: {FINER}x{FINER} a pixel")], []
    for filter in FILTERS:
        points, fragments = _rasterize(verts, topology, view)
        footprint = uv_footprint(points, fragments, topology)
        drawn = render_texture(texture, fragments, topology, filter, uv_footprint=footprint)[0]
        drawn = drawn + 1.0 * ~fragments.mask[0, ..., None]
        off = (drawn - reference)[whole]
        pictures.append(_panel(drawn, f"{filter}: off by {float(off.pow(2).mean().sqrt()):.4f} rms"))
        shown = (0.5 + 2 * (drawn - reference) * whole[..., None]).clamp(0, 1)
        errors.append(_panel(shown, f"error x 2, worst {float(off.abs().max()):.3f}", linear=False))
    blank = np.full_like(errors[0], 255)
    return np.concatenate([np.concatenate(pictures, 1), np.concatenate([blank, *errors], 1)], 0)


def _rasterize(verts: Tensor, topology: Topology, view: View) -> tuple[Tensor, Fragments]:
    points = view.camera.project(view.apply(verts)[None])
    return points, rasterize(points, topology, view.camera.height, view.camera.width)


def _reference(texture: Tensor, verts: Tensor, topology: Topology, view: View) -> tuple[Tensor, Tensor]:
    """Mean of the fine pixels that show the head, white elsewhere; and the pixels (H, W) that it covers wholly."""
    _, fragments = _rasterize(verts, topology, view.scaled(FINER))
    drawn = render_texture(texture, fragments, topology)
    sums, shares = (
        torch.nn.functional.avg_pool2d(t.permute(0, 3, 1, 2), FINER)[0].permute(1, 2, 0)
        for t in (drawn, fragments.mask[..., None].to(drawn.dtype))
    )
    return sums + (1 - shares), shares[..., 0] == 1


def _panel(image: Tensor, caption: str, linear: bool = True) -> Picture:
    image = linear_to_srgb(image.clamp(0, 1)) if linear else image
    picture = (image * 255).round().to(torch.uint8).numpy().repeat(SCALE, 0).repeat(SCALE, 1)
    bar = np.full((26, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, caption, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return np.pad(np.concatenate([bar, picture], 0), ((0, 6), (0, 6), (0, 0)), constant_values=255)
