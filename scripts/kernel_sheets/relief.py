"""Relief on the head: bump off and on, dense meshes with and without their cuts, occlusion weights as colours."""

import math
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from pyface3d import ops
from pyface3d.detect.landmark_files import read_landmarks
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit import fit_landmarks
from pyface3d.geometry import Camera
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import Fragments, Topology
from pyface3d.render import View

Picture = NDArray[np.uint8]
SIZE = 640
CHART = 2048  # texels; a wrinkle is a millimetre wide
MAX_GAP = 4.0  # mm
_CLAY = (0.44, 0.42, 0.40)
# Towards the lights in the camera frame (x right, y down, z forward), and their strength. Low, so that relief shows.
_LIGHTS = (((-0.9, -0.7, -0.35), 1.2), ((1.0, 0.2, -0.4), 0.25))
LEVEL = 2  # of subdivision: no facets at the size of a pixel
CASE = "Old_Mother"  # of the real relief maps


def draw(folder: Path) -> list[Path]:
    """Writes the sheets; returns their paths."""
    model = load_face_model("head", LEVEL)
    head = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0]
    sheets: list[tuple[str, Picture]] = [
        ("relief_procedural.png", procedural(model, head)),
        ("relief_dense_mesh.png", dense(model, head)),
        ("relief_occlusion.png", occlusion(model, head)),
    ]
    real = real_relief(model)
    if real is not None:
        sheets.append(("relief_real.png", real))
    paths = []
    for name, picture in sheets:
        paths.append(folder / name)
        cv2.imwrite(str(paths[-1]), picture[..., ::-1])
    return paths


def procedural(model: FaceModel, head: Tensor) -> Picture:
    """Wrinkles and pores: smooth head, bumped in the texture chart, bumped in the picture, as a dense mesh."""
    topology = model.topology
    chart = ops.rasterize_uvs(topology, CHART, CHART)
    normals = ops.vertex_normals(head[None], topology)
    skin = _vertices_of(model, "face")
    places = ops.interpolate(head[None], chart, topology)
    on_skin = ops.interpolate(skin.to(head)[None, :, None], chart, topology)[..., 0]
    bump = wrinkles(places) * on_skin
    in_chart = ops.bump_normals(
        places, ops.interpolate(normals, chart, topology), bump, chart.mask & (chart.depth == 0), max_gap_mm=MAX_GAP
    )
    rows = []
    for yaw in (0.0, math.radians(40)):
        view = View.around(head[skin], yaw=yaw, size=SIZE, height_mm=210.0)
        camera_verts = view.apply(head)[None]
        fragments = ops.rasterize(view.camera.project(camera_verts), topology, SIZE, SIZE)
        smooth = ops.interpolate(ops.vertex_normals(camera_verts, topology), fragments, topology)
        drawn = ops.render_texture(in_chart, fragments, topology) @ view.rotation.mT
        heights = ops.render_texture(bump[..., None], fragments, topology)[..., 0]
        surface = ops.interpolate(camera_verts, fragments, topology)
        bumped = ops.bump_normals(surface, smooth, heights, fragments.mask, max_gap_mm=MAX_GAP)
        mesh = ops.dense_mesh(fragments, None, heights, focal=float(view.camera.focal[0]), along="ray")
        rows += [
            _labelled(shaded(smooth, fragments.mask), "bump off"),
            _labelled(shaded(drawn, fragments.mask), f"bump_normals in the chart, {CHART} texels"),
            _labelled(shaded(bumped, fragments.mask), "bump_normals in the picture"),
            _labelled(_facets(mesh.item(0), view.camera), "dense_mesh along the ray, its own normals"),
        ]
    return _grid(rows, 4)


def wrinkles(places: Tensor) -> Tensor:
    """Heights in mm at model positions (..., 3): furrows on the brow, crow's feet, folds, pores."""
    x, y, z = places.unbind(-1)

    def window(value: Tensor, low: float, high: float, soft: float) -> Tensor:
        return torch.sigmoid((value - low) / soft) * torch.sigmoid((high - value) / soft)

    front = torch.sigmoid((z + 15) / 8)
    brow = window(y, 32, 66, 4) * window(x.abs(), -1, 46, 6)
    furrows = brow * torch.sin(2 * math.pi * (y + 2.5 * torch.sin(x / 14) - 0.006 * x * x) / 8).clamp(max=0.3)
    angle = torch.atan2(y + 3, x.abs() - 34)
    ring = window((x.abs() - 34).hypot(y + 3), 15, 31, 3) * window(angle, -0.8, 0.8, 0.15)
    feet = ring * torch.sin(14 * angle).clamp(max=0.3)
    fold = -torch.exp(-(((x.abs() - 18 - 0.5 * (-44 - y)) / 1.8) ** 2)) * window(y, -74, -44, 3)
    pores = 0.05 * noise(places, 1.2, 0) + 0.06 * noise(places, 2.6, 1)
    return front * (0.55 * furrows + 0.4 * feet + 0.9 * fold + pores)


def noise(places: Tensor, pitch: float, seed: int) -> Tensor:
    """Value noise in space, within [-1, 1], smooth between the corners of cubes of ``pitch`` mm."""
    cell = (places / pitch).floor()
    t = places / pitch - cell
    t = t * t * (3 - 2 * t)
    table = 2 * torch.rand(4096, generator=torch.Generator().manual_seed(seed)) - 1
    total = torch.zeros_like(places[..., 0])
    for corner in range(8):
        offset = places.new_tensor([corner & 1, corner >> 1 & 1, corner >> 2])
        i, j, k = (cell + offset).long().unbind(-1)
        weight = torch.where(offset.bool(), t, 1 - t).prod(-1)
        total += weight * table[(i * 73856093 ^ j * 19349663 ^ k * 83492791) % 4096]
    return total


def dense(model: FaceModel, head: Tensor) -> Picture:
    """The dense mesh of a head at 45 degrees, from where it was seen and from the side that it hides."""
    topology = model.topology
    view = View.around(head, yaw=math.radians(45), size=SIZE, height_mm=260.0)
    camera_verts = view.apply(head)[None]
    fragments = ops.rasterize(view.camera.project(camera_verts), topology, SIZE, SIZE)
    focal = float(view.camera.focal[0])
    tiles = []
    for label, gap, angle in (
        ("without cuts", math.inf, math.pi),
        ("cut at 6 mm and 85 degrees", 6.0, math.radians(85)),
    ):
        mesh = ops.dense_mesh(fragments, focal=focal, max_depth_gap_mm=gap, max_view_angle=angle)
        verts, faces, _ = mesh.item(0)
        tiles.append(_labelled(_facets((verts, faces), view.camera), f"{label}: as seen, {len(faces)} triangles"))
        middle = verts.mean(0)
        for degrees in (-40, -75):
            turn = View.around(head, yaw=math.radians(degrees)).rotation @ View.around(head).rotation.mT
            turned = (verts - middle) @ turn.mT + middle
            tiles.append(_labelled(_facets((turned, faces), view.camera), f"turned by {degrees} degrees"))
    return _grid(tiles, 3)


def occlusion(model: FaceModel, head: Tensor) -> Picture:
    """Weights from red (0) over yellow (0.75) to green (1) on the posed head and on the frontal one."""
    topology = model.topology
    size = 500
    frontal_view = View.around(head, size=size, height_mm=290.0)
    frontal_image = frontal_view.camera.project(frontal_view.apply(head)[None])
    frontal = ops.rasterize(frontal_image, topology, size, size)
    tiles = []
    for degrees in (0, 20, 45):
        view = View.around(head, yaw=math.radians(degrees), size=size, height_mm=290.0)
        posed = view.camera.project(view.apply(head)[None])
        fragments = ops.rasterize(posed, topology, size, size)
        for compat in (False, True):
            weights = ops.occlusion_weights(posed, fragments, frontal, topology, compat=compat)[0]
            seen = int((weights >= 0.75).sum())
            label = f"yaw {degrees}{', compat' if compat else ''}: {seen} of {len(weights)} >= 0.75"
            for at, fragments_at in ((view, fragments), (frontal_view, frontal)):
                normals = ops.vertex_normals(at.apply(head)[None], topology)
                light = shaded(ops.interpolate(normals, fragments_at, topology), fragments_at.mask).astype(np.float64)
                colours = ops.interpolate(traffic_light(weights), fragments_at, topology)[0].numpy()
                lit = np.where(fragments_at.mask[0].numpy()[..., None], light * (0.35 + 0.65 * colours) * 1.25, 255)
                tiles.append(_labelled(lit.clip(0, 255).astype(np.uint8), label if at is view else "on the front"))
    return _grid(tiles, 4)


def traffic_light(weights: Tensor) -> Tensor:
    """(V,) in [0, 1] to (V, 3): red at 0, yellow at 0.75, green at 1."""
    red, yellow, green = (weights.new_tensor(c) for c in ((0.8, 0.1, 0.1), (0.95, 0.85, 0.1), (0.1, 0.75, 0.2)))
    low, high = (weights / 0.75).clamp(max=1)[:, None], ((weights - 0.75) / 0.25).clamp(min=0)[:, None]
    return torch.where(high > 0, yellow + high * (green - yellow), red + low * (yellow - red))


def real_relief(model: FaceModel) -> Picture | None:
    """A relief map of the Extreme 3D faces project on our head, fitted to its 68 points; None where there is none."""
    root = Path(os.environ.get("PYFACE3D_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    paper = root / "extreme3d" / "paper"
    if not (paper / "imgs" / f"{CASE}.png").is_file():
        print(f"relief: no real relief maps under {paper}, that sheet is left out")
        return None
    photo = cv2.imread(str(paper / "imgs" / f"{CASE}.png"))[..., ::-1]
    levels, shown = (
        cv2.imread(str(paper / "bump_original" / f"{CASE}_{kind}.png"), cv2.IMREAD_GRAYSCALE)[6:506, 6:506]
        for kind in ("bump", "mask")
    )
    heights = torch.from_numpy((levels.astype(np.float32) - 127) / 12 * 1.25)[None]
    points = torch.from_numpy(read_landmarks(paper / "imgs" / f"{CASE}.pts"))[None]
    fit = fit_landmarks(model, points, torch.full((1, 68), 2.0), 500, 500, focal=1000.0)
    verts = model.vertices(fit.identity, fit.expression)
    camera_verts = verts @ fit.rotation.mT + fit.translation[:, None]
    topology = model.topology
    fragments = ops.rasterize(fit.camera.project(camera_verts), topology, 500, 500)
    mask = fragments.mask & torch.from_numpy(shown > 127)[None]
    smooth = ops.interpolate(ops.vertex_normals(camera_verts, topology), fragments, topology)
    surface = ops.interpolate(camera_verts, fragments, topology)
    # The eight bits of the file are steps of 0.1 mm at 0.6 mm between pixels: terraces of ten degrees.
    smoothed = torch.from_numpy(cv2.GaussianBlur(heights[0].numpy(), (0, 0), 1.2))[None]
    tiles = [
        _labelled(photo, f"{CASE}"),
        _labelled(np.repeat(levels[..., None], 3, -1), "relief map, 0.1 mm a level"),
        _labelled(shaded(smooth, fragments.mask), "bump off"),
    ]
    for label, bump in (("as stored", heights), ("blurred, sigma 1.2", smoothed)):
        normals = ops.bump_normals(surface, smooth, bump, mask, max_gap_mm=MAX_GAP)
        tiles.append(_labelled(shaded(normals, fragments.mask), f"bump_normals, {label}"))
    mesh = ops.dense_mesh(fragments, None, smoothed, mask, focal=1000.0).item(0)
    tiles.append(_labelled(_facets(mesh, fit.camera), f"dense_mesh, blurred: {len(mesh[0])} vertices"))
    return _grid(tiles, 3)


def shaded(normals: Tensor, mask: Tensor) -> Picture:
    """(1, H, W, 3) normals in the camera frame as lit clay on white."""
    unit = normalize(normals[0], dim=-1)
    light = torch.full_like(unit[..., 0], 0.06)
    for direction, strength in _LIGHTS:
        light = light + strength * (unit @ normalize(unit.new_tensor(direction), dim=0)).clamp_min(0)
    colour = linear_to_srgb((light[..., None] * unit.new_tensor(_CLAY)).clamp(0, 1))
    return (255 * torch.where(mask[0][..., None], colour, 1.0) + 0.5).to(torch.uint8).numpy()


def _facets(mesh: tuple[Tensor, ...], camera: Camera) -> Picture:
    """A mesh in the camera frame, both sides of its faces drawn, lit by its own vertex normals."""
    verts, faces = mesh[0][None], mesh[1]
    topology = Topology(faces, verts.shape[1])
    fragments: Fragments = ops.rasterize(camera.project(verts), topology, camera.height, camera.width, cull="none")
    normals = ops.interpolate(ops.vertex_normals(verts, topology), fragments, topology)
    toward = (normals * ops.interpolate(verts, fragments, topology)).sum(-1, keepdim=True)
    return shaded(torch.where(toward > 0, -normals, normals), fragments.mask)


def _vertices_of(model: FaceModel, region: str) -> Tensor:
    return model.regions[region] if region in model.regions else torch.ones(model.topology.num_verts, dtype=torch.bool)


def _labelled(picture: Picture, text: str) -> Picture:
    picture = np.ascontiguousarray(picture)
    cv2.putText(picture, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (160, 0, 0), 1, cv2.LINE_AA)
    return picture


def _grid(tiles: list[Picture], columns: int) -> Picture:
    tiles = tiles + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])
