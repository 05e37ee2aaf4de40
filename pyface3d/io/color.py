"""sRGB transfer function and its inverse, for numpy arrays and torch tensors.

Source: IEC 61966-2-1. The two branches meet at 0.04045 (encoded) and 0.0031308 (linear); the standard's rounded
constants leave a step of less than 1e-7 there, which is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    Array = TypeVar("Array", np.ndarray[Any, Any], Tensor)
else:
    Array = TypeVar("Array")


def srgb_to_linear(srgb: Array) -> Array:
    """Decode sRGB values to linear light.

    Args:
        srgb: any shape; ``uint8`` in 0…255 (numpy only gives float32 back, as does torch), or floating in [0, 1].
            Values below 0 follow the straight branch and values above 1 the power branch.

    Returns:
        The same shape and kind (numpy or torch, device kept); float32 for ``uint8`` input, else the input's dtype.

    Raises:
        TypeError: the dtype is neither ``uint8`` nor floating.

    Differentiable for torch tensors.
    """
    if isinstance(srgb, np.ndarray):
        value = _floating_array(srgb)
        curve = ((np.maximum(value, 0.04045) + 0.055) / 1.055) ** 2.4
        return np.where(value <= 0.04045, value / 12.92, curve).astype(value.dtype, copy=False)
    import torch

    tensor = _floating_tensor(srgb)
    # The clamp keeps the power's gradient finite on the branch that is not taken.
    power = ((tensor.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(tensor <= 0.04045, tensor / 12.92, power)


def linear_to_srgb(linear: Array) -> Array:
    """Encode linear light as sRGB values.

    Args:
        linear: any shape, floating, linear RGB in [0, 1] (values outside are encoded, not clipped: clip before
            writing a file).

    Returns:
        The same shape, kind and dtype, sRGB in [0, 1].

    Raises:
        TypeError: the dtype is not floating.

    Differentiable for torch tensors.
    """
    if isinstance(linear, np.ndarray):
        if not np.issubdtype(linear.dtype, np.floating):
            raise TypeError(f"linear must be floating, got {linear.dtype}")
        curve = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
        return np.where(linear <= 0.0031308, linear * 12.92, curve).astype(linear.dtype, copy=False)
    import torch

    tensor = linear
    if not tensor.is_floating_point():
        raise TypeError(f"linear must be floating, got {tensor.dtype}")
    power = 1.055 * tensor.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(tensor <= 0.0031308, tensor * 12.92, power)


def _floating_array(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if value.dtype == np.uint8:
        return value.astype(np.float32) / np.float32(255)
    if np.issubdtype(value.dtype, np.floating):
        return value
    raise TypeError(f"srgb must be uint8 or floating, got {value.dtype}")


def _floating_tensor(value: Tensor) -> Tensor:
    import torch

    if value.dtype == torch.uint8:
        return value.to(torch.float32) / 255
    if value.is_floating_point():
        return value
    raise TypeError(f"srgb must be uint8 or floating, got {value.dtype}")
