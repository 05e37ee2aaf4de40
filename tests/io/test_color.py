"""The sRGB curve against the standard, in both directions, for numpy and torch."""

import numpy as np
import pytest
import torch

from pyface3d.io.color import linear_to_srgb, srgb_to_linear


def standard(value: float) -> float:
    """IEC 61966-2-1, one number at a time."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_agrees_with_the_standard() -> None:
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(srgb_to_linear(values), [standard(v) for v in values], rtol=1e-12)
    np.testing.assert_allclose(srgb_to_linear(torch.from_numpy(values)).numpy(), srgb_to_linear(values), rtol=1e-12)


def test_bytes_survive_the_round_trip() -> None:
    every = np.arange(256, dtype=np.uint8)
    back = linear_to_srgb(srgb_to_linear(every))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(np.round(back * 255).astype(np.uint8), every)
    back_torch = linear_to_srgb(srgb_to_linear(torch.from_numpy(every)))
    torch.testing.assert_close(back_torch, torch.from_numpy(back))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_keeps_the_dtype(kind: type) -> None:
    assert srgb_to_linear(np.ones(3, kind)).dtype == kind
    assert linear_to_srgb(np.ones(3, kind)).dtype == kind


def test_gradient_is_finite_everywhere() -> None:
    values = torch.tensor([0.0, 1e-4, 0.0031308, 0.04045, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    for curve in (srgb_to_linear, linear_to_srgb):
        (gradient,) = torch.autograd.grad(curve(values).sum(), values)
        assert torch.isfinite(gradient).all()
        assert (gradient > 0).all()
    # Away from the joints, where the two branches' slopes differ by the standard's rounding.
    smooth = torch.tensor([0.001, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(srgb_to_linear, smooth)
    assert torch.autograd.gradcheck(linear_to_srgb, smooth)


@pytest.mark.parametrize("wrong", [np.zeros(3, np.int32), torch.zeros(3, dtype=torch.int64)])
def test_integers_are_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="floating"):
        srgb_to_linear(wrong)
    with pytest.raises(TypeError, match="floating"):
        linear_to_srgb(wrong)
