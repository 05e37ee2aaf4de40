"""A real face for the detector: the NASA portrait that scikit-image ships (public domain)."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return data.astronaut()
