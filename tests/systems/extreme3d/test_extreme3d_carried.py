"""The default fit in the crop's camera, and relief along the normal on a surface that leans away from it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from pyface3d.detect.crops import Crop, extreme3d_crop
from pyface3d.face_models import load_face_model
from pyface3d.geometry import FRONTAL, Camera, rotation_from_euler
from pyface3d.ops import vertex_normals
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems.extreme3d import Foundation, build_dense, build_foundation
from pyface3d.systems.extreme3d.carried import (
    carry,
    face_region,
    face_relief,
    relief_along_axis,
    relief_along_normal,
)

HEIGHT, WIDTH = 420, 640


@pytest.fixture(scope="module")
def fitted() -> Reconstruction:
    """Somebody in the right half of a picture, turned and tilted."""
    model = load_face_model("head")
    rng = torch.Generator().manual_seed(3)
    identity = torch.randn(model.identity_dim, generator=rng)
    expression = torch.rand(model.expression_dim, generator=rng) * 0.2
    verts = model.vertices(identity[None], expression[None])[0]
    angles = (torch.tensor([value]) for value in (0.3, 0.1, -0.2))
    rotation, translation = rotation_from_euler(*angles)[0], torch.tensor([150.0, 20.0, 900.0])
    aligned = verts @ rotation.T + translation
    camera = Camera.centered(torch.tensor([800.0]), HEIGHT, WIDTH)
    points = camera.project(model.landmarks().points(aligned[None], model.topology))[0, :, :2]
    count = len(verts)
    return Reconstruction(
        image_size=(HEIGHT, WIDTH),
        box=(*points.amin(0).tolist(), *points.amax(0).tolist()),
        crop=None,
        camera=camera,
        coefficients={
            "identity": identity, "expression": expression, "rotation": rotation, "translation": translation,
        },
        verts=verts,
        verts_aligned=aligned,
        topology=model.topology,
        texture=None,
        bump=None,
        normals=vertex_normals(verts[None], model.topology)[0],
        occlusion_mask=None,
        source=torch.zeros(count, dtype=torch.uint8),
        confidence=torch.zeros(count),
        landmarks=points,
        system="fit",
        model=model,
    )  # fmt: skip


@pytest.fixture(scope="module")
def crop(fitted: Reconstruction) -> Crop:
    return extreme3d_crop(fitted.landmarks.numpy(), whole_pixels=False)


@pytest.fixture(scope="module")
def foundation(fitted: Reconstruction, crop: Crop) -> Foundation:
    return carry(fitted, load_face_model("head", 1), crop).foundation


def test_the_crop_shows_the_head_where_the_photo_does(fitted: Reconstruction, crop: Crop) -> None:
    assert crop.matrix[0, 0] == pytest.approx(crop.matrix[1, 1], rel=1e-12) and crop.matrix[0, 1] == 0
    foundation = carry(fitted, fitted.model, crop).foundation
    in_photo = fitted.camera.project(fitted.verts_aligned[None])[0]
    np.testing.assert_allclose(foundation.verts_image[:, :2], crop.to_crop(in_photo[:, :2].numpy()), atol=1e-2)
    torch.testing.assert_close(foundation.verts_image[:, 2].float(), in_photo[:, 2], atol=1e-3, rtol=0)


def test_the_square_crop_is_the_published_one_to_a_pixel(crop: Crop, fitted: Reconstruction) -> None:
    points = fitted.landmarks.numpy()
    apart = crop.to_crop(points) - extreme3d_crop(points).to_crop(points)
    assert np.abs(apart).max() < 2 * crop.scale


@pytest.mark.parametrize("yaw_deg", [-25.0, 0.0, 40.0])
def test_turn_is_what_who_looks_there_sees(yaw_deg: float) -> None:
    """A head 20 degrees to the right of the axis, seen through a crop around it: 20 degrees further to the right."""
    model, side = load_face_model("head"), math.radians(20)
    zero = torch.zeros(1, dtype=torch.float64)
    rotation = rotation_from_euler(zero + math.radians(yaw_deg), zero, zero)[0]
    translation = 600 * torch.tensor([math.sin(side), 0.0, math.cos(side)], dtype=torch.float64)
    middle = torch.tensor([[250 - 1000 * math.tan(side), 250.0]], dtype=torch.float64)
    camera = Camera(zero + 1000, middle, 500, 500)
    shape = torch.zeros(model.identity_dim), torch.zeros(model.expression_dim)
    foundation = build_foundation(model, *shape, rotation, translation, camera)
    assert foundation.turn() == pytest.approx(math.radians(yaw_deg) + side, abs=1e-9)
    ahead = foundation.seen_from_the_front()
    assert torch.equal(ahead.rotation, torch.tensor(FRONTAL, dtype=torch.float64))
    drawn = ahead.fragments.mask[0].nonzero().double().mean(0)
    assert bool(((drawn - 250).abs() < 60).all())  # in the middle of the crop, not where the axis of the photo is


def test_relief_along_the_normal_raises_the_surface_by_as_much(foundation: Foundation) -> None:
    """1 mm along the normal everywhere: the dense points lie 1 mm off the surface, on slopes too."""
    model = load_face_model("head", 1)
    region = face_region(foundation, model)
    relief = face_relief(foundation, model, torch.ones(500, 500, dtype=torch.float64))
    flat = build_dense(foundation, face_relief(foundation, model, None))
    raised = build_dense(foundation, relief)
    assert torch.equal(flat.known, region) and torch.equal(raised.known, region)
    zero = torch.zeros(1, dtype=torch.float64)  # the surface as points a fifth of a millimetre apart
    close = replace(foundation, camera=foundation.camera.cropped(zero, zero, zero + 3, 1500, 1500))
    rows, columns = close.fragments.mask[0].nonzero(as_tuple=True)
    pixels = torch.stack([columns + 0.5, rows + 0.5, close.fragments.depth[0, rows, columns]], 1)
    surface = cKDTree(close.camera.unproject(pixels.double()[None])[0].numpy())
    verts, _, spots = raised.mesh.item(0)
    along = relief_along_normal(foundation, relief.mm)[spots[:, 1].long(), spots[:, 0].long()]
    whole = along > 0.999  # full relief: no rim, no eyes, no grazing skin
    assert int(whole.sum()) > 8000
    slope = relief.mm[spots[:, 1].long(), spots[:, 0].long()][whole]
    assert float(slope.max()) > 1.7 and float(slope.min()) > 0.999
    apart = surface.query(verts[whole][::20].numpy())[0]
    assert abs(np.median(apart) - 1) < 0.02 and np.quantile(np.abs(apart - 1), 0.98) < 0.1
    assert float(relief.mm[~region].abs().max()) == 0


def test_along_the_axis_and_back(foundation: Foundation) -> None:
    model = load_face_model("head", 1)
    region = face_region(foundation, model)
    mm = torch.rand(500, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    back = relief_along_normal(foundation, relief_along_axis(foundation, model, mm, region))
    share = back[region] / mm[region]
    assert float(share.max()) < 1 + 1e-9 and float(share.min()) >= 0
    assert float((share > 1 - 1e-9).double().mean()) > 0.4  # where nothing fades it is the same number
