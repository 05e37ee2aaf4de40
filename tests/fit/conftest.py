"""Fixtures of the fit's tests."""

import pytest

from pyface3d.face_models import load_face_model


@pytest.fixture(scope="session")
def head():
    return load_face_model("head")
