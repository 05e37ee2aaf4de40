"""Things before the face: where they land, how much they cover, and that a sample does not depend on its batch."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyface3d.data.synthetic import backgrounds, masks, negatives, occluders
from pyface3d.data.synthetic.anchors import coverage, face_cells, face_frame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.negatives import _face_layout
from pyface3d.data.synthetic.objects import COMPANY_SCALE, objects

SIZE = 96
ROOT = Path(__file__).resolve().parents[3]


def streams(stage: int, first: int, count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([5, index, stage]) for index in range(first, first + count)]


def frontal(count: int, side: float = 60.0) -> Tensor:
    """(count, 68, 2) px of a frontal face in the middle of the crop, each a little different."""
    jitter = torch.randn(count, 1, 2, generator=torch.Generator().manual_seed(2))
    return SIZE / 2 + 2 * jitter + side * _face_layout(torch.device("cpu"))


def turned(count: int) -> Tensor:
    """Faces that look to the left of the picture: the near half of the jaw wide, the nose at the far edge."""
    points = frontal(count)
    offset = points - SIZE / 2
    depth = torch.zeros(68)
    depth[27:36], depth[48:] = 20.0, 12.0
    depth[:17] = -25 * torch.linspace(-1, 1, 17).abs() ** 2
    angle = 0.7
    x = np.cos(angle) * offset[..., 0] - np.sin(angle) * depth
    return torch.stack([SIZE / 2 + x, points[..., 1]], -1)


def small_assets() -> dict[str, Tensor]:
    """Packed content in its real shapes, made up: noise panoramas, a disc as thing and hand, two plain masks."""
    generator = torch.Generator().manual_seed(3)
    at = torch.linspace(-1, 1, 32)
    disc = ((at.square() + at[:, None].square()) < 0.8) * 255
    sprite = torch.cat([torch.full((32, 32, 3), 128), disc[..., None]], -1).to(torch.uint8)
    controls = masks.mask_templates({}, torch.device("cpu")).controls
    return {
        "backgrounds.panoramas": torch.randint(0, 256, (2, 32, 64, 3), generator=generator, dtype=torch.uint8),
        "occluders.objects": sprite.expand(3, -1, -1, -1),
        "occluders.faces": torch.tensor(1),
        "occluders.hands": sprite.expand(2, -1, -1, -1),
        "occluders.hand_anchors": torch.tensor([[[0.0, -0.8], [0.0, -0.2], [0.0, 0.2]]]).expand(2, -1, -1),
        "occluders.masks": sprite.expand(2, -1, -1, -1),
        "occluders.mask_controls": controls.expand(2, -1, -1),
        "occluders.mask_reach": torch.tensor([0.95, 0.9]),
        "occluders.mask_side": torch.tensor([False, True]),
        "occluders.mask_turns": torch.tensor([[0.0, 0.2], [0.12, 1.0]]),
    }


ASSETS = [pytest.param({}, id="procedural"), pytest.param(small_assets(), id="packed")]


def skin(count: int) -> Tensor:
    return torch.tensor([0.5, 0.3, 0.2]).expand(count, -1)


@pytest.mark.parametrize("assets", ASSETS)
def test_occluders_depend_on_their_own_stream_only(assets: Mapping[str, Tensor]):
    points, tone = frontal(40), skin(40)
    together = occluders.draw_occluders(assets, streams(occluders.STAGE, 0, 40), points, tone, SIZE)
    parts = [
        occluders.draw_occluders(assets, streams(occluders.STAGE, i, n), points[i : i + n], tone[i : i + n], SIZE)
        for i, n in ((0, 1), (1, 25), (26, 14))
    ]
    for name in ("color", "cover", "shadow"):
        split = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(getattr(together, name), split, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("assets", ASSETS)
def test_coverage_statistics(assets: Mapping[str, Tensor]):
    count = 400
    points = frontal(count)
    drawn = occluders.draw_occluders(assets, streams(occluders.STAGE, 0, count), points, skin(count), SIZE)
    assert drawn.cover.min() >= 0 and drawn.cover.max() <= 1 + 1e-5
    assert drawn.color.isfinite().all() and drawn.color.min() >= 0
    share = coverage(face_cells(points, SIZE), drawn.cover)
    assert share.max() <= 0.8 + 1e-5
    untouched = (drawn.cover.amax((1, 2)) == 0).float().mean()
    assert 0.28 < untouched < 0.47  # 0.35 are meant to be free; on some, the thing misses the picture or is too large
    assert 0.15 < (share > 0.25).float().mean() < 0.6
    assert (share > 0.5).any()


def test_a_free_face_is_left_as_it_is_and_a_covered_one_is_replaced():
    drawn = occluders.draw_occluders({}, streams(occluders.STAGE, 0, 60), frontal(60), skin(60), SIZE)
    image = torch.full((60, SIZE, SIZE, 3), 0.4)
    over = drawn.over(image)
    free = drawn.cover.amax((1, 2)) == 0
    torch.testing.assert_close(over[free], image[free])
    solid = drawn.cover > 0.999
    torch.testing.assert_close(over[solid], drawn.color[solid], rtol=2e-3, atol=2e-3)
    assert (over[drawn.cover == 0] <= 0.4 + 1e-6).all(), "beside an occluder there is shadow, never light"


@pytest.mark.parametrize("points", [frontal(20), turned(20)], ids=["frontal", "turned"])
def test_a_mask_covers_nose_tip_mouth_and_chin_but_not_the_eyes(points: Tensor):
    templates = masks.mask_templates({}, torch.device("cpu"))
    index = torch.zeros(20, dtype=torch.long)
    targets = masks.control_targets(points, templates.reach[index], templates.side[index])
    layer = masks.warp(templates.pictures[index], templates.controls[index], templates.known[index], targets, SIZE)
    rows = torch.arange(20)[:, None]

    def cover_at(landmarks: list[int]) -> Tensor:
        at = points[:, landmarks].long().clamp(0, SIZE - 1)
        return layer[rows, 3, at[..., 1], at[..., 0]]

    assert (cover_at([30, 33, 51, 57, 62, 66]) > 0.9).all()
    assert (cover_at([36, 37, 39, 42, 44, 45, 19, 24]) < 0.1).all()


def test_the_spline_brings_controls_to_their_targets():
    generator = torch.Generator().manual_seed(4)
    controls = torch.rand(3, 8, 2, generator=generator) * 1.4 - 0.7
    targets = (controls * torch.tensor([0.6, 0.8]) + 0.1 * torch.rand(3, 8, 2, generator=generator) + 1) * SIZE / 2
    ramp = (torch.arange(64) + 0.5) / 32 - 1
    picture = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64)] * 2).expand(3, -1, -1, -1)
    layer = masks.warp(picture, controls, torch.ones(3, 8, dtype=torch.bool), targets, SIZE)
    grid = (targets / SIZE * 2 - 1)[:, :, None]
    found = torch.nn.functional.grid_sample(layer, grid, align_corners=False)[:, :2, :, 0].mT
    # The spline smooths a little, and is evaluated on a grid of 3 px; the picture shows -1 … 1 over 96 px.
    torch.testing.assert_close(found, controls, rtol=0, atol=0.04)


def test_mirroring_the_points_twice_gives_them_back_and_swaps_sides():
    points = turned(1)
    flipped = masks.mirror(points, SIZE)
    torch.testing.assert_close(masks.mirror(flipped, SIZE), points)
    torch.testing.assert_close(flipped[0, 16], torch.tensor([SIZE - points[0, 0, 0], points[0, 0, 1]]))
    torch.testing.assert_close(face_frame(flipped).turn, -face_frame(points).turn)
    assert (flipped[0, 36:42, 0].mean() < flipped[0, 42:48, 0].mean()) == (points[0, 36, 0] < points[0, 45, 0])


def test_a_turned_head_has_a_turn_and_its_frame_is_upright():
    frame = face_frame(torch.cat([frontal(1), turned(1)]))
    assert frame.turn[0].abs() < 0.02
    assert frame.turn[1] < -0.12
    torch.testing.assert_close(frame.down, torch.tensor([[0.0, 1.0]]).expand(2, -1), atol=0.15, rtol=0)
    torch.testing.assert_close((frame.right * frame.down).sum(1), torch.zeros(2))


def test_face_cells_hold_the_face():
    cells = face_cells(frontal(1), SIZE)[0]
    assert cells[16, 16] == 1 and cells[0, 0] == 0 and cells[31, 31] == 0
    full = torch.ones(1, SIZE, SIZE)
    assert coverage(cells[None], full) == 1 and coverage(cells[None], 0 * full) == 0
    half = full.clone()
    half[:, :, : SIZE // 2] = 0
    assert 0.35 < coverage(cells[None], half) < 0.65


def test_the_standard_occluder_of_the_evaluation_is_an_ordinary_draw():
    """There it is a cut-out half the face's width about a landmark; here things scatter widely around that."""
    points = frontal(400)
    frame = face_frame(points)
    layer = objects(small_assets(), Draws(streams(1, 0, 400), "cpu"), frame, SIZE)
    cover = layer[:, 3]
    whole = (cover[:, [0, -1]].amax((1, 2)) == 0) & (cover[:, :, [0, -1]].amax((1, 2)) == 0) & (cover.sum((1, 2)) > 0)
    # The disc of the made-up cut-out has a radius of 0.89 of half its side.
    width = 2 * (cover.sum((1, 2)) / torch.pi).sqrt() / 0.89 / frame.width
    at = torch.arange(SIZE) + 0.5
    middle = torch.stack([(cover.sum(1) * at).sum(1), (cover.sum(2) * at).sum(1)], 1) / cover.sum((1, 2))[:, None]
    nearest = torch.cdist(middle[whole][:, None], points[whole]).amin((1, 2)) / frame.width[whole]
    assert nearest.median() < 0.12
    assert (width[whole] < 0.4).float().mean() > 0.2
    assert (width[whole] > 0.6).float().mean() > 0.1
    assert ((width[whole] > 0.4) & (width[whole] < 0.6)).float().mean() > 0.15


@pytest.mark.parametrize("assets", ASSETS)
def test_backgrounds_depend_on_their_own_stream_only_and_vary(assets: Mapping[str, Tensor]):
    together = backgrounds.draw_backgrounds(assets, streams(backgrounds.STAGE, 0, 30), SIZE)
    split = [backgrounds.draw_backgrounds(assets, streams(backgrounds.STAGE, i, n), SIZE) for i, n in ((0, 7), (7, 23))]
    torch.testing.assert_close(together, torch.cat(split), rtol=1e-4, atol=1e-4)
    assert together.shape == (30, SIZE, SIZE, 3) and together.isfinite().all() and together.min() >= 0
    means = together.mean((1, 2, 3))
    assert means.std() > 0.1
    texture = (together[:, 1:] - together[:, :-1]).abs().mean((1, 2, 3))
    assert (texture < 0.002).any() and (texture > 0.01).any()


def test_people_may_stand_behind():
    bright = torch.cat([torch.full((2, 3, 16, 16), 1e4), torch.ones(2, 1, 16, 16)], 1)
    drawn = backgrounds.draw_backgrounds({}, streams(backgrounds.STAGE, 0, 100), SIZE, pool=bright)
    assert 0.1 < (drawn.amax((1, 2, 3)) > 100).float().mean() < 0.4


@pytest.mark.parametrize("assets", ASSETS)
def test_negatives_depend_on_their_own_stream_only(assets: Mapping[str, Tensor]):
    pool = torch.ones(2, 4, 48, 48)
    together = negatives.draw_negatives(assets, streams(negatives.STAGE, 0, 20), 64, pool=pool)
    split = [negatives.draw_negatives(assets, streams(negatives.STAGE, i, 10), 64, pool=pool) for i in (0, 10)]
    torch.testing.assert_close(together, torch.cat(split), rtol=1e-4, atol=1e-4)
    assert together.shape == (20, 3, 64, 64) and together.isfinite().all() and together.min() >= 0


def test_a_person_in_a_negative_is_tiny_or_mostly_outside():
    at = torch.linspace(-1, 1, 48)
    face = ((at.square() + at[:, None].square()).sqrt() < 1 / 1.5 / COMPANY_SCALE).float()
    pool = torch.stack([50 * face, 0 * face, 0 * face, face])[None]
    drawn = negatives.draw_negatives({}, streams(negatives.STAGE, 0, 150), 64, pool=pool)
    red = (drawn[:, 0] - drawn[:, 1] > 20).float()
    share = red.mean((1, 2))
    assert 0.1 < (share > 0).float().mean() < 0.4
    middle = red[:, 20:44, 20:44].mean((1, 2))
    assert (share[middle > 0.02] < 0.02).all(), "a face in the middle is tiny"
    assert (share > 0.03).any(), "one at the edge is not"


_BARE = """
import sys
for name in ("scipy", "cv2", "PIL", "safetensors"):
    sys.modules[name] = None
import numpy as np, torch
from pyface3d.data.synthetic import backgrounds, cameras, negatives, occluders
def streams(stage):
    return [np.random.default_rng([1, index, stage]) for index in range(8)]
scene = backgrounds.draw_backgrounds({}, streams(backgrounds.STAGE), 64)
points = 32 + 16 * negatives._face_layout(torch.device("cpu")).expand(8, -1, -1)
scene = occluders.draw_occluders({}, streams(occluders.STAGE), points, torch.full((8, 3), 0.3), 64).over(scene)
photos = cameras.photograph(streams(cameras.STAGE), scene.permute(0, 3, 1, 2))
assert photos.shape == (8, 3, 64, 64) and photos.std() > 0.01
"""


def test_torch_and_numpy_are_enough():
    run = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr


def test_no_samples():
    empty = occluders.draw_occluders({}, [], torch.zeros(0, 68, 2), torch.zeros(0, 3), SIZE)
    assert empty.cover.shape == (0, SIZE, SIZE) and empty.color.shape == (0, SIZE, SIZE, 3)
    assert backgrounds.draw_backgrounds({}, [], SIZE).shape == (0, SIZE, SIZE, 3)
    assert negatives.draw_negatives({}, [], 64).shape == (0, 3, 64, 64)


def test_packed_masks_and_cut_outs(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from synthetic_assets import masks as packer
    from synthetic_assets.occluders import cutout

    packed = packer.pack(shared_data)
    count, number = packed["occluders.mask_controls"].shape[:2]
    assert packed["occluders.masks"].shape == (count, packer.SIDE, packer.SIDE, 4) and number == len(masks.CONTROLS)
    known = ~np.isnan(packed["occluders.mask_controls"]).any(2)
    for picture, controls, shown in zip(
        packed["occluders.masks"], packed["occluders.mask_controls"], known, strict=True
    ):
        middle = controls[[masks.CONTROLS.index("tip"), masks.CONTROLS.index("mouth")]].mean(0)
        column, row = ((middle + 1) / 2 * packer.SIDE).astype(int)
        assert picture[row, column, 3] > 200, "between nose and mouth there is cloth"
        assert (np.abs(controls[shown]) <= 1).all()
    square = cutout(next((shared_data / "occluders_rgba" / "fluent_emoji_3d").glob("*.webp")))
    assert square.shape == (128, 128, 4) and max(np.ptp(np.nonzero(square[..., 3] > 30)[axis]) for axis in (0, 1)) > 115
    sys.modules.pop("synthetic_assets", None)
