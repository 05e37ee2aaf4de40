"""Rotations: inverse pairs, conventions, the awkward angles."""

import math

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.geometry import (
    FRONTAL,
    axis_angle_from_rotation,
    euler_from_rotation,
    rotation_from_axis_angle,
    rotation_from_euler,
)


def random_vectors(angle: float, count: int = 64) -> torch.Tensor:
    axis = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return axis / axis.norm(dim=-1, keepdim=True) * angle


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 3e-4, 1e-3, 0.5, 3.0, math.pi - 1e-9])
def test_axis_angle_is_matrix_exponential_and_comes_back(angle):
    vector = random_vectors(angle)
    rotation = rotation_from_axis_angle(vector)
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    generator = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    torch.testing.assert_close(rotation, torch.linalg.matrix_exp(generator), rtol=0, atol=1e-13)
    # atan2 and the division cost a few roundings of pi
    torch.testing.assert_close(axis_angle_from_rotation(rotation), vector, rtol=0, atol=1e-11)


def test_half_turn_comes_back_up_to_sign():
    vector = random_vectors(math.pi)
    back = axis_angle_from_rotation(rotation_from_axis_angle(vector))
    sign = (back * vector).sum(-1, keepdim=True).sign()
    torch.testing.assert_close(back * sign, vector, rtol=0, atol=1e-11)


def test_gradient_is_finite_and_right_everywhere():
    for angle in (0.0, 1e-5, 1.0):
        vector = random_vectors(angle, 3).requires_grad_()
        assert torch.autograd.gradcheck(rotation_from_axis_angle, (vector,))


def test_frontal_head_is_frontal():
    zero = torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(rotation_from_euler(zero, zero, zero), torch.tensor(FRONTAL, dtype=torch.float64))


def test_signs_of_yaw_pitch_roll():
    zero, small = torch.zeros(()), torch.tensor(0.2)
    nose, crown = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    assert (rotation_from_euler(small, zero, zero) @ nose)[0] > 0  # the face turns to the right of the picture
    assert (rotation_from_euler(zero, small, zero) @ nose)[1] > 0  # the face looks down
    assert (rotation_from_euler(zero, zero, small) @ crown)[0] < 0  # the head leans to the left of the picture


def test_euler_comes_back():
    generator = torch.Generator().manual_seed(2)
    yaw = (torch.rand(200, dtype=torch.float64, generator=generator) - 0.5) * 3.1
    pitch = (torch.rand(200, dtype=torch.float64, generator=generator) - 0.5) * 6.2
    roll = (torch.rand(200, dtype=torch.float64, generator=generator) - 0.5) * 6.2
    back = euler_from_rotation(rotation_from_euler(yaw, pitch, roll))
    for given, found in zip((yaw, pitch, roll), back, strict=True):
        # cos(yaw) down to 0.02 magnifies the rounding of pitch and roll
        torch.testing.assert_close(found, given, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_locked_yaw_gives_an_equal_rotation(side):
    yaw = torch.tensor(side * math.pi / 2, dtype=torch.float64)
    rotation = rotation_from_euler(yaw, torch.tensor(0.3).double(), torch.tensor(-0.4).double())
    again = rotation_from_euler(*euler_from_rotation(rotation))
    torch.testing.assert_close(again, rotation, rtol=0, atol=1e-9)


def test_refusals():
    with pytest.raises(InputError, match="axis_angle must have shape"):
        rotation_from_axis_angle(torch.zeros(4))
    with pytest.raises(InputError, match="float32 or float64"):
        rotation_from_axis_angle(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="rotation must have shape"):
        axis_angle_from_rotation(torch.zeros(3))
    with pytest.raises(InputError, match="pitch must have shape"):
        rotation_from_euler(torch.zeros(2), torch.zeros(3), torch.zeros(2))


def test_empty_batch():
    assert rotation_from_axis_angle(torch.zeros(0, 3)).shape == (0, 3, 3)
    assert axis_angle_from_rotation(torch.zeros(0, 3, 3)).shape == (0, 3)
