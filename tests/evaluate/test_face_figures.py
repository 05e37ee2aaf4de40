"""Figures of faces whose movements are known."""

import math

import numpy as np
import pytest

from pyface3d.evaluate.face_figures import FIGURES, figures_table, followed, frontal

RNG = np.random.default_rng(6)


def mean_face() -> np.ndarray:
    """68 points of a plain frontal face, px: eyes' corners 100 px apart, chin 120 px below their line."""
    points = np.zeros((68, 2))
    angle = np.linspace(math.pi, 0, 17)
    points[:17] = np.stack([75 * np.cos(angle), 120 * np.sin(angle)], axis=1)
    points[17:27] = np.stack([np.linspace(-60, 60, 10), np.full(10, -22.0)], axis=1)
    points[27:31] = [(0, 0), (0, 14), (0, 28), (0, 40)]
    points[31:36] = [(-16, 50), (-8, 52), (0, 54), (8, 52), (16, 50)]
    points[36:42] = [(-50, 0), (-42, -5), (-30, -5), (-22, 0), (-30, 5), (-42, 5)]
    points[42:48] = -points[36:42][[3, 4, 5, 0, 1, 2]]
    points[48:60] = [
        *((-28, 75), (-18, 69), (-7, 66), (0, 67), (7, 66), (18, 69), (28, 75)),
        *((17, 82), (7, 86), (0, 87), (-7, 86), (-17, 82)),
    ]
    points[60:68] = [(-22, 75), (-7, 73), (0, 73), (7, 73), (22, 75), (7, 78), (0, 78), (-7, 78)]
    return points


def placed(faces: np.ndarray) -> np.ndarray:
    """The faces turned in the plane, scaled and moved, the same way at every call."""
    rng = np.random.default_rng(1)
    out = []
    for face in faces:
        angle, size = rng.uniform(-1, 1), rng.uniform(0.3, 3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        out.append(size * face @ turn.T + rng.uniform(0, 500, 2))
    return np.stack(out)


def opening_mouths(amounts: np.ndarray) -> np.ndarray:
    faces = np.repeat(mean_face()[None], len(amounts), axis=0)
    faces[:, 66, 1] += amounts
    return faces


def test_figures_of_a_plain_face() -> None:
    figures = followed(placed(mean_face()[None]), placed(mean_face()[None]))
    wanted = {"mouth opening": 0.05, "mouth width": 0.56, "eye opening": 0.1, "brows above eyes": 0.22, "chin": 1.2}
    for name, value in wanted.items():
        assert figures[name].true_mean == pytest.approx(value, abs=1e-9)
        assert figures[name].mean == pytest.approx(value, abs=1e-9)
    assert math.isnan(figures["chin"].slope)  # one face does not vary


def test_a_movement_that_is_followed_by_half() -> None:
    amounts = RNG.uniform(0, 30, 40)
    figures = followed(placed(opening_mouths(0.5 * amounts)), placed(opening_mouths(amounts)))
    assert figures["mouth opening"].slope == pytest.approx(0.5)
    assert figures["mouth opening"].correlation == pytest.approx(1)
    assert figures["mouth opening"].std == pytest.approx(figures["mouth opening"].true_std / 2)


def test_a_rigid_mean_face_follows_nothing() -> None:
    amounts = RNG.uniform(0, 30, 40)
    figures = followed(placed(opening_mouths(0 * amounts)), placed(opening_mouths(amounts)))
    assert figures["mouth opening"].slope == pytest.approx(0, abs=1e-9)


def test_frontal_faces() -> None:
    turned = mean_face()
    turned[27:36, 0] += 35  # the nose far out of the middle
    nodding = mean_face() * (1, 0.5)
    np.testing.assert_array_equal(frontal(placed(np.stack([mean_face(), turned, nodding]))), [True, False, False])


def test_table() -> None:
    amounts = RNG.uniform(0, 30, 20)
    truth = placed(opening_mouths(amounts))
    table = figures_table({"photos": (truth, truth)})
    rows = {row["figure"]: row for row in table.rows}
    assert list(rows) == list(FIGURES)
    assert rows["mouth opening"]["photos: slope"] == pytest.approx(1)
    assert "photos 20" in table.title
