"""The reference set of occlusion recovery, and what is chosen from it, against slow and obvious computations."""

from __future__ import annotations

import heapq
import json
from pathlib import Path

import numpy as np
import pytest

from pyface3d.errors import AssetError, InputError, OutputError
from pyface3d.systems.extreme3d.recovery import References, build_references, load_references
from pyface3d.systems.extreme3d.recovery.chart import COLUMNS, ROWS, TEXEL_MM
from pyface3d.systems.extreme3d.recovery.combination import left_out, ridge_inverse
from pyface3d.systems.extreme3d.recovery.references import AGE_BANDS, COARSER, Tags, references_folder
from pyface3d.systems.extreme3d.recovery.retrieval import (
    COLLAR_MM,
    NOTHING,
    SeenRelief,
    choose_donor,
    geodesic_mm,
    reference_costs,
)

SIDE = (ROWS // COARSER, COLUMNS // COARSER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("references")
    build_references(place, 10, seed=3)
    return place


def smooth_references(count: int, seed: int = 0) -> References:
    """Sums of a few waves: relief that its surroundings tell a good deal about."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    waves = [np.sin(rows / a + columns / b + c) for a, b, c in zip(*rng.uniform(8, 30, (2, 6)), rng.uniform(0, 6, 6))]
    relief = np.tensordot(rng.normal(size=(count, 6)), np.stack(waves), 1).astype(np.float16)
    coarse = relief.astype(np.float32).reshape(count, SIDE[0], COARSER, SIDE[1], COARSER).mean((2, 4))
    return References(relief, coarse.astype(np.float16), (Tags("old", {}),) * count, "made up")


def test_references_are_what_their_index_says(folder: Path) -> None:
    references = load_references(folder)
    assert references.relief.shape == (10, ROWS, COLUMNS) and references.coarse.shape == (10, *SIDE)
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 1 and len({entry["sha256"] for entry in index["entries"]}) == 10
    assert {tags.age for tags in references.tags} <= set(AGE_BANDS)
    assert all(tags.beard == "none" for tags in references.tags)
    assert 0.02 < float(np.abs(references.relief).max()) < 5
    blocks = references.relief[4].astype(np.float32).reshape(SIDE[0], COARSER, SIDE[1], COARSER).mean((1, 3))
    np.testing.assert_allclose(references.coarse[4], blocks, atol=2e-3)


def test_the_same_faces_in_any_company(folder: Path, tmp_path: Path) -> None:
    build_references(tmp_path, 9, seed=3)
    assert load_references(tmp_path).relief.tobytes() == load_references(folder).relief[:9].tobytes()
    build_references(tmp_path / "other", 9, seed=4)
    assert load_references(tmp_path / "other").relief.tobytes() != load_references(tmp_path).relief.tobytes()


def test_damage_is_told_and_mended_by_deleting(folder: Path, tmp_path: Path) -> None:
    for number, (name, spoil) in enumerate({
        "relief.npy": lambda data: data[:-3] + bytes([data[-3] ^ 64]) + data[-2:],
        "index.json": lambda data: data[: len(data) // 2],
        "coarse.npy": lambda data: data[:1000],
    }.items()):  # fmt: skip
        copy = tmp_path / str(number)
        copy.mkdir()
        for file in folder.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        (copy / name).write_bytes(spoil((copy / name).read_bytes()))
        with pytest.raises(AssetError, match=r"damaged.*delete"):
            load_references(copy)
    newer = tmp_path / "newer"
    newer.mkdir()
    for file in folder.iterdir():
        (newer / file.name).write_bytes(file.read_bytes().replace(b'"version": 1', b'"version": 9'))
    with pytest.raises(AssetError, match="version 9"):
        load_references(newer)


def test_bad_wishes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        build_references(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        build_references(tmp_path / "file" / "below", 1)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYFACE3D_CACHE", str(tmp_path))
    assert references_folder().parent == tmp_path
    monkeypatch.delenv("PYFACE3D_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert references_folder().parent == tmp_path / "xdg" / "pyface3d"


def test_left_out_predictions_are_those_of_fits_without_the_sample() -> None:
    rng = np.random.default_rng(2)
    features, hidden, ridge = rng.normal(size=(12, 30)), rng.normal(size=(12, 7)), 3.0
    quick = left_out(ridge_inverse(features @ features.T, ridge), hidden)
    for out in range(12):
        rest = np.arange(12) != out
        about = features[rest]
        slow = features[out] @ about.T @ np.linalg.solve(about @ about.T + ridge * np.eye(11), hidden[rest])
        np.testing.assert_allclose(quick[out], slow, rtol=1e-8, atol=1e-10)


def test_the_collar_goes_around_what_is_not_seen() -> None:
    step = TEXEL_MM * COARSER
    hole, known = np.zeros((60, 70), bool), np.ones((60, 70), bool)
    hole[25:30, 10:15] = True
    known[10:50, 22:25] = False  # a wall
    known &= ~hole
    quick = geodesic_mm(hole, known)
    exact = np.full(hole.shape, np.inf)
    queue = [(0.0, int(r), int(c)) for r, c in np.argwhere(hole)]
    done = np.zeros(hole.shape, bool)
    while queue:  # Dijkstra over eight neighbours
        far, r, c = heapq.heappop(queue)
        if done[r, c]:
            continue
        done[r, c] = True
        exact[r, c] = far
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                y, x = r + dr, c + dc
                if 0 <= y < 60 and 0 <= x < 70 and known[y, x] and not done[y, x]:
                    heapq.heappush(queue, (far + step * float(np.hypot(dr, dc)), y, x))
    reached = np.isfinite(quick)
    assert not (reached & (hole | ~known)).any()
    assert reached[known & (exact < 0.8 * COLLAR_MM)].all() and not reached[exact > 1.25 * COLLAR_MM].any()
    assert np.abs(quick[reached] - exact[reached]).max() < 0.2 * COLLAR_MM


def test_costs_follow_the_formula() -> None:
    references = smooth_references(3)
    own = smooth_references(1, seed=9).coarse[0].astype(np.float32)
    collar = np.zeros(SIDE, bool)
    collar[40:60, 50:70] = True
    quick = reference_costs(collar, SeenRelief(own, np.ones(SIDE, bool)), references, {"jawOpen": 0.5})
    for number in range(3):
        other = references.coarse[number].astype(np.float32)
        across = [abs((own[r, c + 1] - own[r, c]) - (other[r, c + 1] - other[r, c]))
                  for r in range(40, 60) for c in range(50, 69)]  # fmt: skip
        down = [abs((own[r + 1, c] - own[r, c]) - (other[r + 1, c] - other[r, c]))
                for r in range(40, 59) for c in range(50, 70)]  # fmt: skip
        # Mean over edges, both axes counted, per texel of the fine chart.
        unlike = 2 * np.mean(across + down) / COARSER
        first = [(r, c) for r in range(40, 60) for c in range(50, 69)] + [
            (r, c) for r in range(40, 59) for c in range(50, 70)
        ]
        apart = np.array([other[spot] - own[spot] for spot in first])
        slow = unlike + 0.25 * np.abs(apart - np.median(apart)).mean() + 0.1 * 0.5**2
        assert quick[number] == pytest.approx(slow, rel=1e-3)


def test_references_fill_what_the_mirror_cannot() -> None:
    references = smooth_references(60)
    one = smooth_references(61).coarse[60].astype(np.float32)  # of the same waves, but not among them
    hole = np.zeros(SIDE, bool)
    hole[60:90, 40:128] = True  # over both halves: the mirror image is hidden too
    choice = choose_donor(SeenRelief(np.where(hole, 0, one), ~hole), hole, references)
    assert choice.donor == "references" and choice.combination is not None
    whole = choice.combination.over(references, slice(0, ROWS), slice(0, COLUMNS))
    found = whole.reshape(SIDE[0], COARSER, SIDE[1], COARSER).mean((1, 3))
    error = np.abs(np.diff(found, axis=0) - np.diff(one, axis=0))[60:89, 40:128].mean()
    assert error < 0.2 * np.abs(np.diff(one, axis=0))[60:89, 40:128].mean()


def test_nothing_seen_nothing_chosen() -> None:
    hole = np.ones(SIDE, bool)
    assert choose_donor(SeenRelief(np.zeros(SIDE, np.float32), ~hole), hole, smooth_references(3)) is NOTHING
