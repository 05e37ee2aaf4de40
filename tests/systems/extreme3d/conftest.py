"""What the tests of Extreme 3D Faces share: a made-up face of Basel's schema, turned, with wrinkles."""

from __future__ import annotations

from pathlib import Path

import pytest
from extreme3d_faces import stand, waves
from synthetic_basel import basel_arrays, write_trimmed

from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.systems.extreme3d import Foundation, Stages, run_stages


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trimmed(tmp_path_factory.mktemp("basel") / "BaselFaceModel_mod.h5", basel_arrays())


@pytest.fixture(scope="session")
def model(model_path: Path) -> LinearFaceModel:
    found = load_face_model(model_path)
    assert isinstance(found, LinearFaceModel)
    return found


@pytest.fixture(scope="session")
def turned(model: LinearFaceModel) -> Foundation:
    return stand(model, 30)


@pytest.fixture(scope="session")
def stages(turned: Foundation) -> Stages:
    return run_stages(turned, waves(turned, half=True), compact=False)
