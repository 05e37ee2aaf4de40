"""Views: exact projection, the crop of a detector, poses with the stated spread."""

import math

import numpy as np
import pytest
import torch
from conftest import generators

from pyface3d.data.synthetic import views as stage
from pyface3d.data.synthetic.labels import label_points
from pyface3d.data.synthetic.people import STAGE as PEOPLE
from pyface3d.data.synthetic.people import draw_people
from pyface3d.data.synthetic.views import CROP_MARGIN, RENDER_SCALE, STAGE, draw_views, rotation_to_ray
from pyface3d.geometry import euler_from_rotation

SIZE = 96


def people_and_views(assets, count, seed=0, first=0):
    people = draw_people(assets, generators(seed, first, count, PEOPLE))
    return people, draw_views(generators(seed, first, count, STAGE), people, SIZE)


def outline_box(people, views):
    """Box of the 68 points in crop pixels: corners (B, 2) each."""
    points = label_points(people.model)
    flat = views.image(points.of(people.verts))[..., :2] / RENDER_SCALE
    outline = points.outline(flat, views.rotation)
    spots = flat.gather(1, outline[..., None].expand(-1, -1, 2))
    return spots.amin(1), spots.amax(1)


def test_the_crop_is_centred_on_the_landmarks_when_nothing_jitters(head_assets, monkeypatch):
    for name in ("_SIDE_SIGMA", "_SHIFT_SIGMA", "_BAD_SHARE"):
        monkeypatch.setattr(stage, name, 0.0)
    low, high = outline_box(*people_and_views(head_assets, 24))
    torch.testing.assert_close((low + high) / 2, torch.full((24, 2), SIZE / 2), atol=0.02, rtol=0)
    torch.testing.assert_close((high - low).amax(1), torch.full((24,), SIZE / CROP_MARGIN), atol=0.02, rtol=0)


def test_jitter_of_the_crop_has_the_stated_spread(head_assets, monkeypatch):
    monkeypatch.setattr(stage, "_BAD_SHARE", 0.0)
    low, high = outline_box(*people_and_views(head_assets, 400))
    side = SIZE / ((high - low).amax(1) * CROP_MARGIN)
    assert side.log().std() == pytest.approx(0.13, rel=0.15)  # four standard errors of 400
    assert side.log().mean() == pytest.approx(0.0, abs=4 * 0.13 / 20)
    shift = ((low + high) / 2 - SIZE / 2) / SIZE
    assert shift.std() == pytest.approx(0.06, rel=0.15)
    assert shift.mean() == pytest.approx(0.0, abs=4 * 0.06 / 20)


def test_some_crops_are_much_worse(head_assets):
    low, high = outline_box(*people_and_views(head_assets, 400))
    side = (SIZE / ((high - low).amax(1) * CROP_MARGIN)).log()
    assert 0.005 < (side.abs() > 0.39).float().mean() < 0.08  # three sigma of the others
    assert side.abs().max() <= stage._MOST_SIDE + 1e-4


def test_faces_are_in_front_of_the_camera_at_the_stated_distances(head_assets):
    people, views = people_and_views(head_assets, 200)
    middle = label_points(people.model).of(people.verts)[:, :68].mean(1, keepdim=True)
    distance = views.verts_camera(middle)[:, 0].norm(dim=1)
    assert distance.min() >= stage._NEAREST_MM - 1 and distance.max() <= stage._FARTHEST_MM + 1
    assert (distance < 600).float().mean() > 0.15 and (distance > 1500).float().mean() > 0.15
    assert (views.verts_camera(people.verts)[..., 2] > 0).all()


def test_poses_reach_profile_and_keep_their_spread(head_assets):
    rows = np.stack([stage._draw(rng) for rng in generators(4, 0, 4000, STAGE)])
    yaw, pitch, roll = np.degrees(rows[:, :3]).T
    assert np.abs(yaw).max() <= 95.01 and (np.abs(yaw) > 75).mean() > 0.05
    assert yaw.mean() == pytest.approx(0, abs=4 * yaw.std() / math.sqrt(4000))
    assert pitch.std() == pytest.approx(14, rel=0.06)
    assert 12 < roll.std() < 16


def test_seen_is_what_a_camera_turned_to_the_crop_sees(head_assets):
    _, views = people_and_views(head_assets, 16)
    middle = torch.full((16, 2), SIZE * RENDER_SCALE / 2)
    ray = (middle - views.camera.center) / views.camera.focal[:, None]
    turn = rotation_to_ray(ray)
    along = torch.cat([ray, torch.ones(16, 1)], 1)
    torch.testing.assert_close(turn[:, :, 2], along / along.norm(dim=1, keepdim=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(turn @ views.seen, views.rotation, atol=1e-5, rtol=0)
    # Turned so, a head at the crop's middle shows the yaw it has relative to the line of sight.
    assert torch.stack(euler_from_rotation(views.seen)).isfinite().all()


def test_a_view_is_the_same_in_any_batch(head_assets):
    _, together = people_and_views(head_assets, 9, seed=3, first=10)
    parts = [people_and_views(head_assets, count, 3, 10 + first)[1] for first, count in ((0, 1), (1, 8))]
    for field in ("rotation", "translation", "seen"):
        assert torch.equal(getattr(together, field), torch.cat([getattr(part, field) for part in parts])), field
    assert torch.equal(together.camera.focal, torch.cat([part.camera.focal for part in parts]))
    assert torch.equal(together.camera.center, torch.cat([part.camera.center for part in parts]))
