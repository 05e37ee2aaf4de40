"""The relief network of Extreme 3D Faces: its targets and losses by hand, its judge, learning, resuming, its file."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from pyface3d.convert.checkpoints import load_network
from pyface3d.errors import AssetError, InputError
from pyface3d.geometry.bump_maps import relief_from_output
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.extreme3d.bump import BumpPair, BumpTask, _judged, bump_figures, in_map, reliefs
from pyface3d.train.extreme3d.bump_samples import BumpSamples
from pyface3d.train.extreme3d.config import PUBLISHED, BumpConfig
from pyface3d.train.extreme3d.export import write_network
from pyface3d.train.extreme3d.run import BUMP, start_weights
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.schedule import make_optimizer, rate_factor

SIZE = 52
SMALL = BumpConfig(steps=6, batch=4, size=SIZE, channels=4, reuse=2, pool=3, warm_up=2, ema=0.9)


class Discs:
    """Grey discs as faces, raised where they are red, before black."""

    def batch(self, start, count):
        images, maps, faces = zip(*(self._one(np.random.default_rng([5, i])) for i in range(start, start + count)))
        return BumpSamples(torch.stack(images), torch.stack(maps).half(), torch.stack(faces))

    def _one(self, rng):
        axis = torch.arange(SIZE) + 0.5
        x, y, radius = rng.uniform((20, 20, 14), (32, 32, 20))
        face = (axis[None] - x) ** 2 + (axis[:, None] - y) ** 2 < radius**2
        raised = face & ((axis[None] - x - 4) ** 2 + (axis[:, None] - y) ** 2 < 9**2)
        image = (torch.stack([face, face & ~raised, face & ~raised]) * 200).byte()
        return image, 4.0 * raised, face


def render(sampler, start, count):
    return sampler.batch(start, count)


class DiscTask(BumpTask):
    render = staticmethod(render)


def make_trainer(config=SMALL):
    torch.manual_seed(config.seed)
    return Trainer(BumpPair(config), DiscTask(config, Discs().batch(1000, 4)), "cpu")


def run(folder, config=SMALL, **pace):
    trainer = make_trainer(config)
    if (folder / CHECKPOINT).exists():
        trainer.load(read_checkpoint(folder / CHECKPOINT))
    run_training(trainer, Discs, folder, pace=Pace(**pace))
    return trainer


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Answer(nn.Module):
    """Says the same of every crop."""

    def __init__(self, mask, bump):
        super().__init__()
        self.maps = mask, bump

    def forward(self, image):
        return tuple(torch.full((len(image), 1, SIZE + 12, SIZE + 12), value) for value in self.maps)


def flat_samples(height_mm=1.25):
    """One crop whose left half is face, as high as said everywhere on it."""
    face = (torch.arange(SIZE) < SIZE // 2).expand(1, SIZE, SIZE)
    return BumpSamples(torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8), (height_mm * face).half(), face)


def losses(config, answer):
    return {
        name: float(value)
        for name, value in BumpTask(config, flat_samples())
        .loss_parts(answer, flat_samples(), np.random.default_rng(0), 0)
        .items()
    }


def test_losses_of_the_published_recipe_by_hand():
    """[L1 + gradient] of the relief and a tenth of the mask's, means over the whole map. 12 levels a millimetre."""
    config = BumpConfig(**{**asdict(SMALL), **PUBLISHED[BumpConfig]})
    side, face = SIZE + 12, SIZE * SIZE / 2
    zero, high = 127 / 127.5 - 1, (127 + 12 * 1.25) / 127.5 - 1
    found = losses(config, Answer(0.25, zero))
    jump = high - zero
    edges = (
        SIZE * 2 / (side * (side - 1)),
        SIZE / side / (side - 1) * 1.0,
    )  # across: two edges a row; down: half as wide
    assert found["bump"] == pytest.approx(jump * face / side**2, rel=1e-4)
    assert found["bump_slope"] == pytest.approx(jump * (edges[0] + edges[1]), rel=1e-4)
    assert found["mask"] == pytest.approx(0.1 * (0.75 * face + 0.25 * (side**2 - face)) / side**2, rel=1e-4)
    assert found["mask_slope"] == pytest.approx(0.1 * (edges[0] + edges[1]), rel=1e-4)
    assert set(found) == {"bump", "bump_slope", "mask", "mask_slope"}


def test_our_recipe_counts_the_face():
    """Weighted means over the face, a tenth of it elsewhere, rounded off below half a millimetre, of the answers no
    relief, and a level lower everywhere."""
    zero, level = 127 / 127.5 - 1, 1 / 127.5
    config = BumpConfig(**{**asdict(SMALL), "normals": 2.0})
    flat, off = losses(config, Answer(0.0, zero)), losses(config, Answer(0.0, zero - level))
    side, face = SIZE + 12, SIZE * SIZE / 2
    share = face / (face + 0.1 * (side**2 - face))
    jump, softness = 12 / 127.5, 0.5 * 12 / 1.25 / 127.5  # 1.25 mm with the gain of 1.25

    def soft(difference):
        return (difference**2 + softness**2) ** 0.5 - softness

    assert flat["bump"] == pytest.approx(30 * share * soft(jump), rel=1e-3)
    assert off["bump"] == pytest.approx(30 * (share * soft(jump + level) + (1 - share) * soft(level)), rel=1e-3)
    assert flat["normals"] == pytest.approx(off["normals"], rel=1e-4)


def test_targets_lie_six_pixels_from_the_crop():
    relief = torch.zeros(1, SIZE, SIZE)
    relief[0, 3, 7] = 1.0
    assert float(in_map(relief)[0, 9, 13]) == 1.0
    border = in_map(relief, SMALL)[0, 0, 0]
    assert float(relief_from_output(border, SMALL.gain)) == pytest.approx(0.0, abs=1e-5)


def test_judge_and_network_teach_only_their_own():
    torch.manual_seed(0)
    pair = BumpPair(BumpConfig(adversarial=0.01, channels=1))
    bump, truth = (torch.tanh(torch.randn(2, 1, 512, 512)) for _ in range(2))
    bump.requires_grad_()
    parts = _judged(pair.Dnet, bump, truth, 0.01)
    (to_bump,) = torch.autograd.grad(parts["adversarial"], bump, retain_graph=True)
    assert float(to_bump.abs().max()) > 0
    weights = list(pair.Dnet.parameters())
    assert torch.autograd.grad(parts["adversarial"], weights, allow_unused=True, retain_graph=True) == (None,) * 30
    assert all(value is not None for value in torch.autograd.grad(parts["judge"], weights, retain_graph=True))
    assert torch.autograd.grad(parts["judge"], bump, allow_unused=True) == (None,)
    # Log-odds of 0 are an even chance; untrained verdicts are near it, and statistics were taken once.
    assert float(parts["judge"].detach()) == pytest.approx(np.log(2), abs=0.2)
    assert int(pair.Dnet.bn1.num_batches_tracked) == 1
    assert {key.partition(".")[0] for key in pair.state_dict()} == {"Gnet", "Dnet"}


def test_learns_relief_and_mask_by_heart():
    config = BumpConfig(steps=55, batch=4, size=SIZE, channels=8, relief=1.0, warm_up=10, ema=0.9, learning_rate=1e-3)
    trainer, samples = make_trainer(config), Discs().batch(0, 4)
    before = bump_figures(*reliefs(trainer.averaged_copy(), samples.image, config), samples)
    totals = [trainer.train_step(samples)["total"] for _ in range(config.steps)]
    after = bump_figures(*reliefs(trainer.averaged_copy(), samples.image, config), samples)
    assert np.mean(totals[-10:]) < 0.7 * np.mean(totals[:3])
    assert after["mask_iou"] > 0.8 > before["mask_iou"]
    assert after["mae"] < 0.5 * after["flat_mae"] and after["likeness"] > 0.2


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole")
    for step in range(1, 4):
        assert run(tmp_path / "parts", limit_s=0.0).step == step
    resumed = run(tmp_path / "parts")
    assert whole.step == resumed.step == SMALL.steps
    pairs = zip(whole.state()["averaged"].values(), resumed.state()["averaged"].values())
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (tmp_path / "whole" / "metrics.csv").read_text().count("synthetic/normals") == 1


def test_a_batch_in_parts_teaches_what_the_whole_does(monkeypatch):
    """Means over whole maps are means of the parts' means; with SGD the weights are then the same."""
    values = {**asdict(SMALL), **PUBLISHED[BumpConfig], "learning_rate": 1e-2}
    monkeypatch.setattr("pyface3d.train.extreme3d.bump.recolour", lambda image, rng: image)
    monkeypatch.setattr("pyface3d.train.extreme3d.bump.mirrored", lambda values, flip: values)
    samples, weights = Discs().batch(0, 4), []
    for accumulate in (1, 2, 4):
        trainer = make_trainer(BumpConfig(**{**values, "accumulate": accumulate}))
        trainer.train_step(samples)
        weights.append(torch.cat([value.flatten() for value in trainer.network.parameters()]).detach())
    start = torch.cat([value.flatten() for value in make_trainer(BumpConfig(**values)).network.parameters()]).detach()
    step = (weights[0] - start).norm()
    assert float(step) > 0
    assert all(float((other - weights[0]).norm()) < 1e-3 * float(step) for other in weights[1:])


def test_half_precision_leaves_weights_whole():
    trainer = make_trainer(BumpConfig(**{**asdict(SMALL), "precision": "bfloat16"}))
    values = trainer.train_step(Discs().batch(0, 4))
    assert np.isfinite(values["total"])
    assert {value.dtype for value in trainer.network.state_dict().values()} == {torch.float32}


def test_published_schedule():
    config = BumpConfig(**{"steps": 1500, **PUBLISHED[BumpConfig]})
    rates = [rate_factor(10 * epoch, config) for epoch in (0, 14, 15, 39, 40, 141)]
    assert rates == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.5**7])
    optimizer = make_optimizer(BumpPair(BumpConfig(channels=1)), config)
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.param_groups[0]["momentum"] == 0.0


def test_the_file_of_a_run_is_read_as_a_converted_one(tmp_path):
    trainer = run(tmp_path / "run", BumpConfig(**{**asdict(SMALL), "steps": 2}))
    weights = averaged_weights(read_checkpoint(tmp_path / "run" / CHECKPOINT))
    generator = {key.removeprefix("Gnet."): value for key, value in weights.items()}
    asset = write_network(tmp_path / "w", BUMP, generator, {"channels": 4}, "discs", {})
    network = load_network(asset.path, BUMP)
    image = 2 * torch.rand(1, 3, SIZE, SIZE) - 1
    with torch.no_grad():
        for found, expected in zip(network(image), trainer.averaged_copy().Gnet(image), strict=True):
            torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)
    card = json.loads((tmp_path / "w" / f"{BUMP}.card.json").read_text())
    assert card["details"]["sizes"] == {"channels": 4} and "not the published weights" in card["description"]

    for path, prefix in ((asset.path, ""), (tmp_path / "run" / CHECKPOINT, "Gnet.")):
        start = start_weights(path, BUMP, prefix)
        torch.testing.assert_close(
            start["conv_block1_4.conv.weight"], generator["conv_block1_4.conv.weight"], atol=1e-3, rtol=1e-3
        )
    for sizes in ("x", {"channels": "4"}, {"channels": 10**9}, {"channels": [[4]]}):
        card["details"]["sizes"] = sizes
        (tmp_path / "w" / f"{BUMP}.card.json").write_text(json.dumps(card))
        with pytest.raises(AssetError, match="sizes that no network has"):
            load_network(asset.path, BUMP)


def test_configurations_that_make_no_sense_are_refused():
    for values, message in (
        ({"size": 256}, "say 244"),
        ({"channels": 0}, "channels"),
        ({"adversarial": 0.1, "size": 52}, "512 x 512"),
        ({"mask": -1.0}, "mask must not be negative"),
        ({"batch": 4, "accumulate": 3}, "divide the batch"),
        ({"optimizer": "adam"}, "'adamw' or 'sgd'"),
    ):
        with pytest.raises(InputError, match=message):
            BumpConfig(**values)
