"""Training of the part network: what a step sees, that it learns, and that it goes on after an interruption."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.networks.face_parts import FaceParts
from pyface3d.part_labels import FacePart
from pyface3d.train.checkpoints import read_checkpoint
from pyface3d.train.loop import CHECKPOINT, Pace, Trainer, run_training
from pyface3d.train.parts.changes import PartChanges, change_parts
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.parts.measures import found_parts, part_measures
from pyface3d.train.parts.objective import SHARES, class_weights
from pyface3d.train.parts.pictures import part_grid
from pyface3d.train.parts.samples import UNKNOWN, PartSamples, render_parts
from pyface3d.train.parts.task import PartsTask

NONE = PartChanges(*[0.0] * 7)
SMALL = PartsConfig(steps=8, batch=4, size=64, reuse=2, pool=3, warm_up=2)


@dataclass(frozen=True)
class TargetSampler:
    """Crops with a face of discs: skin, two eyes and a mouth, each in its colour, before a dark ground."""

    size: int = 64
    seed: int = 0

    def __call__(self) -> "TargetSampler":
        return self

    def batch(self, start: int, count: int, maps: tuple[str, ...] = ()) -> SimpleNamespace:
        assert maps == ("segments",)
        axis = torch.arange(self.size) + 0.5
        pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1) / self.size
        segments = torch.zeros(count, self.size, self.size, dtype=torch.uint8)
        for b in range(count):
            middle = torch.from_numpy(np.random.default_rng([self.seed, start + b]).uniform(0.4, 0.6, 2)).float()
            for place, radius, part in (
                ((0.0, 0.0), 0.3, FacePart.SKIN),
                ((-0.1, -0.1), 0.07, FacePart.EYE),
                ((0.1, -0.1), 0.07, FacePart.EYE),
                ((0.0, 0.13), 0.09, FacePart.MOUTH),
            ):
                segments[b][(pixels - middle - torch.tensor(place)).norm(dim=-1) < radius] = part
        colors = torch.zeros(len(FacePart), 3, dtype=torch.uint8)
        colors[FacePart.SKIN] = torch.tensor([200, 150, 120], dtype=torch.uint8)
        colors[FacePart.EYE], colors[FacePart.MOUTH, 0] = 240, 160
        image = colors[segments.long()].permute(0, 3, 1, 2).contiguous()
        return SimpleNamespace(image=image, maps={"segments": segments}, is_face=torch.ones(count, dtype=torch.bool))


SAMPLES = render_parts(TargetSampler(), 0, 4)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_trainer(config: PartsConfig) -> Trainer:
    torch.manual_seed(config.seed)
    network = FaceParts(widths=(16, 16, 16, 16, 16))
    return Trainer(network, PartsTask(config, "cpu", {"synthetic": SAMPLES}), "cpu")


def test_learns_four_samples_by_heart():
    rates = {"learning_rate": 4e-3, "trunk_learning_rate": 2e-3, "warm_up": 5, "ema": 0.0}
    config = PartsConfig(steps=90, batch=4, size=64, frozen_stages=0, trunk_norms="batch", **rates)
    trainer = make_trainer(config)
    trainer.task.changes = NONE
    losses = [trainer.train_step(SAMPLES) for _ in range(config.steps)]
    assert losses[-1]["total"] < losses[0]["total"] / 5
    trainer.network.train()
    found = torch.cat([trainer.network(SAMPLES.image.float() / 255).argmax(1)]).to(torch.uint8)
    figures = part_measures(found, SAMPLES.segments)
    assert figures["iou"] > 95 and figures["eye"] > 85 and figures["mouth"] > 85


def run(folder: Path, workers: int = 0, **pace: float) -> Trainer:
    trainer = make_trainer(SMALL)
    if (folder / CHECKPOINT).exists():
        trainer.load(read_checkpoint(folder / CHECKPOINT))
    run_training(trainer, TargetSampler(), folder, workers=workers, pace=Pace(**pace))
    return trainer


def same(one: Trainer, other: Trainer) -> bool:
    pairs = zip(one.state()["averaged"].values(), other.state()["averaged"].values())
    return one.step == other.step and all(torch.equal(a, b) for a, b in pairs)


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole")
    for step in range(1, 5):
        assert run(tmp_path / "parts", limit_s=0.0).step == step
    assert same(whole, run(tmp_path / "parts", workers=1))


def marked() -> PartSamples:
    """Crops whose colours are their labels, so that picture and label map can be held against each other."""
    labels = SAMPLES.segments.clone()
    labels[:, 10:30, 5:12] = FacePart.HAIR  # what is lopsided and away from the face's discs
    image = (labels * 20)[:, None].expand(-1, 3, -1, -1).contiguous()
    return PartSamples(image, labels)


@pytest.mark.parametrize("seed", range(4))
def test_label_maps_move_with_the_picture(seed, monkeypatch):
    monkeypatch.setattr("pyface3d.train.parts.changes.recolour", lambda image, *rest: image)
    changes = PartChanges(mirrored=0.5, turned=0.4, shifted=0.1, zoomed=0.2, covered=0.0)
    image, labels = change_parts(marked(), np.random.default_rng(seed), changes)
    known = labels != UNKNOWN
    assert known.float().mean() > 0.5 and not torch.equal(labels, marked().segments)
    painted = image[:, 0] * 255 / 20
    # Bilinear in the picture, nearest in the labels: they differ at borders only.
    near = (painted - labels).abs() < 0.5
    assert near[known].float().mean() > 0.93
    outside = image[:, 0][~known]  # black, but for the interpolated rim
    assert not len(outside) or float((outside == 0).float().mean()) > 0.9


def test_patches_hide_what_they_cover(monkeypatch):
    monkeypatch.setattr("pyface3d.train.parts.changes.recolour", lambda image, *rest: image)
    samples = PartSamples(SAMPLES.image, SAMPLES.segments.clone())
    samples.segments[:, :4] = UNKNOWN
    plain, labels = change_parts(samples, np.random.default_rng(1), NONE)
    covered, hidden = change_parts(
        samples, np.random.default_rng(1), PartChanges(*[0.0] * 4, covered=1.0, grey=0.0, noise=0.0)
    )
    patch = (hidden == FacePart.OCCLUDER) & (labels != FacePart.OCCLUDER)
    assert (patch.flatten(1).sum(1) > 20).all()
    assert torch.equal(hidden[~patch], labels[~patch])
    assert torch.equal((covered != plain).any(1) & ~patch & (labels != UNKNOWN), torch.zeros_like(patch))


def test_changes_follow_from_the_generator_alone():
    pairs = [change_parts(SAMPLES, np.random.default_rng(seed), PartChanges()) for seed in (1, 1, 2)]
    assert torch.equal(pairs[0][0], pairs[1][0]) and torch.equal(pairs[0][1], pairs[1][1])
    assert not torch.equal(pairs[0][0], pairs[2][0])


def test_figures_by_hand():
    P = FacePart
    truth = torch.tensor([[[P.SKIN, P.SKIN, P.EYE, P.HAIR], [P.HAIR, P.HAIR, UNKNOWN, P.EYE]]], dtype=torch.uint8)
    found = torch.tensor([[[P.SKIN, P.EYE, P.EYE, P.SKIN], [P.HAIR, P.HAIR, P.SKIN, P.GLASSES]]], dtype=torch.uint8)
    figures = part_measures(found, truth)
    assert figures["precision"] == pytest.approx(75)  # three of the four that were said to be face
    assert figures["recall"] == pytest.approx(75)
    assert figures["f1"] == pytest.approx(75)
    assert figures["iou"] == pytest.approx(60)
    assert figures["accuracy"] == pytest.approx(500 / 7)
    assert figures["skin"] == pytest.approx(100 / 3) and figures["eye"] == pytest.approx(100 / 3)
    assert figures["hair"] == pytest.approx(200 / 3)
    assert "glasses" not in figures and figures["mean_iou"] == pytest.approx(400 / 9)


def test_rare_classes_weigh_more_and_the_mean_weight_is_one():
    weights, shares = class_weights(0.25), torch.tensor([SHARES[part] for part in FacePart])
    assert weights.argmax() == shares.argmin() and weights.argmin() == shares.argmax()
    torch.testing.assert_close((weights * shares).sum() / shares.sum(), torch.tensor(1.0))
    assert torch.equal(class_weights(0.0), torch.ones(len(FacePart)))


def test_pictures_of_crops_and_label_maps():
    grid = part_grid(SAMPLES.image, SAMPLES.segments, torch.full_like(SAMPLES.segments, UNKNOWN), columns=2)
    assert grid.shape == (3, 2 * 64, 2 * 3 * 64)
    assert (grid[:, :64, 128:192] == 128).all()
    assert torch.equal(grid[:, :64, :64], SAMPLES.image[0])


def test_samples_without_a_face_are_unknown():
    class Empty(TargetSampler):
        def batch(self, start, count, maps=()):
            faces = super().batch(start, count, maps)
            faces.is_face[0] = False
            return faces

    samples = render_parts(Empty(), 0, 2)
    assert (samples.segments[0] == UNKNOWN).all() and not (samples.segments[1] == UNKNOWN).any()


def test_crops_of_other_sizes_are_refused():
    with pytest.raises(InputError, match="multiple of 32"):
        PartsConfig(size=100)


def test_class_and_network_agree(tmp_path):
    network = FaceParts(widths=(8, 8, 8, 8, 8)).eval()
    found = found_parts(network, SAMPLES.image)
    with torch.no_grad():
        assert torch.equal(found, network(SAMPLES.image.float() / 255).argmax(1).to(torch.uint8))
