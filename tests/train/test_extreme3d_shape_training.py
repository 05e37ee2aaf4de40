"""The shape network of Extreme 3D Faces: learning, resuming, its file, and photos of a face model's own faces."""

import numpy as np
import pytest
import torch
from synthetic_basel import basel_arrays, write_trimmed

from pyface3d.convert.checkpoints import load_network
from pyface3d.errors import InputError
from pyface3d.networks.extreme3d import ShapeRegressor
from pyface3d.train.checkpoints import averaged_weights, read_checkpoint
from pyface3d.train.extreme3d.config import PUBLISHED, ShapeConfig
from pyface3d.train.extreme3d.export import write_network
from pyface3d.train.extreme3d.model_faces import ModelSource, render_models
from pyface3d.train.extreme3d.run import SHAPE
from pyface3d.train.extreme3d.shape import (
    ShapeSamples,
    ShapeTask,
    as_input,
    coefficients,
    shape_figures,
    start_network,
)
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training

SIZES = {"shapes": 2, "textures": 1, "depths": [1, 1, 1, 1]}
SMALL = ShapeConfig(steps=4, batch=4, reuse=2, pool=3, warm_up=2, ema=0.9)


class Colours:
    """Even colours: red and green say the shape, blue the texture; every fourth is not to be learnt."""

    def batch(self, start, count):
        values = np.stack(
            [np.random.default_rng([7, index]).uniform(-2, 2, 3) for index in range(start, start + count)]
        )
        coefficients = torch.from_numpy(values).float()
        image = (127 + 40 * coefficients)[:, :, None, None].expand(-1, -1, 224, 224).byte()
        return ShapeSamples(image, coefficients, torch.arange(start, start + count) % 4 != 3)


def render(sampler, start, count):
    return sampler.batch(start, count)


def make_trainer(config=SMALL):
    torch.manual_seed(config.seed)
    network, samples = ShapeRegressor(**SIZES), Colours().batch(1000, 4)
    start_network(network, samples)
    return Trainer(network, ShapeTask(config, render, samples), "cpu")


def run(folder, **pace):
    trainer = make_trainer()
    if (folder / CHECKPOINT).exists():
        trainer.load(read_checkpoint(folder / CHECKPOINT))
    run_training(trainer, Colours, folder, pace=Pace(**pace))
    return trainer


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_mean_picture_is_the_mean_colour():
    network, samples = ShapeRegressor(**SIZES), Colours().batch(0, 5)
    start_network(network, samples)
    expected = samples.image.float().mean((0, 2, 3)).flip(0)  # blue first
    torch.testing.assert_close(network.mean[:, 5, 9], expected)
    torch.testing.assert_close(as_input(samples.image[:1] / 255)[0, :, 0, 0], samples.image[0, :, 0, 0].float().flip(0))


def test_losses_are_of_known_samples_and_apart():
    """A network that answers nothing: under-estimated throughout, three times the mean square of those known."""

    class Silent(ShapeRegressor):
        def forward(self, image):
            return torch.zeros(len(image), 3)

    samples = Colours().batch(0, 8)
    parts = ShapeTask(SMALL, render, samples).loss_parts(Silent(**SIZES), samples, np.random.default_rng(0), 0)
    square = samples.coefficients[samples.known].square()
    assert float(parts["shape"]) == pytest.approx(3 * float(square[:, :2].mean()), rel=1e-5)
    assert float(parts["texture"]) == pytest.approx(3 * float(square[:, 2:].mean()), rel=1e-5)


def test_figures_by_hand():
    truth = ShapeSamples(
        torch.zeros(2, 3, 1, 1), torch.tensor([[3.0, 4.0, 1.0], [9.0, 9.0, 9.0]]), torch.tensor([True, False])
    )
    figures = shape_figures(torch.tensor([[3.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), truth, 2)
    expected = {"shape": 8**0.5, "mean_face": 12.5**0.5, "length": 3 / 5}
    expected |= {"texture": 0.0, "texture_mean_face": 1.0, "texture_length": 1.0}
    assert figures == pytest.approx(expected)


def test_an_interrupted_run_ends_with_the_same_bits_and_its_file_is_read(tmp_path):
    whole = run(tmp_path / "whole")
    assert run(tmp_path / "parts", limit_s=0.0).step == 1
    resumed = run(tmp_path / "parts")
    assert whole.step == resumed.step == SMALL.steps
    pairs = zip(whole.state()["averaged"].values(), resumed.state()["averaged"].values())
    assert all(torch.equal(a, b) for a, b in pairs)

    weights = averaged_weights(read_checkpoint(tmp_path / "whole" / CHECKPOINT))
    network = load_network(write_network(tmp_path / "w", SHAPE, weights, SIZES, "colours", {}).path)
    assert (network.shapes, network.textures) == (2, 1)
    torch.testing.assert_close(network.mean, weights["mean"])  # colours to 255 are not rounded
    image = Colours().batch(0, 2).image
    expected = coefficients(whole.averaged_copy(), image)
    torch.testing.assert_close(coefficients(network, image), expected, atol=2e-3, rtol=2e-3)


@pytest.fixture(scope="module")
def basel(tmp_path_factory):
    return write_trimmed(tmp_path_factory.mktemp("basel") / "BaselFaceModel_mod.h5", basel_arrays())


def test_faces_of_a_model_come_with_its_own_coefficients(basel):
    """The same samples in any batch; the crop is that of Extreme 3D Faces; colours follow the texture coefficients."""
    source = ModelSource(str(basel), None, 224, 3, "cpu", occluders=False)
    faces = source()
    samples, alone = render_models(faces, 0, 3), render_models(faces, 1, 1)
    assert samples.image.shape == (3, 3, 224, 224) and samples.coefficients.shape == (3, 198)
    assert torch.equal(samples.coefficients[1], alone.coefficients[0])
    assert float((samples.image[1].int() - alone.image[0].int()).abs().float().mean()) < 1.0
    assert samples.known.all() and abs(float(samples.coefficients.std()) - 1) < 0.15
    covered = source.with_occluders(3)()
    changed = (render_models(covered, 0, 3).image.int() - samples.image.int()).abs().amax(1) > 40
    assert bool((changed.float().mean((1, 2)) > 0.02).any())


def test_configurations_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="224 x 224"):
        ShapeConfig(size=256)
    with pytest.raises(InputError, match="under must not be negative"):
        ShapeConfig(under=-1.0)
    assert ShapeConfig(**PUBLISHED[ShapeConfig]).batch == 144
