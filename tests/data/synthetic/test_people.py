"""Synthetic people: they are the head's linear model, reproducible one by one, with faces that people can make."""

import numpy as np
import pytest
import torch
from conftest import generators

from pyface3d.data.synthetic import expressions
from pyface3d.data.synthetic import people as stage
from pyface3d.data.synthetic.assets import load_assets, model_of
from pyface3d.data.synthetic.expressions import PROTOTYPES, draw_expressions
from pyface3d.data.synthetic.people import STAGE, draw_people
from pyface3d.errors import AssetError
from pyface3d.face_models import load_face_model
from pyface3d.face_models.lips import facing_lips


def test_people_are_the_heads_linear_model(head_assets, monkeypatch):
    monkeypatch.setattr(stage, "_LOPSIDED_SHARE", 0.0)
    people = draw_people(head_assets, generators(0, 0, 12, STAGE))
    head = load_face_model("head")
    rest = torch.zeros(1, head.expression_dim)
    torch.testing.assert_close(people.neutral, head.vertices(people.identity, rest), atol=1e-4, rtol=0)
    torch.testing.assert_close(people.verts, head.vertices(people.identity, people.expression), atol=1e-3, rtol=0)


def test_lopsided_people_differ_in_their_halves_only(head_assets, monkeypatch):
    monkeypatch.setattr(stage, "_LOPSIDED_SHARE", 1.0)
    people = draw_people(head_assets, generators(0, 0, 12, STAGE))
    head = people.model
    difference = people.neutral - head.vertices(people.identity, torch.zeros(1, head.expression_dim))
    middle = head.template[:, 0].abs() < 1e-3
    assert difference[:, middle].abs().max() < 1e-3
    assert (difference[:, head.regions["face"]].norm(dim=-1).mean(1) > 0.2).all()


def test_a_person_is_the_same_in_any_batch(head_assets):
    together = draw_people(head_assets, generators(3, 10, 9, STAGE))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        apart = [draw_people(head_assets, generators(3, 10 + first, count, STAGE)) for first, count in ((0, 1), (1, 8))]
    finally:
        torch.set_num_threads(threads)
    for field in ("verts", "neutral", "identity", "expression", "source"):
        assert torch.equal(getattr(together, field), torch.cat([getattr(part, field) for part in apart])), field


def test_another_seed_gives_other_people(head_assets):
    a, b = (draw_people(head_assets, generators(seed, 0, 4, STAGE)) for seed in (0, 1))
    assert not torch.allclose(a.verts, b.verts, atol=1.0)


def test_lips_do_not_pass_through_each_other(head_assets):
    people = draw_people(head_assets, generators(7, 0, 256, STAGE))
    upper, lower = facing_lips(people.model)
    jaw = people.model.expression_basis[people.model.expression_names.index("jawOpen")]
    rate = jaw[upper, 1] - jaw[lower, 1]
    parted = rate > stage._LEAST_RATE * rate.max()
    overlap = (people.verts[:, lower, 1] - people.verts[:, upper, 1])[:, parted].amax(1)
    # All but those whose lips more than the greatest correction would have to part.
    assert (overlap > stage._LIPS_PRESSED_MM + 0.01).float().mean() < 0.02


def test_expressions_are_in_range_and_move_both_eyes_alike(head_assets):
    names = model_of(head_assets).expression_names
    strength = draw_expressions(generators(0, 0, 2000, STAGE), names)
    assert strength.shape == (2000, 52) and strength.min() >= 0.0 and strength.max() <= 1.0
    column = {name: strength[:, i] for i, name in enumerate(names)}
    np.testing.assert_array_equal(column["eyeLookOutLeft"], column["eyeLookInRight"])
    np.testing.assert_array_equal(column["eyeLookInLeft"], column["eyeLookOutRight"])
    assert (column["eyeLookOutLeft"] * column["eyeLookInLeft"] == 0).all()
    for up, down in (("eyeLookUpLeft", "eyeLookDownLeft"), ("eyeLookUpRight", "eyeLookDownRight")):
        assert (column[up] * column[down] == 0).all()
    assert (column["mouthClose"] <= column["jawOpen"]).all(), "lips cannot be closed further than the jaw is open"


def test_the_stated_share_of_people_is_neutral(head_assets, monkeypatch):
    for name in ("_FRIENDLY", "_BROW_NOISE", "_SPEAKING"):  # what comes on top of any expression
        monkeypatch.setattr(expressions, name, 0.0)
    names = model_of(head_assets).expression_names
    lids_and_gaze = np.array([name.startswith("eye") for name in names])
    strength = draw_expressions(generators(1, 0, 4000, STAGE), names)[:, ~lids_and_gaze]
    calm = (strength > 0.36).sum(1) == 0  # stray actions and faint noise stay below
    assert expressions._NEUTRAL - 0.04 < calm.mean() < expressions._NEUTRAL + 0.15


def test_both_sides_are_drawn_alike(head_assets):
    names = model_of(head_assets).expression_names
    mean = dict(zip(names, draw_expressions(generators(2, 0, 6000, STAGE), names).mean(0), strict=True))
    for name in names:
        if name.endswith("Left"):
            other = mean[name.removesuffix("Left") + "Right"]
            assert mean[name] == pytest.approx(other, abs=0.012), name  # four standard errors of a mean of 0.25


def test_prototypes_name_actions_of_the_head(head_assets):
    names = model_of(head_assets).expression_names
    assert len(PROTOTYPES) >= 25
    for title, (frequency, actions) in PROTOTYPES.items():
        assert frequency > 0
        for action, strength in actions.items():
            assert action in names or f"{action}Left" in names, f"{title}: {action}"
            assert 0 < strength <= 1


def test_a_packed_head_is_the_embedded_one(head_assets, tmp_path):
    np.savez(tmp_path / "assets.npz", **{key: value.numpy() for key, value in head_assets.items()})
    packed, head = model_of(load_assets(tmp_path / "assets.npz")), load_face_model("head")
    for field in ("template", "identity_basis", "expression_basis", "mirror"):
        assert torch.equal(getattr(packed, field), getattr(head, field)), field
    assert torch.equal(packed.topology.faces, head.topology.faces)
    assert torch.equal(packed.topology.uv_faces, head.topology.uv_faces)
    assert packed.expression_names == head.expression_names
    assert torch.equal(packed.contour(), head.contour())
    for scheme in ("ibug68", "dense320"):
        assert torch.equal(packed.landmarks(scheme).faces, head.landmarks(scheme).faces)
    assert all(torch.equal(packed.regions[name], mask) for name, mask in head.regions.items())


def test_files_that_are_no_assets_are_refused(tmp_path):
    with pytest.raises(AssetError, match="cannot read"):
        load_assets(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(AssetError, match="cannot read"):
        load_assets(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(AssetError, match=r"people\.template"):
        load_assets(tmp_path / "other.npz")
