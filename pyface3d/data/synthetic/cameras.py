"""What a camera, its software and the way of a picture to us do to the light of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.jpeg import jpeg
from pyface3d.data.synthetic.overlays import draw_overlays
from pyface3d.data.synthetic.resampling import enlarge_matrix, gaussian_matrix, separable, shrink_matrix
from pyface3d.io.color import linear_to_srgb

STAGE = 70
_POOR = 0.35  # share of pictures that much went wrong with
_GREY = (0.2126, 0.7152, 0.0722)  # Rec. 709 luminance of linear RGB
_GRAIN = 2**21  # normal numbers of which every sample takes some


def photograph(rngs: Sequence[np.random.Generator], image: Tensor) -> Tensor:
    """Photographs of the scenes.

    Two thirds of the samples come out near clean. Steps, in the order of the light: exposure and white balance,
    vignette, motion and defocus blur (in linear light), reduction to fewer pixels, photon and read noise, clipping,
    tone curve, sharpening, JPEG, enlargement, monochrome, writing over the picture.

    Args:
        rngs: one generator per sample, made with ``STAGE``.
        image: (B, 3, S, S) linear RGB, 1 is the white of an ordinary exposure.

    Returns:
        (B, 3, S, S) sRGB in [0, 1], float32.
    """
    draws = Draws(rngs, image.device)
    size = image.shape[-1]
    # From here on the steps write into the tensor they are given where they change some of its samples only.
    poor = draws.chance(_POOR)
    light = expose(image, _exposure(draws, poor), _white_balance(draws, poor))
    light = light * _vignette(draws, size)
    light = _motion_blur(draws, light, poor)
    small, shrink, enlarge = _resolution(draws, light, poor)
    blur = torch.where(poor, draws.random() ** 2 * 2.2, draws.random() * 0.55) * (size / 128)
    light = _fewer_pixels(light, blur, small, shrink)
    light = _noise(draws, light, poor)
    picture = tone_curve(linear_to_srgb(light.clamp(0, 1)), *_tone(draws, poor))
    picture = _sharpen(draws, picture, poor)
    picture = _compress(draws, picture, poor, before=True)
    chosen = (small < size).nonzero()[:, 0]
    if len(chosen):
        matrix = enlarge_matrix(size, small[chosen], enlarge[chosen])
        picture[chosen] = separable(picture[chosen], matrix).clamp(0, 1)
    picture = _monochrome(draws, picture)
    picture = draw_overlays(draws, picture)
    return _compress(draws, picture, poor, before=False).clamp(0, 1)


def expose(image: Tensor, stops: Tensor, gains: Tensor) -> Tensor:
    """(B, 3, S, S) light times 2^``stops`` (B,) and times the ``gains`` (B, 3) of the channels."""
    return image * (torch.exp2(stops)[:, None] * gains)[:, :, None, None]


def tone_curve(picture: Tensor, contrast: Tensor, gamma: Tensor, black: Tensor, saturation: Tensor) -> Tensor:
    """Change the tones of sRGB pictures.

    Args:
        picture: (B, 3, S, S) in [0, 1].
        contrast: (B,) in [-1, 1]: share of a smooth step that is added (0 leaves the picture).
        gamma: (B,) exponent.
        black: (B,) level to which black is lifted (negative: crushed).
        saturation: (B,) distance from grey is multiplied by this.

    Returns:
        (B, 3, S, S) in [0, 1].
    """
    contrast, gamma, black, saturation = (x[:, None, None, None] for x in (contrast, gamma, black, saturation))
    tones = picture.clamp_min(1e-4) ** gamma
    # x (1 - x) (2 x - 1) vanishes at black, middle and white; 2 keeps the curve rising for |contrast| <= 1.
    tones = tones + 2 * contrast * tones * (1 - tones) * (2 * tones - 1)
    grey = tones.mean(1, keepdim=True)
    tones = grey + saturation * (tones - grey)
    return (black + (1 - black) * tones).clamp(0, 1)


def _exposure(draws: Draws, poor: Tensor) -> Tensor:
    odd = draws.chance(0.25) & poor
    return torch.where(odd, draws.uniform(-2.2, 1.0), draws.normal(0.3) - 0.1)


def _white_balance(draws: Draws, poor: Tensor) -> Tensor:
    odd = draws.chance(0.3) & poor
    warm, tint = draws.normal(1.0), draws.normal(0.5)
    strength = torch.where(odd, 0.28, 0.07)
    gains = torch.exp(strength[:, None] * torch.stack([warm, tint, -warm], 1))
    return gains / (gains * gains.new_tensor(_GREY)).sum(1, keepdim=True)


def _vignette(draws: Draws, size: int) -> Tensor:
    """(B, 1, S, S) falling off from a middle that need not be the crop's."""
    at = (torch.arange(size, device=draws.device) + 0.5) / size - 0.5
    center = draws.normal(0.5, 2)
    strength = draws.chance(0.3) * draws.uniform(0, 0.5)
    radius = (at - center[:, :1])[:, None, :] ** 2 + (at - center[:, 1:])[:, :, None] ** 2
    return 1 / (1 + strength[:, None, None] * radius)[:, None] ** 2


def _motion_blur(draws: Draws, light: Tensor, poor: Tensor) -> Tensor:
    size = light.shape[-1]
    length = draws.uniform(1.5, 7.0) * (size / 128)
    angle = draws.uniform(0, torch.pi)
    chosen = (draws.chance(0.25) & poor).nonzero()[:, 0]
    if not len(chosen):
        return light
    taps = 9
    at = (torch.arange(size, device=light.device, dtype=light.dtype) + 0.5) / size * 2 - 1
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    step = (length / size * 2)[:, None] * torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    total = torch.zeros_like(light[chosen])
    for tap in range(taps):
        shifted = grid + (step[chosen] * (tap / (taps - 1) - 0.5))[:, None, None]
        total += functional.grid_sample(light[chosen], shifted, padding_mode="border", align_corners=False)
    light[chosen] = total / taps
    return light


def _resolution(draws: Draws, light: Tensor, poor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) px of the side to which the picture is reduced, and the kernels of the two ways."""
    size = light.shape[-1]
    low = draws.chance(0.5) & poor
    factor = torch.where(low, torch.exp(draws.uniform(0.0, 1.4)), 1.0)  # 1 … 4
    small = (size / factor).round().clamp(8, size)
    shrink = draws.choice([0.08, 0.3, 0.3, 0.2, 0.12])
    enlarge = draws.choice([0.1, 0.0, 0.45, 0.45])
    return small, shrink, enlarge


def _fewer_pixels(light: Tensor, blur: Tensor, small: Tensor, kernel: Tensor) -> Tensor:
    """Blurred by (B,) px, and reduced to ``small`` (B,) px in the left top corner; the rest repeats the last pixels."""
    size = light.shape[-1]
    chosen = ((small < size) | (blur > 0.2)).nonzero()[:, 0]
    if not len(chosen):
        return light
    matrix = gaussian_matrix(size, blur[chosen])
    reduced = (small[chosen] < size).nonzero()[:, 0]
    if len(reduced):
        sample = chosen[reduced]
        matrix[reduced] = shrink_matrix(size, small[sample], kernel[sample]) @ matrix[reduced]
    light[chosen] = separable(light[chosen], matrix)
    return light


def _noise(draws: Draws, light: Tensor, poor: Tensor) -> Tensor:
    """Photon noise grows with the root of the light, read noise does not; a share may be common to the channels."""
    strong = draws.chance(0.35) & poor
    amount = torch.where(strong, torch.exp(draws.uniform(-4.6, -2.6)), torch.exp(draws.uniform(-6.5, -4.4)))
    shared = (draws.chance(0.4) * draws.random())[:, None, None, None]
    count, size = len(light), light.shape[-1]
    # All windows of the field as rows of one view, of which each sample copies one.
    windows = _grain(light.device).unfold(0, 4 * size * size, 1)
    grain = windows[draws.integer(len(windows))].reshape(count, 4, size, size)
    grain = (1 - shared).sqrt() * grain[:, :3] + shared.sqrt() * grain[:, 3:]
    deviation = amount[:, None, None, None] * (light.clamp(0, 4) + 0.02).sqrt_()
    return light + deviation * grain


@cache
def _grain(device: torch.device) -> Tensor:
    """(N,) normal numbers, the same for everybody."""
    numbers = np.random.default_rng(1024).standard_normal(_GRAIN, dtype=np.float32)
    return torch.from_numpy(numbers).to(device)


def _tone(draws: Draws, poor: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    amount = torch.where(poor, 1.0, 0.5)
    contrast = (draws.uniform(-0.7, 0.9) * amount).clamp(-1, 1)
    gamma = torch.exp(draws.normal(0.2) * amount)
    black = draws.uniform(-0.14, 0.05) * amount
    saturation = 1.15 * torch.exp(draws.normal(0.25) * amount)
    return contrast, gamma, black, saturation


def _sharpen(draws: Draws, picture: Tensor, poor: Tensor) -> Tensor:
    amount = draws.uniform(0.3, 1.0) + poor * draws.random()
    wide = draws.chance(0.4)
    chosen = draws.chance(torch.where(poor, 0.25, 0.15)).nonzero()[:, 0]
    if not len(chosen):
        return picture
    sharp = picture[chosen]
    sigma = torch.where(wide[chosen], 1.4, 0.7)
    soft = separable(sharp, gaussian_matrix(sharp.shape[-1], sigma))
    sharp = sharp + amount[chosen][:, None, None, None] * (sharp - soft)
    picture[chosen] = sharp.clamp(0, 1)
    return picture


def _compress(draws: Draws, picture: Tensor, poor: Tensor, before: bool) -> Tensor:
    """JPEG before the enlargement for most samples, and after it for some: many pictures were stored twice."""
    quality = torch.where(poor, draws.uniform(15, 90), draws.uniform(60, 97)).round()
    subsample = draws.chance(0.7)
    chosen = draws.chance(0.6 if before else 0.3).nonzero()[:, 0]
    if not len(chosen):
        return picture
    picture[chosen] = jpeg(picture[chosen], quality[chosen], subsample[chosen])
    return picture


def _monochrome(draws: Draws, picture: Tensor) -> Tensor:
    """12 % of the pictures: grey (of luminance or of one mixture of the channels), a few of them toned."""
    chosen = draws.chance(0.12)
    mixture = draws.uniform(0.05, 1.0, 3)
    mixture = mixture / mixture.sum(1, keepdim=True)
    plain = draws.chance(0.6)
    mixture = torch.where(plain[:, None], mixture.new_tensor([0.299, 0.587, 0.114]), mixture)
    warm = draws.chance(0.3) * draws.uniform(0.0, 1.0)
    tint = 1 + warm[:, None] * mixture.new_tensor([0.1, -0.02, -0.25])
    grey = (picture * mixture[:, :, None, None]).sum(1, keepdim=True) * tint[:, :, None, None]
    return torch.where(chosen[:, None, None, None], grey.clamp(0, 1), picture)
