"""Losses of label maps, against cases worked out by hand and against torch's own cross-entropy."""

import math

import pytest
import torch

from pyface3d.losses import class_loss, near_borders, overlap_loss


def test_class_loss_is_torchs_weighted_cross_entropy():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 6, 7, generator=rng)
    labels = torch.randint(0, 5, (2, 6, 7), generator=rng)
    weights = torch.rand(5, generator=rng)
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(class_loss(logits.log_softmax(1), labels, weights[labels]), expected)


def test_pixels_without_weight_may_have_any_number_and_count_for_nothing():
    log_share = torch.log(torch.tensor([0.25, 0.75]))[None, :, None, None].expand(1, 2, 1, 2)
    labels, weight = torch.tensor([[[1, 255]]], dtype=torch.uint8), torch.tensor([[[1.0, 0.0]]])
    assert class_loss(log_share, labels, weight) == pytest.approx(-math.log(0.75))
    assert class_loss(log_share, labels, 0 * weight) == 0


def test_overlap_loss_by_hand():
    truth = torch.tensor([[[True, True, False, False]]])
    known = torch.ones_like(truth)
    assert overlap_loss(truth.float(), truth, known) == 0
    assert overlap_loss((~truth).float(), truth, known) == pytest.approx(1 - 1 / 5)
    half = torch.full((1, 1, 4), 0.5)
    assert overlap_loss(half, truth, known) == pytest.approx(1 - 3 / 5)
    only_first = torch.tensor([[[True, False, False, False]]])
    assert overlap_loss(half, truth, only_first) == pytest.approx(1 - 2 / 2.5)


def test_borders_of_a_square():
    labels = torch.zeros(1, 9, 9, dtype=torch.uint8)
    labels[0, 4, 4] = 3
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    steps = (rows - 4).abs() + (columns - 4).abs()
    assert torch.equal(near_borders(labels, 1)[0], steps <= 1)
    assert torch.equal(near_borders(labels, 2)[0], steps <= 2)
    assert not near_borders(torch.ones(1, 5, 5), 2).any()
