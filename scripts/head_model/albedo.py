"""Albedo space: the CC0 MakeHuman skins in our chart, mixed over human skin tones, with eyes, brows and teeth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from .chart import BOXES, Chart, eye_angle
from .source import PARTS, Array, Ints, SourceHead, triangulate

IRIS_RADIUS_MM = 5.9
#: Eye texture of the MakeHuman proxy: centre and radius of one iris, in pixels of its 512 x 512.
EYE_TEXTURE_CENTRE, EYE_TEXTURE_IRIS = (354.5, 149.0), 58.0
TOOTH_RGB = np.array([0.70, 0.64, 0.53])
#: Widths of the teeth from the middle backwards, mm (textbook averages: incisors, canine, premolars, two molars).
TOOTH_WIDTHS_MM = {
    "upper_teeth": (8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.0),
    "lower_teeth": (5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5),
}
CROWN_MM = 9.5
GUM_RGB = np.array([0.38, 0.11, 0.10])
TONGUE_RGB = np.array([0.46, 0.17, 0.16])
LASH_RGB = np.array([0.030, 0.022, 0.018])
#: iBUG's brow points run along the upper part of the brow.
BROW_BELOW_LANDMARKS_MM = 2.4
#: Brow colours, linear: black, dark brown, brown, dark blond, grey; and how many people have them.
HAIR_RGB = np.array(
    [[0.010, 0.008, 0.008], [0.024, 0.015, 0.011], [0.050, 0.030, 0.019], [0.12, 0.08, 0.05], [0.15, 0.14, 0.13]]
)
HAIR_ODDS = [0.42, 0.34, 0.16, 0.05, 0.03]
#: Odds of the nine eye textures: blue, bluegreen, brown, brownlight, deepblue, green, grey, ice, lightblue.
EYE_ODDS = [0.06, 0.03, 0.54, 0.18, 0.03, 0.05, 0.05, 0.01, 0.05]


@dataclass(frozen=True)
class Atlas:
    """What lies under every texel of the chart: triangle (S, S) int (-1 outside), barycentrics (S, S, 3)."""

    triangle: Ints
    barycentrics: Array

    @property
    def inside(self) -> np.ndarray:
        return self.triangle >= 0

    def interpolate(self, corner_values: Array) -> Array:
        """Values per triangle corner (F, 3, C) at every texel, (S, S, C); zero outside."""
        values = corner_values[np.where(self.inside, self.triangle, 0)]
        return np.where(self.inside[..., None], (values * self.barycentrics[..., None]).sum(axis=2), 0.0)


@dataclass(frozen=True)
class AlbedoSpace:
    """Mean (S, S, 3) and components (A, S, S, 3), linear RGB per standard deviation."""

    mean: Array
    components: Array
    variance_kept: float


def rasterize_chart(chart: Chart, size: int) -> Atlas:
    """Triangle and barycentrics under every texel centre."""
    triangle, barycentrics = np.full((size, size), -1), np.zeros((size, size, 3))
    for index, corner in enumerate(chart.uvs[chart.uv_faces] * size):
        (x0, y0), (x1, y1) = np.floor(corner.min(axis=0) - 0.5), np.ceil(corner.max(axis=0) + 0.5)
        xs, ys = np.arange(max(int(x0), 0), min(int(x1), size)), np.arange(max(int(y0), 0), min(int(y1), size))
        if not len(xs) or not len(ys):
            continue
        points = np.stack(np.meshgrid(xs + 0.5, ys + 0.5), axis=-1)
        a, b, c = corner
        area = _cross(b - a, c - a)
        if area == 0.0:
            continue
        bary = (
            np.stack([_cross(c - b, points - b), _cross(a - c, points - c), _cross(b - a, points - a)], axis=-1) / area
        )
        hit = (bary >= -1e-9).all(axis=-1)
        block = np.ix_(ys, xs)
        triangle[block] = np.where(hit, index, triangle[block])
        barycentrics[block] = np.where(hit[..., None], bary, barycentrics[block])
    return Atlas(triangle, barycentrics)


def build_albedo(
    head: SourceHead, verts: Array, brow_points: Array, chart: Chart, skins: Path, size: int, count: int, seed: int
) -> AlbedoSpace:
    """PCA of random people's albedo.

    Args:
        verts: mean head (V, 3).
        brow_points: the left brow's five landmarks on it, (5, 3).
        skins: folder with ``skins/`` and ``eyes/`` of the MakeHuman base assets.
    """
    generator = np.random.default_rng(seed)
    atlas = rasterize_chart(chart, size)
    faces = triangulate(head.quads)
    part = np.where(atlas.inside, np.tile(head.parts, 2)[atlas.triangle], -1)
    place = atlas.interpolate(verts[faces])
    source_uv = atlas.interpolate(triangulate_corners(head.quad_uvs))
    front_of_mouth = verts[head.part("mouth_bag"), 2].max()
    in_mouth = part == list(PARTS).index("mouth_bag")
    shade = np.where(in_mouth, _mouth_shade(front_of_mouth - place[..., 2]), 1.0)
    skin_maps = np.stack(
        [shade[..., None] * _sample(read_linear(file), source_uv) for file in sorted((skins / "skins").glob("*.png"))]
    )
    eyeball = verts[head.part("left_eye")]
    iris_angle = float(np.arcsin(IRIS_RADIUS_MM / (0.5 * np.ptp(eyeball[:, 1]))))
    eye_files = sorted((skins / "eyes").glob("*.png"))
    eye_maps = np.stack([_eye_map(read_linear(file), size, iris_angle) for file in eye_files])
    if len(skin_maps) != 20 or len(eye_maps) != 9:
        raise ValueError(
            f"{skins} must hold skins/*.png (20) and eyes/*.png (9), found {len(skin_maps)}, {len(eye_maps)}"
        )
    fixed = _fixed_parts(part, place)
    is_fixed = np.isin(part, [list(PARTS).index(name) for name in _FIXED_PARTS])
    is_eye = np.isin(part, [list(PARTS).index("left_eye"), list(PARTS).index("right_eye")])
    brow = _brow_mask(place, brow_points) * (part == 0)
    light, dark = _light_and_dark(skin_maps[:, part == 0].mean(axis=(1, 2)))
    samples = np.zeros((24 * count, size, size, 3), np.float32)
    for sample in samples:
        # Mixed in linear light and evenly over the range of tones: then two standard deviations stay a skin colour.
        tone = generator.beta(1.1, 1.3)
        share = np.zeros(20)
        share[light] = (1 - tone) * generator.dirichlet(np.full(len(light), 0.25))
        share[dark] = tone * generator.dirichlet(np.full(len(dark), 0.4))
        skin = np.tensordot(share, skin_maps, axes=1)
        skin = skin * (1.0 + generator.normal(0.0, 0.05) + generator.normal(0.0, [0.02, 0.02, 0.03]))
        cover = brow[..., None] * generator.uniform(0.6, 1.0)
        skin = skin * (1 - cover) + HAIR_RGB[generator.choice(len(HAIR_RGB), p=HAIR_ODDS)] * cover
        iris = eye_maps[generator.choice(len(eye_maps), p=EYE_ODDS)]
        sample[:] = np.where(is_eye[..., None], iris, np.where(is_fixed[..., None], fixed, skin))
    return _principal(samples.clip(0.0, 1.0), atlas.inside, np.where(part == 0, 1.0, 0.15), count)


def read_linear(path: Path) -> Array:
    """Picture file -> (H, W, 3) linear RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} cannot be read as a picture")
    srgb = image[..., ::-1] / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def triangulate_corners(quad_corners: Array) -> Array:
    """Per-corner values of quads (Q, 4, C) -> of their triangles (2 Q, 3, C), in the order of `triangulate`."""
    return np.concatenate([quad_corners[:, [0, 1, 2]], quad_corners[:, [0, 2, 3]]])


_FIXED_PARTS = (
    "tongue", "upper_teeth", "lower_teeth", "left_upper_lashes", "left_lower_lashes", "right_upper_lashes",
    "right_lower_lashes",
)  # fmt: skip


def _fixed_parts(part: Ints, place: Array) -> Array:
    """Colours of teeth, gums, tongue and lashes: the same on everybody."""
    colour = np.zeros(place.shape)
    for name in _FIXED_PARTS:
        here = part == list(PARTS).index(name)
        if name.endswith("teeth"):
            colour[here] = _teeth(place[here], name)
        elif name == "tongue":
            z = place[here][:, 2]
            colour[here] = TONGUE_RGB * (0.8 + 0.2 * _smooth_step(z, np.median(z), 8.0))[:, None]
        else:
            colour[here] = LASH_RGB
    return colour


def _teeth(points: Array, name: str) -> Array:
    """Colours (N, 3) of points (N, 3) on a dental arch: crowns with faint lines between them, and gums."""
    x, y, z = points.T
    up = 1.0 if name == "lower_teeth" else -1.0
    centre = z.max() - 1.3 * x.max()
    angle, radius = np.abs(np.arctan2(x, z - centre)), np.hypot(x, z - centre)
    bins = np.linspace(0.0, angle.max(), 33)
    column = np.digitize(angle, bins[1:-1])
    outline, edge = np.zeros(32), np.full(32, -np.inf)
    np.maximum.at(outline, column, radius)
    np.maximum.at(edge, column, up * y)
    middle = 0.5 * (bins[1:] + bins[:-1])
    steps = np.hypot(np.diff(outline), 0.5 * (outline[1:] + outline[:-1]) * np.diff(middle))
    along = np.interp(angle, np.r_[0.0, middle], np.r_[0.0, middle[0] * outline[0] + np.r_[0.0, steps.cumsum()]])
    gaps = np.r_[0.0, np.cumsum(TOOTH_WIDTHS_MM[name])]
    gap = np.abs(along[:, None] - gaps).min(axis=1)
    below_edge = np.interp(angle, middle, gaussian_filter(edge, 1.0, mode="nearest")) - up * y
    inwards = np.interp(angle, middle, outline) - radius  # the tongue's side of a crown is short and leans inwards
    from_edge = np.hypot(below_edge, 1.4 * np.maximum(0.0, inwards - 1.0))
    depth = np.exp(-(((z.max() - z) / 30.0) ** 2))[:, None]
    tooth = TOOTH_RGB * (0.35 + 0.65 * depth) ** [1.0, 1.12, 1.3]  # less light, but warm: it comes through the gums
    tooth = tooth * (1.0 - 0.16 * np.exp(-((gap / 0.6) ** 2)))[:, None]
    papilla = 1.6 * np.exp(-((gap / 1.5) ** 2))
    crown = _smooth_step(-from_edge, papilla - CROWN_MM, 1.6) * _smooth_step(-along, -gaps[-1], 2.0)
    return crown[:, None] * tooth + (1 - crown[:, None]) * GUM_RGB * (0.15 + 0.85 * depth)


def _mouth_shade(depth_mm: Array) -> Array:
    """Darkening towards the back of the mouth, where little light comes: else molars shine through parted lips."""
    return 0.15 + 0.85 * np.exp(-((depth_mm / 20.0) ** 2))


def _smooth_step(value: Array, middle: Array | float, width: float) -> Array:
    return 1.0 / (1.0 + np.exp(-(value - middle) / (0.25 * width)))


def _light_and_dark(brightness: Array) -> tuple[Ints, Ints]:
    """Skins on either side of the widest gap between their mean brightnesses."""
    order = brightness.argsort()
    gap = int(np.diff(brightness[order]).argmax())
    return order[gap + 1 :], order[: gap + 1]


def _eye_map(texture: Array, size: int, iris_angle: float) -> Array:
    """An eye texture on both eye islands of the chart, (S, S, 3); the back of the eye is its sclera."""
    result = np.zeros((size, size, 3))
    texels = (np.arange(size) + 0.5) / size
    sclera = np.quantile(texture[60:120, 330:380], 0.6, axis=(0, 1))
    for box, flip in (("left_eye", False), ("left_eye_back", False), ("left_eye", True), ("left_eye_back", True)):
        u0, v0, u1, v1 = BOXES[box]
        if flip:
            u0, u1 = 1.0 - u1, 1.0 - u0
        rows, columns = np.nonzero((texels >= v0) & (texels <= v1))[0], np.nonzero((texels >= u0) & (texels <= u1))[0]
        dx = (texels[columns] - 0.5 * (u0 + u1)) / (u1 - u0)
        dy = (texels[rows] - 0.5 * (v0 + v1)) / (v1 - v0)
        grid_x, grid_y = np.meshgrid(dx, dy)
        radius = np.maximum(np.hypot(grid_x, grid_y), 1e-9)
        spread = eye_angle(radius) / radius
        grid_x, grid_y = grid_x * spread, grid_y * spread  # angle from the optical axis along u and v, radians
        scale = EYE_TEXTURE_IRIS / iris_angle
        map_x = (EYE_TEXTURE_CENTRE[0] + scale * grid_x - 0.5).astype(np.float32)
        map_y = (EYE_TEXTURE_CENTRE[1] + scale * grid_y - 0.5).astype(np.float32)
        front = cv2.remap(texture, map_x, map_y, cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        far = _smooth_step(np.hypot(grid_x, grid_y), np.deg2rad(58.0), np.deg2rad(12.0))[..., None]
        front = front * (1 - far) + sclera * far
        result[np.ix_(rows, columns)] = sclera if box.endswith("back") else front
    return result


def _brow_mask(place: Array, points: Array) -> Array:
    """Cover of brow hair at every texel, (S, S) in [0, 1].

    A tapering band along the landmarks, soft all round and thin where it starts, uneven along the hairs. A texel is
    about a millimetre wide, so single hairs cannot be drawn: as lines they turn into a hatching.
    """
    along = np.linspace(0.0, 1.0, 200)
    knots = np.linspace(0.0, 1.0, 5)
    line = np.stack([np.interp(along, knots, points[:, k]) for k in range(3)], axis=1)
    line = gaussian_filter(line, (8, 0), mode="nearest")[::2]
    line[:, 1] -= BROW_BELOW_LANDMARKS_MM
    along = along[::2]
    half_width = np.interp(along, [0.0, 0.15, 0.55, 1.0], [3.2, 4.3, 3.3, 1.0])
    density = np.interp(along, [0.0, 0.18, 0.75, 1.0], [0.62, 0.95, 0.92, 0.55])
    mirrored = np.abs(place[..., 0])
    offset = np.stack([mirrored, place[..., 1], place[..., 2]], axis=-1)[..., None, :] - line
    distance = np.linalg.norm(offset, axis=-1)
    nearest = distance.argmin(axis=-1)
    near = distance.min(axis=-1)
    cover = density[nearest] * np.exp(-0.5 * (near / (0.74 * half_width[nearest])) ** 3)
    # Uneven growth: noise drawn out along the hairs, which lean outwards, the more the further out.
    lean = np.interp(along, [0.0, 0.3, 1.0], [1.1, 0.45, -0.25])[nearest]
    length = along[nearest] * np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
    across = np.where(offset[..., 1].min(axis=-1) > 0, near, -near)
    noise = np.random.default_rng(7).standard_normal((64, 64))
    cells = np.stack([(length - lean * across) / 2.4 + 8.0, across / 6.0 + 32.0])
    uneven = map_coordinates(noise, cells, order=3, mode="wrap")
    return cover * np.clip(0.95 + 0.05 * uneven, 0.8, 1.0)


def _sample(texture: Array, uv: Array) -> Array:
    height, width = texture.shape[:2]
    pixel = (uv * [width, height] - 0.5).astype(np.float32)
    return cv2.remap(texture, pixel[..., 0], pixel[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _principal(samples: Array, inside: np.ndarray, importance: Array, count: int) -> AlbedoSpace:
    mean = samples.mean(axis=0)
    root = np.sqrt(importance * inside).astype(np.float32)[..., None]
    offsets = samples - mean
    weighted = (offsets * root).reshape(len(samples), -1)
    values, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64) / len(samples))
    order = values.argsort()[::-1][:count]
    scores = (vectors[:, order] * np.sqrt(len(samples))).astype(np.float32)
    components = np.tensordot(scores, offsets, axes=(0, 0)) / len(samples)
    brighter = np.sign((components * root).sum(axis=(1, 2, 3)))
    components = components * np.where(brighter == 0, 1.0, brighter)[:, None, None, None]
    _, (rows, columns) = distance_transform_edt(~inside, return_indices=True)
    return AlbedoSpace(mean[rows, columns], components[:, rows, columns], float(values[order].sum() / values.sum()))


def _cross(u: Array, v: Array) -> Array:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
