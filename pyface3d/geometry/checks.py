"""Checks on the tensors that callers hand to `geometry` and `fit`; each raises one readable sentence."""

from torch import Tensor

from pyface3d.errors import InputError


def check_floating(name: str, value: Tensor) -> None:
    """Raise `InputError` unless ``value`` is a floating-point tensor."""
    if not isinstance(value, Tensor):
        raise InputError(f"{name} must be a torch tensor, got {type(value).__name__}; wrap it in torch.as_tensor")
    if not value.is_floating_point():
        raise InputError(f"{name} must be float32 or float64, got {value.dtype}; convert it with .float()")


def check_shape(name: str, value: Tensor, shape: tuple[int | str, ...]) -> None:
    """Raise `InputError` unless ``value`` has ``shape``; a string is any size, "..." any leading axes."""
    wanted = list(shape)
    given = list(value.shape)
    if wanted and wanted[0] == "...":
        wanted = wanted[1:]
        given = given[len(given) - len(wanted) :] if len(given) >= len(wanted) else [-1]
    if len(given) != len(wanted) or any(
        isinstance(size, int) and size != got for size, got in zip(wanted, given, strict=True)
    ):
        text = ", ".join(str(size) for size in shape)
        raise InputError(f"{name} must have shape ({text}), got {tuple(value.shape)}")


def check_finite(name: str, value: Tensor) -> None:
    """Raise `InputError` if ``value`` holds NaN or infinity."""
    finite = value.isfinite()
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise InputError(f"{name} must be finite, got {bad} NaN or infinite values of {value.numel()}")
