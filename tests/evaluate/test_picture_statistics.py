"""Figures of pictures whose answer is known."""

import numpy as np
import pytest

from pyface3d.evaluate.picture_statistics import picture_statistics, power_spectra, separation, spectrum_slope

RNG = np.random.default_rng(2)


def coloured_noise(slope: float, count: int = 8, size: int = 96) -> np.ndarray:
    """Pictures (N, S, S) whose power falls with ``frequency ** slope``."""
    cycles = np.fft.fftfreq(size, 1 / size)
    radius = np.maximum(np.hypot(cycles[:, None], cycles), 1)
    spectrum = np.fft.fft2(RNG.normal(size=(count, size, size))) * radius ** (slope / 2)
    return np.fft.ifft2(spectrum).real


def test_a_flat_picture() -> None:
    figures = picture_statistics(np.broadcast_to(np.uint8([51, 102, 204]), (2, 32, 32, 3)))
    np.testing.assert_allclose(
        [figures[f"{name} mean"] for name in ("red", "green", "blue")], [[0.2] * 2, [0.4] * 2, [0.8] * 2]
    )
    for name in ("red std", "contrast", "sides", "gradient", "fine"):
        np.testing.assert_allclose(figures[name], 0, atol=1e-12)
    np.testing.assert_allclose(figures["saturation"], 0.6)
    np.testing.assert_allclose(figures["dark"], figures["bright"])


def test_a_ramp_has_a_side_a_gradient_and_nothing_fine() -> None:
    ramp = np.broadcast_to(np.arange(0, 64, dtype=np.uint8)[None, None, :, None], (1, 64, 64, 3))
    figures = picture_statistics(ramp)
    assert figures["gradient"][0] == pytest.approx(1 / 255)
    assert figures["sides"][0] == pytest.approx(32 / 255)
    assert figures["fine"][0] == pytest.approx(0, abs=1e-12)
    assert figures["contrast"][0] == pytest.approx(np.arange(64).std() / 255)


def test_noise_is_fine() -> None:
    noise = np.repeat(RNG.normal(128, 10, (1, 128, 128, 1)), 3, axis=3).round().astype(np.uint8)
    # A pixel less the mean of nine of which it is one: 8/9 of the variance stays.
    assert picture_statistics(noise)["fine"][0] == pytest.approx(np.sqrt(8 / 9) * 10 / 255, rel=0.03)


@pytest.mark.parametrize("slope", [0.0, -1.0, -2.0, -3.0])
def test_slope_of_noise_with_a_known_one(slope: float) -> None:
    assert spectrum_slope(power_spectra(coloured_noise(slope))).mean() == pytest.approx(slope, abs=0.15)


def test_a_wave_shows_at_its_frequency() -> None:
    wave = np.sin(2 * np.pi * 12 * np.arange(96) / 96)
    spectrum = power_spectra(np.broadcast_to(wave, (1, 96, 96)))[0]
    assert spectrum.argmax() == 12
    assert spectrum[12] > 1e3 * spectrum[20]


def test_separation() -> None:
    assert separation(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert separation(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 0
    assert separation(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert separation(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 0.75
