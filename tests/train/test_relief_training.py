"""The relief network learns bumps from their shading, is not misled by paint, and resumes to the bit."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pyface3d.data.synthetic.engine import SyntheticFaces
from pyface3d.networks.relief import ReliefNet
from pyface3d.train.checkpoints import read_checkpoint
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.pictures import clay, mirrored
from pyface3d.train.relief.config import ReliefConfig, ReliefWeights
from pyface3d.train.relief.samples import ReliefSamples, render_relief
from pyface3d.train.relief.task import ReliefTask, pixel_weights, reliefs, sample_measures

SMALL = ReliefConfig(steps=8, batch=4, size=32, reuse=2, pool=3, warm_up=2)


class Bumps:
    """Planes with Gaussian pits, lit from above, and on them paint that has nothing to do with their relief."""

    def batch(self, start, count):
        images, maps = zip(*(self._one(np.random.default_rng([5, index])) for index in range(start, start + count)))
        relief = torch.stack(maps)
        return ReliefSamples(torch.stack(images), relief.half(), torch.ones(relief.shape, dtype=torch.bool))

    def _one(self, rng):
        axis = torch.arange(32) + 0.5
        relief, paint = torch.zeros(32, 32), torch.ones(32, 32)
        for field, depth in ((relief, -0.8), (paint, -0.5)):
            for x, y, width in rng.uniform((4, 4, 1.5), (28, 28, 3), (3, 3)):
                field += depth * torch.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * width**2)).float()
        down = functional.pad(relief[1:] - relief[:-1], (0, 0, 0, 1))
        light = 0.5 * paint.clamp(0.1, 1) * (1 + down).clamp(0, 2)
        return (light.clamp(0, 1) * 255).byte().expand(3, -1, -1), relief


def render(sampler, start, count):
    return sampler.batch(start, count)


class BumpTask(ReliefTask):
    render = staticmethod(render)


def make_trainer(config=SMALL):
    torch.manual_seed(config.seed)
    return Trainer(ReliefNet((8, 12, 16, 16)), BumpTask(config, Bumps().batch(1000, 8)), "cpu")


def run(folder, **pace):
    trainer = make_trainer()
    if (folder / CHECKPOINT).exists():
        trainer.load(read_checkpoint(folder / CHECKPOINT))
    run_training(trainer, Bumps, folder, pace=Pace(**pace))
    return trainer


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_learns_relief_and_not_paint():
    config = ReliefConfig(steps=220, batch=16, size=32, reuse=1, pool=4, warm_up=10, ema=0.95, learning_rate=5e-3)
    trainer = make_trainer(config)
    for step in range(config.steps):
        trainer.train_step(Bumps().batch(16 * step, 16))
    truth = Bumps().batch(5000, 24)
    figures = sample_measures(reliefs(trainer.averaged_copy(), truth.image), truth)
    assert figures["likeness"] > 0.7 and figures["gain"] > 0.4
    assert figures["deep_error"] < 0.7 * figures["deep"]


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole")
    for step in range(1, 5):
        assert run(tmp_path / "parts", limit_s=0.0).step == step
    resumed = run(tmp_path / "parts")
    assert whole.step == resumed.step == SMALL.steps
    pairs = zip(whole.state()["averaged"].values(), resumed.state()["averaged"].values())
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (tmp_path / "whole" / "metrics.csv").read_text().count("synthetic/flat_rms") == 1


def test_weights_of_pixels_by_hand():
    weights = ReliefWeights(seen=1.0, unseen=0.2, emphasis=2.0, deep_mm=0.4)
    truth = torch.tensor([[[0.0, 0.2, -0.8, 0.8]]])
    seen = torch.tensor([[[True, True, True, False]]])
    assert pixel_weights(truth, seen, weights).flatten().tolist() == pytest.approx([1.0, 2.0, 3.0, 0.2])


def test_occluders_leave_the_relief_and_hide_the_skin():
    """The same people with and without occluders: the same relief, and where skin is lost something lies over it."""
    free, covered = (
        render_relief(SyntheticFaces(None, 64, 3, shots=2, empty=0.0, company=False, occluders=on), 60, 8)
        for on in (False, True)
    )
    torch.testing.assert_close(free.relief, covered.relief)
    assert not bool((covered.seen & ~free.seen).any())
    hidden = free.seen & ~covered.seen
    changed = (free.image.int() - covered.image.int()).abs().amax(1)
    assert float(changed[hidden].float().mean()) > 3 * float(changed[covered.seen].float().mean())
    assert float(free.relief[free.seen].abs().max()) > 0.05


def test_relief_goes_with_the_picture_of_a_later_shot():
    """Shot 1 of a person shows the shot 0 turned and scaled: its relief is as deep, elsewhere, and lies on its skin."""
    faces = SyntheticFaces(None, 64, 3, shots=2, empty=0.0, company=False, occluders=False)
    first, later = render_relief(faces, 0, 12), render_relief(faces, 64, 12)
    deep = first.relief.float().abs().amax((1, 2))
    wrinkled = deep > 0.2
    assert int(wrinkled.sum()) >= 3
    ratio = later.relief.float().abs().amax((1, 2))[wrinkled] / deep[wrinkled]
    assert float((ratio - 1).abs().median()) < 0.25
    assert float((first.relief - later.relief).float().abs().max()) > 0.1
    off = later.relief.float().abs() * ~later.seen
    assert float(off.sum() / later.relief.float().abs().sum()) < 0.25  # the neck's, and pixels at the skin's edge


def test_mirroring_keeps_heights():
    values = torch.arange(8.0).reshape(2, 2, 2)
    found = mirrored(values, torch.tensor([True, False]))
    assert found[0].tolist() == [[1, 0], [3, 2]] and torch.equal(found[1], values[1])


def test_clay_of_a_plane_is_even_and_a_slope_is_brighter_towards_the_light():
    plane = clay(torch.zeros(1, 8, 8), 1.0)
    assert plane.shape == (1, 3, 8, 8) and int(plane.max()) == int(plane.min())
    rising = torch.arange(8.0).expand(1, 8, 8) * 0.2  # its normal leans to the left, where the light is
    assert int(clay(rising, 1.0)[0, 0, 4, 4]) > int(plane[0, 0, 4, 4]) > int(clay(-rising, 1.0)[0, 0, 4, 4])


def test_configuration_survives_a_checkpoint():
    config = ReliefConfig(weights=ReliefWeights(slope=2.5))
    from dataclasses import asdict

    assert ReliefConfig.of_mapping(asdict(config)) == config
