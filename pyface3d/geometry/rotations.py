"""Rotations: axis-angle, matrices and the yaw, pitch, roll of a head.

Angles are radians, matrices act on columns (``R @ p``). A head's rotation maps the model frame (+x right,
+y up, +z out of the face) to the camera frame (+x right, +y down, +z forward).
"""

import torch
from torch import Tensor

from pyface3d.geometry.checks import check_floating, check_shape

FRONTAL: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
"""Model frame to camera frame of a head that looks straight into the camera; its own inverse."""


def frontal_rotation(like: Tensor) -> Tensor:
    """`FRONTAL` as a (3, 3) tensor of the dtype and device of ``like``."""
    return torch.tensor(FRONTAL, dtype=like.dtype, device=like.device)


def cross_matrix(vector: Tensor) -> Tensor:
    """The matrices ``K`` (..., 3, 3) with ``K @ p = vector x p``, for ``vector`` (..., 3)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def rotation_from_axis_angle(axis_angle: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (Rodrigues' formula).

    Args:
        axis_angle: axis times angle in radians, (..., 3), float32 or float64.

    Returns:
        (..., 3, 3). Differentiable everywhere, the zero vector included.

    Raises:
        InputError: wrong dtype or shape.
    """
    check_floating("axis_angle", axis_angle)
    check_shape("axis_angle", axis_angle, ("...", 3))
    square = axis_angle.square().sum(-1)[..., None, None]
    # Below this the series' next term is under the rounding of float64 (square**2 / 120 < 1e-17) ...
    tiny = square < 1e-7
    # ... and sqrt must not see zero, or its infinite slope would turn the other branch's gradient into NaN.
    angle = torch.where(tiny, torch.ones_like(square), square).sqrt()
    sine = torch.where(tiny, 1 - square / 6, angle.sin() / angle)  # sin(a) / a
    versine = torch.where(tiny, 0.5 - square / 24, 2 * (angle / 2).sin().square() / angle.square())  # (1-cos a)/a^2
    cross = cross_matrix(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * cross + versine * (cross @ cross)


def axis_angle_from_rotation(rotation: Tensor) -> Tensor:
    """Rotation vectors of rotation matrices, with angles in [0, pi].

    Goes through the unit quaternion whose largest component is taken from the diagonal, so it is exact to
    rounding at half turns too (where the matrix's antisymmetric part vanishes).

    Args:
        rotation: rotation matrices, (..., 3, 3).

    Returns:
        Axis times angle in radians, (..., 3).

    Raises:
        InputError: wrong dtype or shape.
    """
    check_floating("rotation", rotation)
    check_shape("rotation", rotation, ("...", 3, 3))
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Row k is 4 q_k q for q = (w, x, y, z); the row of the largest |q_k| has no cancellation.
    rows = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    best = torch.diagonal(rows, dim1=-2, dim2=-1).argmax(-1)
    quaternion = torch.take_along_dim(rows, best[..., None, None].expand(*best.shape, 1, 4), -2).squeeze(-2)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    square = vector.square().sum(-1, keepdim=True)
    tiny = square < 1e-14
    length = torch.where(tiny, torch.ones_like(square), square).sqrt()
    return vector * torch.where(tiny, 2 / w, 2 * torch.atan2(length, w) / length)


def rotation_from_euler(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """``FRONTAL @ Rz(roll) @ Ry(yaw) @ Rx(pitch)``: the model-to-camera rotation of a head.

    Positive yaw turns the face to the right of the picture, positive pitch lowers the chin (the face looks
    down), positive roll turns the picture of the head anticlockwise.

    Args:
        yaw, pitch, roll: radians, (...) of one shape.

    Returns:
        (..., 3, 3).

    Raises:
        InputError: wrong dtype, or shapes that differ.
    """
    for name, angle in (("yaw", yaw), ("pitch", pitch), ("roll", roll)):
        check_floating(name, angle)
        check_shape(name, angle, tuple(yaw.shape))
    sy, cy, sp, cp, sr, cr = yaw.sin(), yaw.cos(), pitch.sin(), pitch.cos(), roll.sin(), roll.cos()
    turn = torch.stack(
        [
            *(cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp),
            *(sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp),
            *(-sy, cy * sp, cy * cp),
        ],
        -1,
    ).unflatten(-1, (3, 3))
    return frontal_rotation(turn) @ turn


def euler_from_rotation(rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Yaw, pitch and roll of model-to-camera rotations; inverts `rotation_from_euler`.

    Args:
        rotation: (..., 3, 3).

    Returns:
        yaw in [-pi/2, pi/2], pitch and roll in [-pi, pi], each (...). At yaw = ±pi/2 only one combination of
        pitch and roll is defined: pitch is 0 there.

    Raises:
        InputError: wrong dtype or shape.
    """
    check_floating("rotation", rotation)
    check_shape("rotation", rotation, ("...", 3, 3))
    m = frontal_rotation(rotation) @ rotation
    cosine = torch.hypot(m[..., 0, 0], m[..., 1, 0])
    locked = cosine < 8 * torch.finfo(rotation.dtype).eps
    yaw = torch.atan2(-m[..., 2, 0], cosine)
    pitch = torch.where(locked, torch.zeros_like(yaw), torch.atan2(m[..., 2, 1], m[..., 2, 2]))
    roll = torch.where(locked, torch.atan2(-m[..., 0, 1], m[..., 1, 1]), torch.atan2(m[..., 1, 0], m[..., 0, 0]))
    return yaw, pitch, roll
