"""Assets without any outside data, and people with their views."""

from collections.abc import Mapping

import numpy as np
import pytest
from torch import Tensor

from pyface3d.data.synthetic.assets import load_assets


def generators(seed: int, first: int, count: int, stage: int) -> list[np.random.Generator]:
    """One for each sample, as the engine makes them."""
    return [np.random.default_rng([seed, index, stage]) for index in range(first, first + count)]


@pytest.fixture(scope="session")
def head_assets() -> Mapping[str, Tensor]:
    """What `load_assets` makes of the package alone."""
    return load_assets()
