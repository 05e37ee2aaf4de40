"""Figures by which made pictures of faces can be told from photos: colour, contrast, sharpness, spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709
_LOWEST_CYCLES = 3  # across the picture: below, the window itself shows in the spectrum
_HIGHEST_SHARE = 0.9  # of the Nyquist frequency: beyond, rounding to 8 bits does


def picture_statistics(pictures: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Figures of each picture.

    Args:
        pictures: (N, S, S, 3) uint8 sRGB, all of what counts (crop first).

    Returns:
        By name, each (N,); pixel values count 0 to 1:

        - ``red mean``, ``red std`` and so on: of the channels;
        - ``contrast``: standard deviation of the luma; ``dark``, ``bright``: its 5th and 95th percentile;
        - ``saturation``: mean of the largest less the smallest channel;
        - ``sides``: mean luma of the left half less the right half's, absolute: light from a side;
        - ``gradient``: mean length of the luma's gradient per pixel;
        - ``fine``: standard deviation of the luma less its mean over 3 x 3 pixels: noise and the finest detail;
        - ``slope``: of the logarithm of the power spectrum over the logarithm of the frequency; photos have about -2.5,
          noise 0, blur less.
    """
    values = pictures.astype(np.float64) / 255
    luma = values @ _LUMA
    half = luma.shape[2] // 2
    figures = {}
    for channel, name in enumerate(("red", "green", "blue")):
        figures[f"{name} mean"] = values[..., channel].mean(axis=(1, 2))
        figures[f"{name} std"] = values[..., channel].std(axis=(1, 2))
    figures["contrast"] = luma.std(axis=(1, 2))
    figures["dark"], figures["bright"] = np.percentile(luma, (5, 95), axis=(1, 2))
    figures["saturation"] = np.ptp(values, axis=3).mean(axis=(1, 2))
    figures["sides"] = np.abs(luma[:, :, :half].mean(axis=(1, 2)) - luma[:, :, -half:].mean(axis=(1, 2)))
    down, right = np.gradient(luma, axis=(1, 2))
    figures["gradient"] = np.hypot(down, right).mean(axis=(1, 2))
    figures["fine"] = (luma[:, 1:-1, 1:-1] - _mean3(luma)).std(axis=(1, 2))
    figures["slope"] = spectrum_slope(power_spectra(luma))
    return figures


def power_spectra(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radial means of the power spectra (N, S // 2) of pictures (N, S, S): entry k is for k cycles across the picture.

    A Hann window keeps the picture's edges from being seen as detail.
    """
    size = luma.shape[1]
    window = np.hanning(size + 2)[1:-1]
    window = window[:, None] * window
    flat = luma - (luma * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2(flat * window)) ** 2 / window.sum() ** 2
    cycles = np.fft.fftfreq(size, 1 / size)
    ring = np.round(np.hypot(cycles[:, None], cycles)).astype(int).ravel()
    inside = ring < size // 2
    count = np.bincount(ring[inside], minlength=size // 2)
    rows = [np.bincount(ring[inside], one.ravel()[inside], size // 2) for one in power]
    return np.stack(rows) / count if len(rows) else np.zeros((0, size // 2))


def spectrum_slope(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slope (N,) of log power over log frequency of `power_spectra` (N, K); NaN for a flat picture."""
    cycles = np.arange(_LOWEST_CYCLES, max(int(_HIGHEST_SHARE * spectra.shape[1]), _LOWEST_CYCLES + 2))
    # Every ring once would give the many high ones all the weight: weigh by 1 / frequency, even over octaves.
    weight = 1 / cycles
    x = np.log(cycles)
    x = x - (weight * x).sum() / weight.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(spectra[:, cycles])
        return (weight * x * y).sum(axis=1) / (weight * x * x).sum()


def separation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Chance that a figure of ``second`` is larger than one of ``first``; ties count half.

    0.5 where they cannot be told apart: it is the area under the receiver operating characteristic of this figure.
    """
    order = np.concatenate([first, second])
    _, inverse, counts = np.unique(order, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = middle_rank[inverse]
    above = ranks[len(first) :].sum() - len(second) * (len(second) + 1) / 2
    return float(above / (len(first) * len(second)))


def _mean3(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over 3 x 3 pixels, (N, S - 2, S - 2)."""
    rows = (luma[:, :-2] + luma[:, 1:-1] + luma[:, 2:]) / 3
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 3
