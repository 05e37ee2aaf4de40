"""Cumulative error curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT, _FINE = 1000, 640, 2  # drawn twice as large, then averaged: smooth lines
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 40, 60, 70
# Colours that stay apart for colour-blind eyes too (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c")
_GRID, _TEXT = "#d8d8d8", "#202020"


def draw_cumulative_errors(
    errors: Mapping[str, NDArray[np.float64]], title: str, limit: float = 10.0
) -> NDArray[np.uint8]:
    """How many of the pictures have at most a certain error.

    Args:
        errors: per cent (N,) by method; NaN and infinity never come in.
        title: above the plot.
        limit: right end of the axis, per cent.

    Returns:
        (640, 1000, 3) uint8 sRGB: steps, with the share below ``limit`` in the legend.
    """
    canvas = Image.new("RGB", (_WIDTH * _FINE, _HEIGHT * _FINE), "white")
    draw = ImageDraw.Draw(canvas)
    small, large = (ImageFont.load_default(size * _FINE) for size in (15, 19))
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(error: float, share: float) -> tuple[float, float]:
        return (_LEFT + across * error / limit) * _FINE, (_TOP + down * (1 - share)) * _FINE

    for tenth in range(11):
        draw.line([at(limit * tenth / 10, 0), at(limit * tenth / 10, 1)], _GRID, _FINE)
        draw.line([at(0, tenth / 10), at(limit, tenth / 10)], _GRID, _FINE)
        x, y = at(limit * tenth / 10, 0)
        draw.text((x, y + 8 * _FINE), f"{limit * tenth / 10:g}", _TEXT, small, anchor="mt")
        x, y = at(0, tenth / 10)
        draw.text((x - 8 * _FINE, y), f"{10 * tenth}", _TEXT, small, anchor="rm")
    draw.rectangle([at(0, 1), at(limit, 0)], outline=_TEXT, width=_FINE)
    draw.text((_LEFT * _FINE, 10 * _FINE), title, _TEXT, large)
    draw.text(((_LEFT + across / 2) * _FINE, (_HEIGHT - 28) * _FINE), "NME %", _TEXT, small, anchor="mt")
    draw.text((10 * _FINE, (_TOP - 12) * _FINE), "% of pictures", _TEXT, small, anchor="ls")
    for number, (name, values) in enumerate(errors.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        corners = cumulative_steps(values, limit)
        draw.line([at(error, share) for error, share in corners], colour, 3 * _FINE, joint="curve")
        y = (_TOP + 0.55 * down + 22 * (number - len(errors) / 2)) * _FINE
        x = (_LEFT + 0.6 * across) * _FINE
        draw.line([(x, y), (x + 30 * _FINE, y)], colour, 3 * _FINE)
        text = f"{name}  ({100 * corners[-1, 1]:.1f} % below {limit:g})"
        draw.text((x + 38 * _FINE, y), text, _TEXT, small, anchor="lm")
    return np.asarray(canvas.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX))


def cumulative_steps(errors: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Corners (K, 2) of the step function from error to the share of ``errors`` up to it, from 0 to ``limit``."""
    inside = np.sort(errors[errors <= limit])  # false for NaN
    share = np.arange(len(inside) + 1) / max(len(errors), 1)
    return np.column_stack([np.concatenate([[0.0], np.repeat(inside, 2), [limit]]), np.repeat(share, 2)])
