"""Poisson blending of relief: a face with two holes, and how near it comes to the published blended maps."""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d import ops

Picture = NDArray[np.uint8]
SIZE = 512
PITCH_MM = 0.6  # of a pixel of a relief map
LEVEL_MM = 1.25 / 12  # of a grey level of the published maps
CASES = ("bb3dd35e", "9ba15ec8", "s1reuters", "fcb3e8d8")


def draw(folder: Path) -> list[Path]:
    """Writes the sheets; returns their paths."""
    sheets = [("blend_procedural.png", procedural())]
    published = published_maps()
    if published is not None:
        sheets.append(("blend_published.png", published))
    paths = []
    for name, picture in sheets:
        paths.append(folder / name)
        cv2.imwrite(str(paths[-1]), picture[..., ::-1])
    return paths


def procedural() -> Picture:
    """One eye behind a patch, the mouth behind a cup: filled by the face's own mirror image and by another face."""
    truth, other = face(0), face(1)
    own_mirror = truth.flip(-1)
    y, x = coordinates()
    patch = (((x - 0.33) / 0.24) ** 2 + ((y + 0.22) / 0.2) ** 2) < 1
    cup = (((x + 0.02) / 0.34) ** 4 + ((y - 0.48) / 0.2) ** 4) < 1
    labels = torch.where(patch, 1, torch.where(cup, 2, 0))[None]
    occluder = 3.5 + 0.6 * torch.sin(40 * x) * patch - 6 * (x + 0.02) ** 2 * cup
    target = torch.where(labels > 0, truth + occluder, truth)
    donors = torch.stack([own_mirror, other + 2.5], 1)  # the other map has another zero
    membrane = ops.blend_gradients(target, 0 * target, labels > 0)
    blend = ops.blend_gradients(target, donors, labels, data_weight=0.01, feather_px=3)
    pasted = torch.where(labels == 1, donors[:, 0], torch.where(labels == 2, donors[:, 1], target))
    hole = labels > 0
    tiles = [
        _labelled(clay(truth), "truth"),
        _labelled(marked(clay(target), hole), "target: two occluders (outlined)"),
        _labelled(clay(own_mirror), "donor 1, for the eye: own mirror image"),
        _labelled(clay(donors[:, 1]), "donor 2, for the mouth: another face, zero 2.5 mm off"),
        _labelled(clay(pasted), "donors pasted: seams"),
        _labelled(marked(clay(membrane), hole), f"membrane: {scores(membrane, truth, hole)}"),
        _labelled(marked(clay(blend), hole), f"blend: {scores(blend, truth, hole)}"),
        _labelled(clay(blend), "blend"),
        _labelled(heat(pasted - truth, 3.0), "pasted - truth, red +3 mm, blue -3 mm"),
        _labelled(heat(membrane - truth, 3.0), "membrane - truth"),
        _labelled(heat(blend - truth, 3.0), "blend - truth"),
        _labelled(heat((blend - target) * ~hole, 0.1), "blend - target outside the holes, +-0.1 mm"),
    ]
    return _grid(tiles, 4)


def published_maps() -> Picture | None:
    """Relief before and after the occlusion recovery of Extreme 3D faces; None where the maps are not at hand.

    The edited region is where the published change is not harmonic. With the published gradients there and the
    original's elsewhere, whole image and fixed border, the solution should be the published map, which is rounded down
    to whole levels: its change is 0 or -1 where ours is a little off 0.
    """
    root = Path(os.environ.get("PYFACE3D_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    paper = root / "extreme3d" / "paper"
    found = [path for case in CASES for path in sorted(paper.glob(f"bump_original/{case}*_bump.png"))]
    if not found:
        print(f"blend: no published relief maps under {paper}, that sheet is left out")
        return None
    tiles = []
    for path in found:
        before, after = (
            torch.from_numpy(cv2.imread(str(paper / kind / path.name), cv2.IMREAD_GRAYSCALE).astype(np.float64))[None]
            for kind in ("bump_original", "bump_blended")
        )
        change = after - before
        edit = edited_region(change)
        ours = ops.blend_gradients(before, after, edit)
        off = ours.floor() - after
        same = 100 * (off == 0)[~edit].double().mean()
        roughness = laplacian(ours - before).abs()[~grown(edit, 1)[:, 1:-1, 1:-1]].mean()
        tiles += [
            _labelled(clay(before * LEVEL_MM, blur=1.2), f"{path.name[:14]}: original"),
            _labelled(clay(after * LEVEL_MM, blur=1.2), "published blend"),
            _labelled(marked(clay(ours * LEVEL_MM, blur=1.2), edit), f"ours, edit {100 * edit.double().mean():.0f} %"),
            _labelled(heat(change, 30), f"published change, up to {change.abs().max():.0f} levels"),
            _labelled(heat(ours - before, 30), f"our change; mean Laplacian outside {roughness:.0e}"),
            _labelled(
                heat(off, 5),
                f"rounded down - published: 0 at {same:.0f} % outside, most {off.abs().max():.0f} levels",
            ),
        ]
        print(
            f"blend: {path.name[:20]}: edit {100 * edit.double().mean():.1f} % of the map; rounded down, ours is the "
            f"published level at {same:.0f} % of the pixels outside; mean |difference| {off.abs().mean():.2f}, most "
            f"{off.abs().max():.0f} levels; mean |Laplacian| of our change outside {roughness:.1e}"
        )
    return _grid(tiles, 6)


def edited_region(change: Tensor) -> Tensor:
    """Where a change of 8-bit maps is not harmonic: its Laplacian after a blur that takes the rounding out."""
    smooth = cv2.GaussianBlur(change[0].numpy(), (0, 0), 2.5)
    rough = (np.abs(cv2.Laplacian(smooth, cv2.CV_64F)) > 0.05).astype(np.uint8)
    closed = cv2.morphologyEx(rough, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)))
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(closed)
    large = [k for k in range(1, count) if statistics[k, cv2.CC_STAT_AREA] >= 60]
    return grown(torch.from_numpy(np.isin(parts, large))[None], 4)


def face(seed: int) -> Tensor:
    """A relief map in mm, (1, H, W): brows, sockets, nose, mouth, wrinkles, pores; no two seeds alike."""
    y, x = coordinates()
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(8, generator=generator, dtype=torch.float64)

    def bump(at_x: float, at_y: float, wide: float, high: float, height: float) -> Tensor:
        return height * torch.exp(-(((x - at_x) / wide) ** 2) - ((y - at_y) / high) ** 2)

    relief = bump(0, -0.05, 0.1, 0.35, 3.0 + draw[0]) + bump(0, 0.15, 0.14, 0.09, 2.0)
    for side in (-1, 1):
        relief = relief + bump(0.33 * side, -0.38, 0.22, 0.06, 1.6 + 0.5 * draw[1])
        relief = relief + bump(0.33 * side, -0.2, 0.17, 0.09, -2.2) + bump(0.33 * side, -0.2, 0.1, 0.05, 1.4)
        relief = relief + bump(0.16 * side, 0.16, 0.06, 0.06, 1.0)
        fold = torch.exp(-(((x - side * (0.2 + 0.35 * (y - 0.1))) / 0.025) ** 2)) * torch.sigmoid((y - 0.12) / 0.03)
        relief = relief - (0.7 + 0.5 * draw[2]) * fold * torch.sigmoid((0.5 - y) / 0.03)
        ring = ((x - 0.3 * side) ** 2 + (y + 0.2) ** 2).sqrt()
        angle = torch.atan2(y + 0.2, side * (x - 0.3 * side))
        feet = torch.exp(-(((ring - 0.24) / 0.05) ** 2)) * torch.sin(18 * angle + 6 * draw[3]).clamp(max=0.3)
        relief = relief + 0.5 * feet * torch.sigmoid((1.0 - angle.abs()) / 0.1)
    relief = relief + bump(0, 0.42, 0.2, 0.05, 1.5) + bump(0, 0.53, 0.17, 0.05, 1.8) + bump(0, 0.475, 0.2, 0.012, -1.2)
    relief = relief + bump(0, 0.75, 0.2, 0.13, 2.0 + draw[4])
    brow = torch.sigmoid((-0.45 - y) / 0.03) * torch.sigmoid((y + 0.85) / 0.05) * torch.sigmoid((0.5 - x.abs()) / 0.08)
    furrows = brow * torch.sin((55 + 10 * draw[5]) * (y + 0.03 * torch.sin(6 * x + 6 * draw[6]))).clamp(max=0.2)
    pores = cv2.GaussianBlur(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64).numpy(), (0, 0), 1.5)
    return (relief + 0.6 * furrows + 0.25 * torch.from_numpy(pores))[None]


def coordinates() -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, SIZE, dtype=torch.float64),) * 2, indexing="ij")
    return y, x


def normals(relief: Tensor) -> Tensor:
    """(H, W, 3) of a map (1, H, W) in mm."""
    down, right = torch.gradient(relief[0], spacing=PITCH_MM)
    return torch.nn.functional.normalize(torch.stack([-right, -down, torch.ones_like(down)], -1), dim=-1)


def clay(relief: Tensor, blur: float = 0.0) -> Picture:
    """Lit from the upper left."""
    if blur:
        relief = torch.from_numpy(cv2.GaussianBlur(relief[0].numpy(), (0, 0), blur))[None]
    light = torch.nn.functional.normalize(torch.tensor([-0.8, -0.75, 0.55], dtype=torch.float64), dim=0)
    value = (0.08 + 1.0 * (normals(relief) @ light).clamp(min=0)) ** (1 / 1.6)
    tint = torch.tensor([0.93, 0.88, 0.82], dtype=torch.float64)
    return (255 * (value[..., None] * tint).clamp(0, 1)).byte().numpy()


def heat(difference: Tensor, most: float) -> Picture:
    """White at 0, red above, blue below."""
    value = (difference[0] / most).clamp(-1, 1)
    high, low = value.clamp(min=0), (-value).clamp(min=0)
    return (255 * torch.stack([1 - low, 1 - high - low, 1 - high], -1).clamp(0, 1)).byte().numpy()


def marked(picture: Picture, region: Tensor) -> Picture:
    outlines, _ = cv2.findContours(region[0].byte().numpy(), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.ascontiguousarray(picture), outlines, -1, (200, 40, 30), 1)


def scores(found: Tensor, truth: Tensor, hole: Tensor) -> str:
    """Error of depth and normals in the hole, and how much relief there is against the truth."""
    angle = torch.rad2deg(torch.acos((normals(found) * normals(truth)).sum(-1).clamp(-1, 1)))[hole[0]].mean()
    energy = [laplacian(m).square()[hole[:, 1:-1, 1:-1]].sum() for m in (found, truth)]
    off = (found - truth)[hole].abs().mean()
    return f"{off:.2f} mm, {angle:.1f} deg, energy {(energy[0] / energy[1]).sqrt():.2f}"


def laplacian(relief: Tensor) -> Tensor:
    around = relief[:, 2:, 1:-1] + relief[:, :-2, 1:-1] + relief[:, 1:-1, 2:] + relief[:, 1:-1, :-2]
    return around - 4 * relief[:, 1:-1, 1:-1]


def grown(region: Tensor, pixels: int) -> Tensor:
    return torch.nn.functional.max_pool2d(region.double(), 2 * pixels + 1, 1, pixels) > 0


def _labelled(picture: Picture, text: str) -> Picture:
    picture = np.ascontiguousarray(picture)
    cv2.putText(picture, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (150, 0, 0), 1, cv2.LINE_AA)
    return picture


def _grid(tiles: list[Picture], columns: int) -> Picture:
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])
