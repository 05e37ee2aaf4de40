"""The landmark fit on real photos: what the issue asks to see, where the photos are at hand."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pyface3d.fit import check_plausibility, fit_landmarks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check_fit():
    spec = importlib.util.spec_from_file_location("check_fit", ROOT / "scripts" / "check_fit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photos(shared_data, check_fit):
    found = [check_fit.read_photo(path) for path in sorted((shared_data / "extreme3d" / "photos").iterdir())]
    return [photo for photo in found if photo is not None]


def test_faces_meet_their_landmarks_and_stay_human(head, photos, check_fit):
    assert len(photos) == 14
    errors, baseline = [], []
    for photo in photos:
        given = (head, photo.points, photo.sigma, photo.height, photo.width)
        fit = fit_landmarks(*given)
        face = check_plausibility(head, fit)
        assert bool(face.passed), f"{photo.name}: {face}"
        errors.append(check_fit.percent(photo, fit).mean())
        frozen = fit_landmarks(*given, identity_weight=check_fit.FROZEN, expression_weight=check_fit.FROZEN)
        baseline.append(check_fit.percent(photo, frozen).mean())
    # 1.94 % of the eyes' distance with the shipped weights, the worst photo 3.1 %; the posed mean face 3.53 %.
    assert torch.stack(errors).mean() <= 2.4
    assert torch.stack(errors).max() <= 4.0
    assert torch.stack(errors).mean() < 0.65 * torch.stack(baseline).mean()


def test_left_out_landmarks_are_predicted(head, photos, check_fit):
    generator = torch.Generator().manual_seed(0)
    both = [check_fit.left_out_errors(head, photo, 4, generator) for photo in photos]
    fitted, left_out = torch.tensor(both).mean(0)
    assert left_out <= 1.25 * fitted  # 1.14 with the shipped weights
