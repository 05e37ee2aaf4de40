"""Blending of maps by their gradients."""

import math
from typing import Literal

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch

_DEFAULT_TOLERANCE = {torch.float32: 1e-8, torch.float64: 1e-14}  # what remains is rounding
_LABEL_TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def blend_gradients(
    target: Tensor,
    donor: Tensor,
    mask: Tensor,
    *,
    donor_valid: Tensor | None = None,
    scale: Tensor | None = None,
    domain: Tensor | None = None,
    border: Literal["fixed", "free"] = "fixed",
    data_weight: float = 0.0,
    feather_px: int = 0,
    tolerance: float | None = None,
) -> Tensor:
    """The map that has the target's gradients outside a mask and a donor's inside (Poisson blending).

    Minimises the sum over the edges (p, q) between neighbouring pixels (four a pixel) of (x_p - x_q - e_pq)^2, plus
    ``data_weight`` times the sum over the pixels outside the mask of (x_p - target_p)^2. An edge takes its gradient
    e_pq from a donor as soon as one of its ends is in the mask, so nothing that the target holds inside the mask is
    used; an edge between two donors' parts takes the mean of both.

    Args:
        target: (B, H, W), float32 or float64, CPU or CUDA; any unit.
        donor: (B, H, W), or (B, D, H, W) for D donors. Only its differences count: a constant added to it does not.
        mask: (B, H, W) bool: True takes the gradients of the (first) donor. Or integers: 0 keeps the target, k takes
            donor k; a number without a donor means gradient 0 (a membrane).
        donor_valid: bool of the shape of ``donor``. An edge of the mask whose ends are not both valid has gradient 0.
        scale: (B,) or (B, D), a factor on the donors' gradients.
        domain: (B, H, W) bool. Solved is inside only; all other pixels keep the target.
        border: "fixed": the outermost pixels of the image keep the target, and they and the pixels just outside the
            domain are what the solution meets (Dirichlet). "free": edges that leave the domain or the image do not
            count (natural border).
        data_weight: the pull to the target, per pixel; it fades changes out over 1 / sqrt(data_weight) pixels.
        feather_px: outside the mask, up to this distance in pixels, gradients go over from the donor's to the
            target's (linearly with the Euclidean distance; where the donor is not valid they are the target's).
        tolerance: the solver stops when the residual has fallen to this fraction of what it was for the first guess
            (target, with the shifted donor in the mask). None: 1e-8 for float32, 1e-14 for float64; the solver works in
            double inside, so what remains is the rounding of the result.

    Returns:
        (B, H, W), dtype and device of ``target``; the target itself, to the bit, where its gradients are all kept.
        A connected part of the domain that nothing ties to a value (free border, no data weight or all in the mask)
        keeps the mean of its target. What is not finite is left out: edges and pulls of such a target pixel do not
        count (the edge has gradient 0, the fixed pixel binds nothing, the mean leaves it out, and is 0 if there is
        nothing else), a donor is not valid there, a pixel that keeps the target keeps it. So NaN never spreads.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``target`` and ``donor``, once, through a solve with the same symmetric system; a gradient that is
    not finite makes those of its image NaN. Repeatable to the bit on both devices. Memory: about 130 bytes a pixel.
    Sources: Perez, Gangnet & Blake 2003; the pull: Bhat et al. 2008.
    """
    check_floating("target", target)
    check_shape("target", target, ("B", "H", "W"))
    check_floating("donor", donor)
    check_same("donor", donor, "target", target)
    single = donor.dim() == 3
    if not single and donor.dim() != 4:
        raise InputError(f"donor must have shape (B, H, W) or (B, D, H, W), got {tuple(donor.shape)}")
    batch, height, width = target.shape
    if height * width >= 2**31:
        raise InputError(f"target must have fewer than 2^31 pixels an image, got {height} x {width}")
    donors = 1 if single else donor.shape[1]
    shape = (batch, height, width) if single else (batch, donors, height, width)
    check_shape("donor", donor, shape)
    _check_flags("mask", mask, target, target.shape, _LABEL_TYPES)
    if donor_valid is not None:
        _check_flags("donor_valid", donor_valid, target, shape)
    if domain is not None:
        _check_flags("domain", domain, target, target.shape)
    if scale is not None:
        check_floating("scale", scale)
        check_same("scale", scale, "target", target)
        if tuple(scale.shape) not in ((batch,), (batch, donors)):
            raise InputError(f"scale must have shape ({batch},) or ({batch}, {donors}), got {tuple(scale.shape)}")
        scale = (scale[:, None] if scale.dim() == 1 else scale).detach().expand(batch, donors).contiguous()
    if border not in ("fixed", "free"):
        raise InputError(f"border must be 'fixed' or 'free', got {border!r}")
    if not (data_weight >= 0 and math.isfinite(data_weight)):
        raise InputError(f"data_weight must be finite and at least 0, got {data_weight}")
    if not (0 <= feather_px <= 4096 and feather_px == int(feather_px)):
        raise InputError(f"feather_px must be a whole number in [0, 4096], got {feather_px}")
    if tolerance is None:
        tolerance = _DEFAULT_TOLERANCE[target.dtype]
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance must lie between 0 and 1, got {tolerance}")
    labels = mask if mask.dtype == torch.int32 else mask.long().clamp(-1, 2**31 - 1).int()
    return _forward(
        target.contiguous(),
        donor.reshape(batch, donors, height, width).contiguous(),
        labels.contiguous(),
        None if donor_valid is None else donor_valid.contiguous(),
        scale,
        None if domain is None else domain.contiguous(),
        border == "free",
        float(data_weight),
        int(feather_px),
        float(tolerance),
    )[0]


def _check_flags(
    name: str, flags: Tensor, target: Tensor, shape: tuple[int, ...], types: tuple[torch.dtype, ...] = (torch.bool,)
) -> None:
    if not isinstance(flags, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(flags).__name__}")
    if flags.dtype not in types:
        wanted = "bool" if types == (torch.bool,) else "bool or integer"
        raise TypeError(f"{name} must be {wanted}, got {flags.dtype}")
    check_shape(name, flags, tuple(shape))
    if flags.device != target.device:
        raise ValueError(f"{name} is on {flags.device}, but target is on {target.device}")


@torch.library.custom_op("pyface3d::blend_gradients", mutates_args=())
def _forward(
    target: Tensor,
    donor: Tensor,
    labels: Tensor,
    donor_valid: Tensor | None,
    scale: Tensor | None,
    domain: Tensor | None,
    free_border: bool,
    data_weight: float,
    feather_px: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """The blended map, and the solver's iterations (B,) int32."""
    blended, iterations = _empty_outputs(target)
    launch(
        "blend_gradients",
        target,
        donor,
        labels,
        donor_valid,
        scale,
        domain,
        blended,
        iterations,
        _workspace(target),
        *donor.shape,
        free_border,
        data_weight,
        feather_px,
        tolerance,
    )
    return blended, iterations


def _workspace(target: Tensor) -> Tensor:
    """Working memory as csrc/cuda/blend_gradients.cu lays it out; untouched on the CPU, where it costs nothing."""
    batch, height, width = target.shape
    finest, grids, pixels = (height + 3) * (width + 2), 0, height * width
    while True:
        grids += (height + 3) * (width + 2)
        if max(height, width) <= 1:
            break
        height, width = (height + 1) // 2, (width + 1) // 2
    doubles = 16 + 8 + 6 * finest + (finest + 1023) // 1024 + 3 * pixels
    return target.new_empty(batch * (8 * doubles + 4 * 7 * grids + 4 * 7 * pixels + finest), dtype=torch.uint8)


def _empty_outputs(target: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(target), target.new_zeros(len(target), dtype=torch.int32)


@torch.library.custom_op("pyface3d::blend_gradients_backward", mutates_args=())
def _backward(
    target: Tensor,
    donor: Tensor,
    labels: Tensor,
    donor_valid: Tensor | None,
    scale: Tensor | None,
    domain: Tensor | None,
    grad: Tensor,
    free_border: bool,
    data_weight: float,
    feather_px: int,
    tolerance: float,
    wants_donor: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of target and donor; an empty tensor in place of the donor's when it is not wanted."""
    grad_target, grad_donor = torch.empty_like(target), _empty_grad_donor(donor, wants_donor)
    launch(
        "blend_gradients_backward",
        target,
        donor,
        labels,
        donor_valid,
        scale,
        domain,
        grad.contiguous(),
        grad_target,
        grad_donor if wants_donor else None,
        _workspace(target),
        *donor.shape,
        free_border,
        data_weight,
        feather_px,
        tolerance,
    )
    return grad_target, grad_donor


def _empty_grad_donor(donor: Tensor, wanted: bool) -> Tensor:
    return torch.empty_like(donor) if wanted else donor.new_empty(0)


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:6])
    ctx.options = inputs[6:]
    ctx.mark_non_differentiable(output[1])


def _autograd(ctx, grad, _):
    wants_target, wants_donor = ctx.needs_input_grad[:2]
    grad_target, grad_donor = _backward(*ctx.saved_tensors, grad, *ctx.options, wants_donor)
    return grad_target if wants_target else None, grad_donor if wants_donor else None, *(None,) * 8


_forward.register_fake(lambda target, *_: _empty_outputs(target))
_backward.register_fake(lambda target, donor, *rest: (torch.empty_like(target), _empty_grad_donor(donor, rest[-1])))
_forward.register_autograd(_autograd, setup_context=_setup_context)
