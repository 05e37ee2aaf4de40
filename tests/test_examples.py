"""The examples run, and do what their first lines say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pyface3d.io.images import read_image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_fit_picture_finds_pose_light_and_texture(tmp_path, capsys):
    example = load_example("fit_picture")
    target = example.secret_picture()
    losses = example.fit(target, 110, tmp_path)
    assert losses[-1] < losses[0] / 10
    turn, shift = (part.split("]")[0] for part in capsys.readouterr().out.splitlines()[-1].split("[")[1:])
    np.testing.assert_allclose(np.fromstring(turn, sep=","), [0.10, 0.35, -0.08], atol=0.01)  # the secret pose, radians
    np.testing.assert_allclose(np.fromstring(shift, sep=",")[:2], [6.0, -4.0], atol=0.5)  # mm; 0.5 mm are 0.4 px

    pictures = [read_image(tmp_path / name).astype(float) for name in ("before.png", "after.png")]
    assert pictures[0].shape == (192, 3 * 192, 3)
    misfit = [picture[:, 2 * 192 :].mean() for picture in pictures]
    assert misfit[1] < misfit[0] / 3  # in sRGB, where the small differences weigh more


def test_fit_silhouette_finds_the_pose():
    """Small and short: angle and distance fall to a quarter; a mask that is not antialiased has no gradient."""
    example = load_example("fit_silhouette")
    target = example.silhouette(*example.TRUTH, 80)
    before = example.misfit(*example.START, target)
    assert before[0] < 0.4 and before[1] > 20 and before[2] > 80
    after = example.misfit(*example.fit(target, 200), target)
    assert after[0] > 0.98
    assert after[1] < before[1] / 4
    assert after[2] < before[2] / 4

    turn, shift = (value.clone().requires_grad_() for value in example.START)
    assert not example.silhouette(turn, shift, 80, smooth=False).requires_grad
    loss = (example.silhouette(turn, shift, 80) - target).square().mean()
    assert all(grad.abs().max() > 0 for grad in torch.autograd.grad(loss, (turn, shift)))


def test_examples_are_short():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 80, path.name
