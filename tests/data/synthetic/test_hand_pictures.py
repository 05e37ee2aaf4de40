"""The arm of anny: fingers bend towards the palm, the forearm leaves downwards, anchors lie on the hand."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def hands():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        from synthetic_assets import hands

        yield hands


@pytest.fixture(scope="module")
def arm(hands):
    return hands.read_arm(0.5, 0.5)


def last_joints(heads: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([heads[f"finger{finger}-3"] for finger in (2, 3, 4, 5)])


def test_a_fist_closes_on_the_palms_side(hands, arm, monkeypatch):
    ahead, out = {}, {}
    for name, curl in (("flat", 0.0), ("bent", 0.5), ("fist", 1.0)):
        monkeypatch.setattr(hands, "_GRIPS", ((1.0, (curl,) * 5),))
        verts, heads = hands.pose(arm, np.random.default_rng(0))
        assert np.isfinite(verts).all() and verts.shape == arm.verts.shape
        normal, along = hands._palm_axes(heads)  # of the hand as the wrist turned it
        knuckles = np.stack([heads[f"finger{finger}-1"] for finger in (2, 3, 4, 5)])
        ahead[name], out[name] = ((last_joints(heads) - knuckles) @ axis for axis in (along, normal))
    assert (out["bent"] > out["flat"] + 10).all(), "mm out of the palm"
    assert (out["fist"] > out["flat"]).all()
    assert (ahead["fist"] < ahead["bent"]).all() and (ahead["bent"] < ahead["flat"]).all()


def test_bones_at_rest_leave_the_arm_as_it_is(hands, arm):
    for name in arm.heads:
        np.testing.assert_allclose(hands._chain(arm, {}, name), np.eye(3, 4), atol=1e-9)
    np.testing.assert_allclose(arm.weights.sum(1), 1)


def test_a_picture_has_its_forearm_below_and_its_anchors_on_the_hand(hands, arm, monkeypatch):
    monkeypatch.setattr(hands, "_GRIPS", ((1.0, (0.1,) * 5),))
    gain = np.full((8, 8, 3), 1.0, np.float32)
    rng = np.random.default_rng(3)
    for _ in range(4):
        verts, heads = hands.pose(arm, rng)
        picture, anchors = hands.render(arm, verts, heads, gain, rng)
        assert picture.shape == (hands.SIDE, hands.SIDE, 4)
        column, row = ((anchors[1] + 1) / 2 * hands.SIDE).astype(int)
        assert picture[row, column, 3] > 200, "the palm's middle"
        np.testing.assert_allclose(anchors[1], hands.PALM, atol=1e-6)
        assert anchors[2, 1] > anchors[1, 1], "the wrist is below the palm"
        lower, upper = picture[-60:, :, 3].sum(), picture[:20, :, 3].sum()
        assert lower > upper
