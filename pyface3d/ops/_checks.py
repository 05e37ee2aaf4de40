"""Argument checks of the public ops: TypeError or ValueError that names the argument, what was wanted and what came."""

import torch
from torch import Tensor

from pyface3d.ops.topology import Topology


def check_floating(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, got {tensor.dtype}")


def check_shape(name: str, tensor: Tensor, shape: tuple[int | str, ...]) -> None:
    """``shape`` holds sizes, or letters for sizes that may be anything: ("B", 7, 3)."""
    fits = tensor.dim() == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, tensor.shape)
    )
    if not fits:
        wanted = ", ".join(str(s) for s in shape)
        raise ValueError(f"{name} must have shape ({wanted}), got {tuple(tensor.shape)}")


def check_same(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Same device and dtype, so that nothing is moved or cast without a word."""
    if tensor.device != other.device:
        raise ValueError(f"{name} is on {tensor.device}, but {other_name} is on {other.device}")
    if tensor.dtype != other.dtype:
        raise TypeError(f"{name} is {tensor.dtype}, but {other_name} is {other.dtype}")


def check_device(name: str, tensor: Tensor, topology: Topology) -> None:
    """The topology's tensors are where ``tensor`` is."""
    if tensor.device != topology.device:
        raise ValueError(
            f"{name} is on {tensor.device}, but topology is on {topology.device}; "
            f"use topology.to({str(tensor.device)!r})"
        )


def check_mask(name: str, mask: Tensor, shape: tuple[int | str, ...], other_name: str, other: Tensor) -> None:
    """bool, of the shape, where ``other`` is."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(mask).__name__}")
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be bool, got {mask.dtype}")
    check_shape(name, mask, shape)
    if mask.device != other.device:
        raise ValueError(f"{name} is on {mask.device}, but {other_name} is on {other.device}")
