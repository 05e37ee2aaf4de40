"""The rasteriser's picture of a head beside its float64 reference: depth, face numbers, in red where they differ."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.workloads import benchmark_mesh, data_folder, scene
from pyface3d.ops import Topology, rasterize

Picture = NDArray[np.uint8]
Answer = tuple[NDArray[np.int32], NDArray[np.float64]]  # face index and depth, (H, W)
PANEL = 512  # pixels a panel is shown at, at least
RED = (255, 0, 0)


def draw(folder: Path) -> list[Path]:
    """Writes one sheet for each picture size; returns their paths."""
    paths = []
    for size in (224, 512):
        paths.append(folder / f"raster_{size}.png")
        cv2.imwrite(str(paths[-1]), sheet(size)[..., ::-1])
    return paths


def sheet(size: int) -> Picture:
    """Upper row: face numbers of ours, of the reference, and the differing pixels. Lower row: the same of the depth."""
    mesh = benchmark_mesh("head26k")
    verts, topology = scene(mesh, 1, size)
    found = rasterize(verts, topology, size, size, cull="none")
    ours = found.face_index[0].numpy(), found.depth[0].double().numpy()
    theirs, origin = reference(mesh.name, size, topology)
    other = ours[0] != theirs[0]
    drawn = int((theirs[0] >= 0).sum())
    both = (ours[0] >= 0) & (theirs[0] >= 0)
    error = np.where(both, np.abs(ours[1] - theirs[1]), 0)
    span = _span(theirs)
    red = _marked(_grey(ours, span), other)
    rows = [
        [
            (_colours(ours[0]), f"faces, ours in float32, {size} x {size}"),
            (_colours(theirs[0]), f"faces, {origin}"),
            (red, f"red: {int(other.sum())} of {drawn:,} pixels show another face"),
        ],
        [
            (_grey(ours, span), "depth, ours, near is bright"),
            (_grey(theirs, span), f"depth, {origin}"),
            (_errors(error), f"depth off by {error.max():.1e} at most (white: 1e-5), head 2 high"),
        ],
    ]
    return np.concatenate([np.concatenate([_panel(*cell) for cell in row], 1) for row in rows], 0)


def reference(name: str, size: int, topology: Topology) -> tuple[Answer, str]:
    """The brute-force float64 picture where it is at hand, else our own in float64."""
    path = data_folder() / f"reference_{name}_{size}.npz"
    if path.is_file():
        arrays = np.load(path)
        return (arrays["tid"], np.where(arrays["tid"] >= 0, arrays["z"], 0)), "brute force in float64"
    verts, _ = scene(benchmark_mesh(name), 1, size, torch.float64)
    found = rasterize(verts, topology, size, size, cull="none")
    return (found.face_index[0].numpy(), found.depth[0].numpy()), "ours in float64"


def _span(answer: Answer) -> tuple[float, float]:
    drawn = answer[1][answer[0] >= 0]
    return float(drawn.min()), float(drawn.max())


def _grey(answer: Answer, span: tuple[float, float]) -> Picture:
    share = (span[1] - answer[1]) / (span[1] - span[0])
    grey = np.where(answer[0] >= 0, 40 + 215 * np.clip(share, 0, 1), 0)
    return np.repeat(grey[..., None], 3, -1).astype(np.uint8)


def _colours(index: NDArray[np.int32]) -> Picture:
    """A colour for each face, unlike that of its neighbours."""
    palette = np.random.default_rng(0).integers(60, 256, (int(index.max()) + 2, 3)).astype(np.uint8)
    palette[0] = 0
    return palette[index + 1]


def _marked(picture: Picture, other: NDArray[np.bool_]) -> Picture:
    """Darkened, the pixels in question in red and ringed, so that a single one is found."""
    marked = picture // 2
    marked[other] = RED
    for y, x in np.argwhere(other):
        cv2.circle(marked, (int(x), int(y)), max(4, len(picture) // 60), RED, 1)
    return marked


def _errors(error: NDArray[np.float64]) -> Picture:
    return np.repeat((255 * np.clip(error / 1e-5, 0, 1))[..., None], 3, -1).astype(np.uint8)


def _panel(picture: Picture, caption: str) -> Picture:
    scale = max(1, PANEL // len(picture))
    picture = picture.repeat(scale, 0).repeat(scale, 1)  # every pixel a square
    bar = np.full((28, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, caption, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.pad(np.concatenate([bar, picture], 0), ((0, 6), (0, 6), (0, 0)), constant_values=255)
