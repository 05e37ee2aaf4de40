"""ICT-FaceKit's people on the head's mesh, against ICT-FaceKit's own mesh; needs ../shared/data and the scripts."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import generators

from pyface3d.data.synthetic.people import STAGE, draw_people
from pyface3d.evaluate.scan_distance import TriangleSurface
from pyface3d.face_models import load_face_model
from pyface3d.face_models.ict import LANDMARK_VERTS, PART_RANGES

ROOT = Path(__file__).resolve().parents[3]
SKIN = PART_RANGES["skin"][1]
NOSE_EYES_MOUTH = np.arange(27, 68)


@pytest.fixture(scope="module")
def packed(shared_data):
    """The head's arrays and ICT's, and the registration they came from."""
    pytest.importorskip("anny", reason="scripts/head_model needs anny (extra build-head)")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from head_model.scans import load_scans
        from synthetic_assets import people
        from synthetic_assets.registration import register
        from synthetic_assets.scan_transfer import transfer
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    path = shared_data / "ict_facekit" / "ict_facekit_light.npz"
    model, scans, actions = load_face_model("head"), load_scans(path), people.read_actions(path)
    place = register(model, scans, actions["jawOpen"])
    importance = people.face_importance(model)
    moved = transfer(model, scans, actions, place, importance)
    return model, scans, actions, place, moved, people.to_head(model, moved, importance)


def rigidly(source, target, where):
    """``source`` laid on ``target`` by the points ``where``."""
    a, b = source[where], target[where]
    u, _, vt = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return (source - a.mean(0)) @ turn + b.mean(0)


def test_the_mean_lies_on_the_scans(packed):
    model, scans, _, place, _, _ = packed
    face = (model.regions["face"] & model.regions["skin"]).numpy()
    assert place.matched[face].mean() > 0.95
    surface = TriangleSurface(scans.neutral, scans.faces[(scans.faces < SKIN).all(axis=1)])
    assert surface.nearest(place.verts[face & place.matched])[0].max() < 1e-6
    points = model.landmarks("ibug68").points(torch.from_numpy(place.verts)[None], model.topology)[0].numpy()
    error = np.linalg.norm(points - scans.neutral[list(LANDMARK_VERTS)], axis=1)[NOSE_EYES_MOUTH]
    assert error.max() < 0.6
    # Theirs on the brows are on the upper edge, ours in the middle.
    above = (scans.neutral[list(LANDMARK_VERTS)] - points)[17:27, 1]
    assert above.min() > 2.0 and above.max() < 8.0


def test_people_and_actions_are_those_of_the_scans(packed):
    """Random people with random actions: our mesh against theirs, made by their own model."""
    model, scans, actions, place, moved, _ = packed
    rng = np.random.default_rng(0)
    face = np.nonzero((model.regions["face"] & model.regions["skin"]).numpy() & place.matched)[0]
    names = [name for name in model.expression_names if name in actions]
    rows = [model.expression_names.index(name) for name in names]
    for _ in range(4):
        who = rng.standard_normal(len(scans.identity))
        strength = rng.uniform(0, 0.6, len(names)) * (rng.random(len(names)) < 0.15)
        theirs = scans.neutral + np.tensordot(who, scans.identity, 1)
        theirs = theirs + sum(s * actions[name] for s, name in zip(strength, names, strict=True))
        ours = moved.mean + np.tensordot(who, moved.identity, 1) + np.tensordot(strength, moved.expression[rows], 1)
        there = np.full_like(ours, np.nan)
        there[place.matched] = place.of(theirs)
        laid = rigidly(ours, there, face)
        surface = TriangleSurface(theirs, scans.faces[(scans.faces < SKIN).all(axis=1)])
        distance = surface.nearest(laid[face])[0]
        assert distance.mean() < 0.1 and np.quantile(distance, 0.99) < 0.6, "mm"
        assert np.linalg.norm(laid[face] - there[face], axis=1).mean() < 0.3, "mm from the point they stand for"


def test_lips_stay_on_their_own_side(packed):
    model, _, _, _, moved, _ = packed
    row = model.expression_names.index("jawOpen")
    ours, theirs = model.expression_basis[row, :, 1].numpy(), moved.expression[row, :, 1]
    lips = model.regions["lips"].numpy()
    assert np.abs(ours - theirs)[lips].max() < 12.0, "a vertex on the wrong lip differs by the whole opening, 30 mm"


def test_eyeballs_stay_behind_the_lids_as_far_as_the_heads_do(packed):
    model, _, _, _, moved, _ = packed

    def clearance(verts):
        eye = verts[model.regions["left_eye"].numpy()]
        lid = verts[(model.regions["left_lids"] & model.regions["skin"]).numpy()]
        centre = 0.5 * (eye.max(0) + eye.min(0))
        return np.quantile(np.linalg.norm(lid - centre, axis=1), 0.1) - 0.5 * np.ptp(eye[:, 0])

    own = clearance(model.template.numpy())
    assert clearance(moved.mean) == pytest.approx(own, abs=0.1)
    rng = np.random.default_rng(1)
    people = [moved.mean + np.tensordot(rng.standard_normal(100), moved.identity, 1) for _ in range(50)]
    assert np.quantile([clearance(person) for person in people], 0.1) > own - 1.5


def test_coefficients_of_the_head_come_near_the_scanned_people(packed):
    model, _, _, _, moved, (matrix, offset) = packed
    rng = np.random.default_rng(2)
    face = (model.regions["face"] & model.regions["skin"]).numpy()
    far, near = [], []
    for _ in range(8):
        who = rng.standard_normal(100)
        person = moved.mean + np.tensordot(who, moved.identity, 1)
        found = np.concatenate([who, np.zeros(52)]) @ matrix + offset
        identity, expression = (torch.from_numpy(part).float()[None] for part in np.split(found, [model.identity_dim]))
        fitted = model.vertices(identity, expression)[0].double().numpy()
        for result, ours in ((near, fitted), (far, model.template.double().numpy())):
            result.append(np.linalg.norm(rigidly(ours, person, face)[face] - person[face], axis=1).mean())
    assert np.mean(near) < 1.6 and np.mean(near) < 0.45 * np.mean(far)


def test_half_of_the_people_are_scanned_ones(packed, head_assets):
    _, _, _, _, moved, (matrix, offset) = packed
    assets = dict(head_assets)
    assets["people.template"] = head_assets["people.template"].clone()  # another set of assets
    for name, value in (
        *(("mean", moved.mean), ("identity", moved.identity), ("expression", moved.expression)),
        *(("to_head", matrix), ("to_head_offset", offset)),
    ):
        assets[f"people.ict_{name}"] = torch.from_numpy(value).float()
    people = draw_people(assets, generators(0, 0, 200, STAGE))
    assert 0.35 < people.source.float().mean() < 0.65
    again = draw_people(assets, generators(0, 50, 3, STAGE))
    assert torch.equal(again.verts, people.verts[50:53]) and torch.equal(again.identity, people.identity[50:53])
    scanned = people.source == 1
    model = people.model
    fitted = model.vertices(people.identity[scanned], people.expression[scanned])
    face = model.regions["face"]
    away = (fitted - people.verts[scanned])[:, face].norm(dim=-1).mean()
    assert away < 3.5, "mm, without any alignment"
