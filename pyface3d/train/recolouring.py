"""Other colours and grain for crops that were rendered once and serve several steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def recolour(image: Tensor, rng: np.random.Generator, grey: float = 0.1, noise: float = 0.04) -> Tensor:
    """Contrast, brightness, white balance, gamma, grey and noise.

    Args:
        image: (B, 3, S, S) in [0, 1].
        rng: all draws come from it.
        grey: share of crops without colour.
        noise: highest deviation of added noise.
    """
    count = len(image)

    def draw(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).float().to(image.device).reshape(count, -1, 1, 1)

    gain = draw(np.exp(rng.normal(0, 0.15, (count, 1)) + rng.normal(0, 0.05, (count, 3))))
    offset = draw(rng.normal(0, 0.04, (count, 1)))
    gamma = draw(np.exp(rng.normal(0, 0.15, count)))
    without = draw((rng.random(count) < grey).astype(np.float32))
    deviation = draw(noise * rng.random(count) ** 3)
    # Drawn where it is used: a normal number for every pixel is too many for the CPU to feed a GPU.
    generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**63)))
    speckle = torch.randn(image.shape, generator=generator, device=image.device)
    image = (image * gain + offset).clamp(1e-4, 1) ** gamma
    image = torch.lerp(image, image.mean(1, keepdim=True).expand_as(image), without)
    return (image + deviation * speckle).clamp(0, 1)
