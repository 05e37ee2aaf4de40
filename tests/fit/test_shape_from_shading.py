"""Relief from shading on scenes whose relief is known: a ball cap under one light, its normals by cross products."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.fit import shape_from_shading
from pyface3d.fit.illumination import harmonics, quadratic_form
from pyface3d.fit.shape_from_shading import LIMIT_MM, ShadedSurface, relief_from_shading

SIZE, PITCH, RADIUS = 160, 0.8, 90.0  # pixels, mm, mm
SKIN = np.array([0.45, 0.26, 0.19])


def ball():
    """Positions of a cap of a ball that looks along -z, as heads look into a camera, (S, S, 3), and its normals."""
    place = (np.arange(SIZE) + 0.5 - SIZE / 2) * PITCH
    x, y = np.meshgrid(place, place)
    positions = np.stack([x, y, 600 - np.sqrt(RADIUS**2 - x**2 - y**2)], -1)
    return positions, (positions - [0, 0, 600]) / RADIUS


def light(even=1.0, side=(-0.35, -0.55, -0.45)):
    """Light from everywhere, and more from one side (x right, y down, z away from the viewer), (9,)."""
    bands = torch.zeros(9, dtype=torch.float64)
    bands[0] = even * math.sqrt(4 * math.pi)
    bands[[3, 1, 2]] = torch.tensor(side, dtype=torch.float64) * math.sqrt(4 * math.pi / 3) * 1.5
    return bands


def normals_of(positions):
    """By differences of positions: not the formula that is tested."""
    right = np.gradient(positions, axis=1)
    below = np.gradient(positions, axis=0)
    normals = np.cross(below, right)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def wrinkles():
    """Two grooves, one across and one slanting, and a mound; at most 0.35 mm, at edges nothing."""
    place = (np.arange(SIZE) + 0.5 - SIZE / 2) * PITCH
    x, y = np.meshgrid(place, place)
    fade = np.exp(-((x / 25) ** 4) - (y / 40) ** 4)
    across = -0.35 * np.exp(-(((y + 25) / 1.8) ** 2))
    slanting = -0.3 * np.exp(-(((x + y - 10) / 2.6) ** 2))
    mound = 0.3 * np.exp(-((x - 4) ** 2 + (y - 28) ** 2) / 18)
    return (across + slanting + mound) * fade


def scene(relief, albedo=None, bands=None, noise=0.0):
    """What lies below its surroundings, in the mean over 2 mm, is dimmer, as grooves are."""
    positions, smooth = ball()
    seen = normals_of(positions + relief[..., None] * smooth)
    shade = (harmonics(torch.from_numpy(seen)) @ (light() if bands is None else bands)).numpy()
    shade = shade * np.exp(-0.8 * np.maximum(cv2.GaussianBlur(relief, (0, 0), 2 / PITCH) - relief, 0))
    albedo = np.broadcast_to(SKIN, (SIZE, SIZE, 3)) if albedo is None else albedo
    image = np.clip(albedo * shade[..., None], 0, 1)
    image = image * np.exp(noise * np.random.default_rng(0).normal(size=(SIZE, SIZE, 1)))
    weight = np.zeros((SIZE, SIZE), np.float32)
    weight[6:-6, 6:-6] = 1
    return ShadedSurface(*(array.astype(np.float32) for array in (image, positions, smooth)), weight)


def agreement(found, true):
    """Correlation, and slope of the found over the true one."""
    inner = np.s_[10:-10, 10:-10]
    a, b = found[inner] - found[inner].mean(), true[inner] - true[inner].mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())), float((a * b).sum() / (b * b).sum())


def test_grooves_and_mounds_are_recovered():
    true = wrinkles()
    found = relief_from_shading(scene(true, noise=0.01))
    likeness, gain = agreement(found, true)
    assert likeness > 0.65 and 0.35 < gain < 1.2
    assert float(np.sqrt(np.mean((found - true)[10:-10, 10:-10] ** 2))) < 0.031  # of 0.039
    row, column = SIZE // 2 - round(25 / PITCH), SIZE // 2
    assert found[row, column] < -0.05  # the groove across is a groove, whichever of its sides is bright


def test_the_same_under_light_from_the_other_side():
    true = wrinkles()
    likeness, gain = agreement(relief_from_shading(scene(true, bands=light(side=(0.3, 0.5, -0.5)))), true)
    assert likeness > 0.65 and gain > 0.35


def test_grey_photos_do_as_well():
    true = wrinkles()
    likeness, gain = agreement(relief_from_shading(scene(true, np.full((SIZE, SIZE, 3), 0.3))), true)
    assert likeness > 0.65 and gain > 0.35


def test_smooth_skin_stays_smooth():
    found = relief_from_shading(scene(np.zeros((SIZE, SIZE)), noise=0.01))
    assert float(np.abs(found).max()) < 0.07
    assert float(np.sqrt(np.mean(found**2))) < 0.015


def lines(tint):
    """Skin with dark lines of paint, (S, S, 3)."""
    y = np.arange(SIZE)[:, None, None]
    return SKIN * np.exp(-0.35 * (np.abs(y % 40 - 20) < 2) * np.asarray(tint))


@pytest.mark.parametrize("side", [(0, 0, 0), (-0.35, -0.55, -0.45)])
def test_paint_of_another_hue_is_no_relief(side):
    """Black paint is what shading cannot tell from grooves; of it no more is made than it takes to darken so."""
    flat, bands = np.zeros((SIZE, SIZE)), light(side=side)
    black, brown = (
        relief_from_shading(scene(flat, np.broadcast_to(lines(tint), (SIZE, SIZE, 3)), bands))
        for tint in ([1, 1, 1], [0.55, 1.1, 1.6])
    )
    assert float(np.abs(brown).max()) < 0.07
    assert float(np.abs(black).max()) < 0.35


def test_grooves_are_dark_in_even_light():
    true = wrinkles()
    assert agreement(relief_from_shading(scene(true, bands=light(side=(0, 0, 0)))), true)[0] > 0.5


def test_nothing_where_no_skin_is_seen_and_nothing_of_it_beside():
    """An occluder with edges of every brightness."""
    surface = scene(np.zeros((SIZE, SIZE)), noise=0.01)
    image, weight = surface.image.copy(), surface.weight.copy()
    image[40:90, 50:120] = np.random.default_rng(1).uniform(0, 1, (50, 70, 1))
    weight[40:90, 50:120] = 0
    found = relief_from_shading(replace(surface, image=image, weight=weight))
    assert not found[weight == 0].any()
    assert float(np.abs(found).max()) < 0.07


def test_same_bits():
    surface = scene(wrinkles(), noise=0.02)
    assert relief_from_shading(surface).tobytes() == relief_from_shading(surface).tobytes()


def test_a_mirrored_picture_has_the_mirrored_relief():
    """Maps may run either way round; only the pyramid and the paired sums round differently."""
    surface = scene(wrinkles())
    flipped = replace(
        surface,
        **{
            name: getattr(surface, name)[:, ::-1].copy()
            for name in vars(surface)
            if name in ("image", "positions", "normals", "weight")
        },
    )
    np.testing.assert_allclose(relief_from_shading(flipped)[:, ::-1], relief_from_shading(surface), atol=0.01)


@pytest.mark.parametrize(("case", "most"), [("black", 0.01), ("white", 0.01), ("masked", 0.0), ("few", 0.0)])
def test_pictures_that_say_nothing(case, most):
    surface = scene(wrinkles())
    image, weight = surface.image.copy(), surface.weight.copy()
    if case in ("black", "white"):
        image[:] = case == "white"
    if case == "masked":
        weight[:] = 0
    if case == "few":
        weight[:] = 0
        weight[50:60, 50:60] = 1
    assert float(np.abs(relief_from_shading(replace(surface, image=image, weight=weight))).max()) <= most


def test_wild_pictures_stay_within_the_limit():
    surface = scene(np.zeros((SIZE, SIZE)))
    image = np.random.default_rng(2).uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    found = relief_from_shading(replace(surface, image=image))
    assert np.isfinite(found).all() and float(np.abs(found).max()) <= LIMIT_MM


def test_odd_sizes():
    surface = scene(wrinkles())
    cut = ShadedSurface(*(getattr(surface, name)[:-3, :-1] for name in ("image", "positions", "normals", "weight")))
    assert agreement(relief_from_shading(cut), wrinkles()[:-3, :-1])[0] > 0.6


def test_shapes_are_checked():
    surface = scene(wrinkles())
    with pytest.raises(InputError, match="normals must have shape"):
        replace(surface, normals=surface.normals[:-1])


def test_quadratic_form_is_the_light():
    bands = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    normals = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    constant, slope, square = quadratic_form(bands)
    values = constant + normals @ slope + ((normals @ square) * normals).sum(-1)
    torch.testing.assert_close(values, harmonics(normals) @ bands)


def test_derivative_of_the_shading():
    """Against central differences of its values, on steep random relief."""
    surface = scene(wrinkles())
    rows = np.s_[60:76, 60:76]
    level = shape_from_shading._Level(
        np.zeros((16, 16)), np.ones((16, 16)), surface.positions[rows], surface.normals[rows], np.ones((16, 16)), PITCH
    )
    cells = shape_from_shading._Cells.of(level, np.arange(256).reshape(16, 16))
    shading = shape_from_shading._Shading(light().numpy().astype(np.float32), cells)
    rng = np.random.default_rng(0)
    relief, direction = rng.normal(0, 0.4, 256), rng.normal(size=256)
    step = 1e-5
    ahead, behind = (shading(relief + sign * step * direction)[0] for sign in (1, -1))
    np.testing.assert_allclose(shading(relief)[1] @ direction, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-8)
    assert float(np.abs(shading(np.zeros(256))[0]).max()) < 1e-12
