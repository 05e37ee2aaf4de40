"""Figures that a run is judged by, against cases whose answer is known."""

import csv
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import DotSampler

from pyface3d.errors import Pyface3dError
from pyface3d.geometry import rotation_from_axis_angle
from pyface3d.io.images import write_png
from pyface3d.networks.face_points import FacePointsOutput
from pyface3d.train.config import RunConfig
from pyface3d.train.cutting import cut_square
from pyface3d.train.feeding import SampleFeed
from pyface3d.train.monitor import Monitor
from pyface3d.train.points.measures import photo_measures, sample_measures
from pyface3d.train.points.photos import read_photos
from pyface3d.train.points.pictures import picture_grid
from pyface3d.train.points.samples import Samples, render_samples
from pyface3d.train.schedule import rate_factor


def right_answers(truth: Samples) -> FacePointsOutput:
    return FacePointsOutput(
        points=truth.points.clone(),
        log_sigma=torch.full(truth.points.shape[:2], -3.0),
        visible=20 * truth.visible.float() - 10,
        rotation=truth.rotation.clone(),
        identity=truth.identity.clone(),
        expression=truth.expression.clone(),
        score=20 * truth.is_face.float() - 10,
    )


def test_right_answers_have_no_error(tables):
    truth = render_samples(DotSampler(), 0, 40)
    figures = sample_measures(right_answers(truth), truth, tables.gram)
    errors = ("landmarks", "dense", "seen", "hidden", "rotation", "vertices")
    assert all(figures[name] == pytest.approx(0, abs=1e-3) for name in errors)
    assert figures["visible"] == figures["score"] == figures["within_2_sigma"] == 1


def test_errors_are_measured_in_the_stated_units(tables):
    truth = render_samples(DotSampler(), 0, 40)
    out = right_answers(truth)
    box = truth.points[:, :68].amax(1) - truth.points[:, :68].amin(1)
    moved = out.points + 0.1 * box.prod(1).sqrt()[:, None, None] * torch.tensor([0.6, 0.8])
    turned = rotation_from_axis_angle(torch.tensor([[0.0, 0.2, 0.0]])) @ out.rotation
    out = out._replace(points=moved, rotation=turned, score=torch.full((40,), 5.0), log_sigma=out.log_sigma - 9)
    figures = sample_measures(out, truth, tables.gram)
    assert figures["landmarks"] == figures["dense"] == pytest.approx(10, rel=1e-3)
    assert figures["rotation"] == pytest.approx(math.degrees(0.2), rel=1e-3)
    assert figures["score"] == 0.5  # "always a face" is no skill
    assert figures["within_2_sigma"] == 0


def test_a_constant_offset_is_taken_off_photos_but_not_from_the_plain_error():
    rng = torch.Generator().manual_seed(0)
    points = torch.rand(20, 68, 2, generator=rng)
    eyes = (points[:, 36] - points[:, 45]).norm(dim=-1)[:, None, None]
    offset = 0.1 * torch.nn.functional.normalize(torch.randn(68, 2, generator=rng), dim=1)
    found = torch.cat([points + offset * eyes, torch.zeros(20, 320, 2)], 1)
    out = FacePointsOutput(found, torch.zeros(20, 388), *[torch.zeros(20)] * 5)
    figures = photo_measures(out, points)
    assert figures["median"] == figures["mean"] == pytest.approx(10, rel=1e-3)
    assert figures["offset_median"] == pytest.approx(0, abs=1e-3)


def test_photos_are_cut_about_their_landmarks(tmp_path):
    image = np.zeros((120, 160, 3), np.uint8)
    landmarks = np.stack([np.linspace(60, 100, 68), np.linspace(40, 80, 68)], 1)
    for x, y in landmarks[[0, -1]].astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    write_png(tmp_path / "a.png", image)
    np.savez(tmp_path / "landmarks68.npz", names=np.array(["a.png"]), pts=landmarks[None])
    photos = read_photos(tmp_path, 128)
    assert photos.image.shape == (1, 3, 128, 128) and photos.image.dtype == torch.uint8
    extent = photos.points[0].amax(0) - photos.points[0].amin(0)
    assert float(extent[0]) == float(extent[1]) and 0.45 < float(extent[0]) < 0.95  # 1 / 1.5, jittered
    bright = (photos.image[0, 0] > 200).nonzero().flip(1).float()
    first, last = 128 * photos.points[0, [0, -1]]
    assert (bright - first).norm(dim=1).min() < 1.5 and (bright - last).norm(dim=1).min() < 1.5
    assert ((bright - first).norm(dim=1).minimum((bright - last).norm(dim=1)) < 12).all()


def test_a_square_that_shrinks_loses_no_pixel():
    image = torch.zeros(3, 400, 400, dtype=torch.uint8)
    image[:, 201, 203] = 255
    small = cut_square(image, torch.tensor([200.0, 200.0]), 400.0, 40)
    assert float(small.float().sum()) == pytest.approx(3 * 255 / 100, abs=3)


def test_learning_rates_rise_then_fall():
    config = RunConfig(steps=1000, warm_up=100)
    factors = [rate_factor(step, config) for step in range(1001)]
    assert factors[0] == pytest.approx(0.01) and factors[99] == pytest.approx(1, abs=0.01)
    assert all(a < b for a, b in pairwise(factors[:100]))
    assert all(a >= b for a, b in pairwise(factors[100:]))
    assert factors[-1] == pytest.approx(0.01)


def test_monitor_writes_figures_and_grids(tmp_path):
    truth = render_samples(DotSampler(), 0, 10)
    with Monitor(tmp_path) as monitor:
        monitor.figures(3, "train", {"total": 1.5})
        monitor.pictures(3, "synthetic", picture_grid(truth.image, truth.points, truth.points))
    with Monitor(tmp_path) as monitor:  # a resumed run adds to the table
        monitor.figures(4, "train", {"total": 1.25})
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [(row["step"], row["name"], row["value"]) for row in rows] == [
        ("3", "train/total", "1.5"),
        ("4", "train/total", "1.25"),
    ]
    grid = picture_grid(truth.image, truth.points)
    assert grid.shape == (3, 2 * 128, 8 * 128)
    x, y = (truth.points[9, 0] * 128).long()  # second row, second column; landmarks are drawn last, in red
    assert grid[:, 128 + y, 128 + x].tolist() == [255, 50, 50]


class _Broken:
    def __call__(self) -> "_Broken":
        return self

    def batch(self, start: int, count: int) -> None:
        raise RuntimeError("no more faces")


def test_a_renderer_that_fails_ends_the_run_with_its_error():
    with (
        SampleFeed(_Broken(), render_samples, 4, workers=1) as feed,
        pytest.raises(Pyface3dError, match="no more faces"),
    ):
        feed.next()


def test_labels_that_are_not_finite_make_a_sample_no_face():
    class Spoilt(DotSampler):
        def batch(self, start, count):
            faces = super().batch(start, count)
            points = faces.points68.clone()
            points[0, 5] = math.nan
            points[1, 5] = 1e6
            return replace(faces, points68=points, is_face=torch.ones(count, dtype=torch.bool))

    samples = render_samples(Spoilt(), 0, 4)
    assert samples.is_face.tolist() == [False, False, True, True]
    assert torch.isfinite(samples.points).all()
