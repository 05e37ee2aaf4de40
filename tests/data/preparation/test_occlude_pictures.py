"""`prepare occlude`: the published hands with their defects repaired, the synthetic occluders, masks, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyface3d.cli import main
from pyface3d.data.preparation.hands import HandPlacement, draw_hands, open_hand, paint_hands, read_silhouette
from pyface3d.data.preparation.occlude import PublishedHands, SyntheticOccluders
from pyface3d.detect.landmark_files import write_landmarks
from pyface3d.errors import InputError
from pyface3d.io.images import read_image, write_png
from pyface3d.io.label_maps import read_label_map

SIZE = 224


def face_points() -> np.ndarray:
    """68 points about the middle of a crop, roughly a face: jaw below, brows above."""
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    jaw = np.stack([112 + 70 * np.cos(angle), 100 - 85 * np.sin(angle)], axis=1)
    points = np.full((68, 2), 112.0)
    points[:17] = jaw
    points[17:27] = np.stack([np.linspace(55, 169, 10), np.full(10, 75.0)], axis=1)
    points[27:36] = np.stack([np.full(9, 112.0), np.linspace(85, 130, 9)], axis=1)
    points[36:42], points[42:48], points[48:68] = (82, 92), (142, 92), (112, 155)
    return points + np.random.default_rng(0).uniform(-2, 2, (68, 2))


def picture(seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    across, down = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    smooth = np.stack([120 + across / 4, 90 + down / 5, 70 + (across + down) / 8], axis=-1)
    return (smooth + draw.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def test_spec_8_draws() -> None:
    """10,000 draws: shares, ranges with both ends reached, and the second hand's size."""
    draw = np.random.default_rng(0)
    drawn = [draw_hands(draw, SIZE) for _ in range(10_000)]
    assert np.mean([len(hands) == 1 for hands in drawn]) == pytest.approx(0.80, abs=0.02)
    assert {len(hands) for hands in drawn} == {1, 2}
    first, second = [hands[0] for hands in drawn], [hands[1] for hands in drawn if len(hands) == 2]
    for side in ("width", "height"):
        values = [getattr(hand, side) for hand in first]
        assert (min(values), max(values)) == (56, 150)
        assert {getattr(hand, side) for hand in second} == {56}
    both = first + second
    angles = [hand.angle for hand in both]
    assert (min(angles), max(angles)) == (-90, 90)
    steps = [step for hand in both for step in hand.shift]
    assert (min(steps), max(steps)) == (-20, 20)
    assert {hand.landmark for hand in both} == set(range(68))
    assert abs(np.corrcoef([hand.width for hand in first], [hand.height for hand in first])[0, 1]) < 0.05


def test_spec_8_paint() -> None:
    """Deterministic, the window's mean colour, nothing changed outside the mask."""
    points = face_points()
    changed = 0
    for number in range(30):
        image = picture(number)
        results = [PublishedHands(7)(image, points, f"face{number}") for _ in range(2)]
        assert results[0] is not None and results[1] is not None
        painted, mask = results[0]
        assert np.array_equal(painted, results[1][0]) and np.array_equal(mask, results[1][1])
        assert set(np.unique(mask)) == {0, 255}
        assert np.array_equal(painted[mask == 0], image[mask == 0])
        other = PublishedHands(8)(image, points, f"face{number}")
        changed += other is None or not np.array_equal(other[0], painted)
    assert changed == 30  # another seed, other hands

    image = picture()
    one = HandPlacement(30, 80, 100, 25, (15, -12))
    painted, hand = paint_hands(image, points, [one], open_hand())
    x, y = (int(value) for value in points[30])
    mean = image[y - 20 : y + 20, x - 20 : x + 20].reshape(-1, 3).mean(axis=0)
    assert hand.any()
    assert np.abs(painted[hand].astype(float) - mean).max() <= 1
    down, across = np.nonzero(hand)
    assert down.min() >= y - 12 - 50 and down.max() < y - 12 + 50
    assert across.min() >= x + 15 - 40 and across.max() < x + 15 + 40
    # A second hand's window sees the first.
    twin = HandPlacement(30, 56, 56, 0, (0, 0))
    after, both = paint_hands(image, points, [one, twin], open_hand())
    seen = painted[y - 20 : y + 20, x - 20 : x + 20].reshape(-1, 3).mean(axis=0)
    only = both & ~hand
    assert np.abs(after[only].astype(float) - seen).max() <= 1 if only.any() else np.abs(mean - seen).max() < 40


def test_the_mask_is_the_turned_silhouette() -> None:
    """Slow twin: which pixels of the rectangle lie, turned back, wholly inside the scaled shape; edges may differ."""
    shape = open_hand()
    image, points = picture(), np.full((68, 2), 112.5)
    one = HandPlacement(0, 120, 90, 40, (0, 0))
    _, mask = paint_hands(image, points, [one], shape)
    turn = np.radians(one.angle)
    inside, edge = np.zeros_like(mask), np.zeros_like(mask)
    for row in range(67, 157):
        for column in range(52, 172):
            dx, dy = column - 52 - 60, row - 67 - 45
            # anticlockwise in the picture, where y runs down
            x = 60 + dx * np.cos(turn) - dy * np.sin(turn)
            y = 45 + dx * np.sin(turn) + dy * np.cos(turn)
            u, v = (x + 0.5) * 150 / 120 - 0.5, (y + 0.5) * 150 / 90 - 0.5
            around = [
                shape[min(max(round(v + b), 0), 149), min(max(round(u + a), 0), 149)]
                for a in (-3, 0, 3)
                for b in (-3, 0, 3)
            ]
            within = 0 <= x <= 119 and 0 <= y <= 89
            inside[row, column] = within and min(around) == 1
            edge[row, column] = within and min(around) == 0 and max(around) == 1
    assert inside.sum() > 1000
    assert (mask[inside]).mean() > 0.98
    assert (mask & ~inside & ~edge).sum() < 60  # the canvas's own rim


@pytest.mark.parametrize("x", [-300.0, -0.5, 0.0, 3.0, 223.4, 224.0, 400.0, np.nan])
@pytest.mark.parametrize("y", [-5.0, 0.0, 110.0, 223.9, 260.0])
def test_spec_8_landmarks_at_borders_never_raise_nor_wrap(x: float, y: float) -> None:
    image = picture()
    points = np.tile([x, y], (68, 1))
    for placement in (
        HandPlacement(0, 56, 150, 0, (20, 20)),
        HandPlacement(5, 150, 56, -90, (-20, -20)),
        HandPlacement(9, 57, 57, 45, (20, -20)),
    ):
        painted, mask = paint_hands(image, points, [placement], np.ones((150, 150), np.float32))
        assert np.array_equal(painted[~mask], image[~mask])
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            assert not mask.any()
            continue
        down, across = np.nonzero(mask)
        column, row = int(x) + placement.shift[0], int(y) + placement.shift[1]
        assert np.abs(across - column).max(initial=0) <= placement.width // 2
        assert np.abs(down - row).max(initial=0) <= placement.height // 2
        window = image[max(int(y) - 20, 0) : int(y) + 20, max(int(x) - 20, 0) : int(x) + 20]
        if mask.any():
            assert np.abs(painted[mask] - window.reshape(-1, 3).mean(axis=0)).max() <= 1


def test_a_hand_over_the_edge_is_cropped_not_moved() -> None:
    """At the left edge the right part of the shape is seen, where the published script moved the whole."""
    half = np.zeros((150, 150), np.float32)
    half[:, 75:] = 1  # the right half is the hand
    points = np.full((68, 2), (5.0, 112.0))
    one = HandPlacement(0, 100, 60, 0, (0, 0))
    _, mask = paint_hands(picture(), points, [one], half)
    columns = np.flatnonzero(mask.any(axis=0))
    assert 4 <= columns.min() <= 7 and columns.max() >= 52
    other = half[:, ::-1].copy()  # the left half: nearly all of it lies outside
    _, mask = paint_hands(picture(), points, [one], other)
    assert np.flatnonzero(mask.any(axis=0)).max() <= 5


def test_our_hand_fills_its_square() -> None:
    shape = open_hand()
    assert shape.shape == (150, 150) and set(np.unique(shape)) == {0, 1}
    assert 0.4 < shape.mean() < 0.55
    assert shape[0].any() and shape[-1].any() and shape[:, 0].any() and shape[:, -1].any()


def test_the_published_silhouette_can_be_read(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "occluders_rgba" / "hand.npy"
    if not path.is_file():
        pytest.skip("the test data has no hand.npy")
    shape = read_silhouette(path)
    assert shape.shape == (150, 150) and shape.mean() == pytest.approx(0.473, abs=0.001)
    write_png(tmp_path / "hand.png", (shape * 255).astype(np.uint8))
    assert np.array_equal(read_silhouette(tmp_path / "hand.png"), shape)


def test_bad_silhouettes_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "zero.npy", np.zeros((9, 9)))
    np.save(tmp_path / "deep.npy", np.ones((9, 9, 9)))
    (tmp_path / "text.png").write_text("no picture")
    for name, message in [
        ("zero.npy", "holds no silhouette"),
        ("deep.npy", r"shape \(h, w\)"),
        ("text.png", "cannot be read as a silhouette"),
        ("none.npy", "cannot read"),
    ]:
        with pytest.raises(InputError, match=rf"{name}.*{message}|{message}.*{name}"):
            read_silhouette(tmp_path / name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(4):
        write_png(tmp_path / "ori_img" / f"f{number}.png", picture(number))
        write_landmarks(tmp_path / "landmarks" / f"f{number}.npy", face_points())
    return tmp_path


def command(data: Path, out: Path, *more: str) -> int:
    flags = ["--landmarks", str(data / "landmarks"), "-o", str(out), *more]
    return main(["prepare", "occlude", str(data / "ori_img"), *flags])


def test_published_hands_by_the_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert command(data, out, "--mode", "published", "--seed", "3") == 0
    for number in range(4):
        covered, mask = (
            read_image(out / "occluded" / f"f{number}.png"),
            read_label_map(out / "masks" / f"f{number}.png"),
        )
        assert np.array_equal(covered[mask == 0], picture(number)[mask == 0])
        assert 0.005 < (mask == 255).mean() < 0.6
    # The same whatever the order and the number of pictures, and after a resumed run.
    one = tmp_path / "one"
    flags = ["--landmarks", str(data / "landmarks"), "--mode", "published", "--seed", "3", "-o", str(one)]
    assert main(["prepare", "occlude", str(data / "ori_img" / "f2.png"), *flags]) == 0
    again = [str(data / "ori_img" / f"f{number}.png") for number in (2, 0)]
    capsys.readouterr()
    assert main(["prepare", "occlude", *again, *flags, "--resume"]) == 0
    assert "2 of 2 succeeded (1 of them by an earlier run)" in capsys.readouterr().out
    for number in (0, 2):
        name = f"occluded/f{number}.png"
        assert (one / name).read_bytes() == (out / name).read_bytes()
    assert main(["prepare", "occlude", *again, *flags, "--seed", "4", "--resume"]) == 1
    assert "other settings (seed)" in capsys.readouterr().err


def test_a_picture_is_not_written_over(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "ori_img").rename(data / "occluded")
    before = {path: path.read_bytes() for path in (data / "occluded").iterdir()}
    flags = ["--landmarks", str(data / "landmarks"), "-o", str(data), "--mode", "published"]
    assert main(["prepare", "occlude", str(data / "occluded"), *flags]) == 1
    assert "would be written over by what is made of it" in capsys.readouterr().err
    assert all(path.read_bytes() == content for path, content in before.items())


def test_what_is_wrong_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(data / "ori_img" / "wide.png", np.zeros((100, 224, 3), np.uint8))
    write_landmarks(data / "landmarks" / "wide.npy", face_points())
    write_png(data / "ori_img" / "bare.png", picture())
    np.save(data / "landmarks" / "f1.npy", np.ones((5, 2)))
    (data / "ori_img" / "broken.png").write_text("no picture")
    write_landmarks(data / "landmarks" / "broken.npy", face_points())
    assert command(data, tmp_path / "out", "--mode", "published") == 1
    said = capsys.readouterr()
    assert "wide.png is 224 x 100 px, not square; align it first" in said.err
    assert "bare.png has no landmarks in" in said.err
    assert "f1.png has 5 landmarks" in said.err
    assert "broken.png" in said.err
    assert "3 of 7 succeeded" in said.out
    assert command(data, tmp_path / "out", "--mode", "published", "--cutouts", "x") == 2
    assert command(data, tmp_path / "out", "--seed", "-1") == 2
    (tmp_path / "empty").mkdir()
    assert command(data, tmp_path / "out", "--cutouts", str(tmp_path / "empty")) == 1
    assert "has no PNG or WebP cut-outs" in capsys.readouterr().err


def test_synthetic_occluders_cover_the_face_and_say_where(tmp_path: Path) -> None:
    """With a cut-out of one colour: covered pixels differ, and no more than shadows fall elsewhere."""
    cutouts = tmp_path / "cutouts"
    disc = np.zeros((64, 64, 4), np.uint8)
    down, across = np.mgrid[:64, :64] - 31.5
    disc[down**2 + across**2 < 900] = (20, 220, 40, 255)
    write_png(cutouts / "disc.png", disc)
    painter, image, points = SyntheticOccluders(5, cutouts=cutouts), picture(), face_points()
    for name in ("a", "b", "c"):
        result = painter(image, points, name)
        assert result is not None
        covered, mask = result
        again = SyntheticOccluders(5, cutouts=cutouts)(image, points, name)
        assert again is not None and np.array_equal(again[0], covered) and np.array_equal(again[1], mask)
        assert covered.shape == image.shape and covered.dtype == np.uint8
        opaque, clear = mask > 250, mask == 0
        assert opaque.mean() > 0.005
        assert np.abs(covered[opaque].astype(int) - image[opaque]).mean() > 5
        assert (covered[clear].astype(int) <= image[clear] + 1).all()  # shadows only darken
    first, other = painter(image, points, "a"), SyntheticOccluders(6, cutouts=cutouts)(image, points, "a")
    assert first is not None and other is not None and not np.array_equal(first[1], other[1])
