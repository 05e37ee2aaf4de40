"""Figures of relief on maps whose answer is known."""

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

from pyface3d.evaluate.relief_errors import correlation, high_pass, luminance, relief_figures


def noise(seed, shape=(2, 40, 48)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_high_pass_without_mask_agrees_with_scipy_away_from_the_border():
    values = noise(0)
    mask = torch.ones_like(values, dtype=torch.bool)
    expected = values - torch.from_numpy(gaussian_filter(values.numpy(), (0, 3, 3), mode="constant", truncate=3.0))
    inner = slice(10, 30)
    torch.testing.assert_close(high_pass(values, mask, 3.0)[:, inner, inner], expected[:, inner, inner])


def test_high_pass_does_not_see_beyond_the_mask():
    values, mask = noise(1), noise(2) > -0.3
    other = torch.where(mask, values, torch.full_like(values, 1e3))
    torch.testing.assert_close(high_pass(values, mask, 2.0), high_pass(other, mask, 2.0))
    plane = torch.full_like(values, 3.0)
    torch.testing.assert_close(high_pass(plane, mask, 2.0), torch.zeros_like(plane), atol=1e-12, rtol=0)


def test_correlation_agrees_with_corrcoef():
    a, b, mask = noise(3), noise(4), noise(5) > 0
    b = b + 0.5 * a
    found = correlation(a, b, mask)
    for k in range(2):
        pair = torch.stack([a[k][mask[k]], b[k][mask[k]]])
        assert float(found[k]) == pytest.approx(float(torch.corrcoef(pair)[0, 1]))
    assert bool(correlation(torch.zeros_like(a), b, mask).isnan().all())
    assert bool(correlation(a, b, torch.zeros_like(mask)).isnan().all())


def test_figures_of_known_answers():
    truth = torch.zeros(1, 32, 32, dtype=torch.float64)
    truth[:, :, 16:] = noise(6, (1, 32, 16)).clamp(0.1, 2.0)
    skin, light = torch.ones_like(truth, dtype=torch.bool), noise(7, (1, 32, 32))
    perfect = relief_figures(truth, truth, skin, light)
    assert perfect["flat_rms"] == perfect["deep_error"] == 0.0
    assert perfect["gain"] == pytest.approx(1.0) and perfect["likeness"] == pytest.approx(1.0)
    assert perfect["deep"] == pytest.approx(float(truth[:, :, 16:].mean()))
    flat = relief_figures(torch.zeros_like(truth), truth, skin, light)
    assert flat["deep_error"] == flat["deep"] and flat["gain"] == flat["likeness"] == flat["light"] == 0.0
    shaded = relief_figures(0.3 * light, truth, skin, light)
    assert shaded["light"] == pytest.approx(1.0)
    assert shaded["flat_rms"] == pytest.approx(float(0.3 * light[:, :, :16].square().mean().sqrt()))
    half = relief_figures(0.5 * truth + 0.25, truth, skin, light)
    assert half["gain"] == pytest.approx(0.5) and half["flat_rms"] == pytest.approx(0.25)


def test_nothing_to_measure_is_not_a_failure():
    nothing = torch.zeros(1, 8, 8, dtype=torch.bool)
    figures = relief_figures(*(torch.zeros(1, 8, 8) for _ in range(2)), nothing, torch.zeros(1, 8, 8))
    assert all(math.isfinite(value) for value in figures.values())


def test_luminance_of_the_primaries():
    primaries = torch.eye(3)[:, :, None, None]
    assert float(luminance(torch.ones(1, 3, 1, 1))) == pytest.approx(1.0)
    assert luminance(primaries).flatten().tolist() == pytest.approx([0.2126, 0.7152, 0.0722])
