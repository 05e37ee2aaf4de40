"""Diffuse shading by light in nine spherical-harmonic bands."""

from math import pi, sqrt

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops._checks import check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch

# The kernel's nine polynomials of a normal (x, y, z), in the order of real spherical harmonics (l rising, m = −l..l):
#   1, y, z, x, xy, yz, 3z² − 1, xz, x² − y²
# and what makes them orthonormal on the sphere.
_ORTHONORMAL = (
    sqrt(1 / (4 * pi)),
    *(sqrt(3 / (4 * pi)),) * 3,
    *(sqrt(15 / (4 * pi)),) * 2,
    sqrt(5 / (16 * pi)),
    sqrt(15 / (4 * pi)),
    sqrt(15 / (16 * pi)),
)
_CONDON_SHORTLEY = (1, -1, 1, -1, 1, -1, 1, -1, 1)  # (−1)^m
_DEGREE = (0, 1, 1, 1, 2, 2, 2, 2, 2)


def _factors(lobe: tuple[float, float, float], signs: tuple[int, ...] = (1,) * 9) -> tuple[float, ...]:
    return tuple(lobe[l] * sign * k for l, sign, k in zip(_DEGREE, signs, _ORTHONORMAL))


# name -> (the band of the light that goes with each polynomial, its factor)
_L_M_ORDER = tuple(range(9))
CONVENTIONS: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "irradiance": (_L_M_ORDER, _factors((1.0, 2 / 3, 1 / 4))),
    "deng": (_L_M_ORDER, _factors((pi, 2 * pi / sqrt(3), 2 * pi / sqrt(8)), _CONDON_SHORTLEY)),
    "deca": ((0, 2, 3, 1, 4, 6, 8, 5, 7), _factors((1.0, 2 * pi / 3, pi / 4))),
    "focus": (_L_M_ORDER, _factors((1.0, 1.0, 1.0), _CONDON_SHORTLEY)),
}


def shade_spherical_harmonics(
    normals: Tensor, light: Tensor, albedo: Tensor | None = None, convention: str = "irradiance"
) -> Tensor:
    """Colour of a matt surface: ``albedo`` times the light that its normal collects.

    Args:
        normals: unit normals, (B, ..., 3), or (..., 3) with one light; float32 or float64, CPU or CUDA. They are taken
            as they are, not normalised. The frame is the caller's: the light is given in the same one.
        light: one column of nine coefficients per colour, (B, 9, 3), (1, 9, 3) for all images, or (9, 3).
        albedo: reflectance, anything that broadcasts to the shape of ``normals``; 1 where left out.
        convention: the order, signs and factors of the nine bands.

            - "irradiance": radiance coefficients in the orthonormal real basis without the (−1)^m sign, l rising and
              m = −l..l (1, y, z, x, xy, yz, 3z² − 1, xz, x² − y²), through the cosine lobe over π (1, 2/3, 1/4): light
              of radiance 1 from everywhere, √(4π) in band 0, shades 1. Source: Ramamoorthi and Hanrahan, "An efficient
              representation for irradiance environment maps", SIGGRAPH 2001.
            - "deng": the same order with the sign (−1)^m and the lobe (π, 2π/√3, 2π/√8); Deep3DFaceRecon and the
              occlusion-robust system. Their constant 0.8 on band 0 is the caller's to add.
            - "deca": order 1, x, y, z, xy, xz, yz, x² − y², 3z² − 1; lobe (1, 2π/3, π/4); temporal DECA.
            - "focus": l, m order with the sign (−1)^m and no lobe.

    Returns:
        The shape, dtype and device of ``normals``; not clamped. A zero normal has the value of the polynomials at 0
        (mask the background); NaN stays NaN.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``normals`` (as free vectors), ``light`` and ``albedo``, once. Repeatable to the bit on the CPU;
    on CUDA the light's gradient is summed in no fixed order.
    """
    check_floating("normals", normals)
    check_floating("light", light)
    check_same("light", light, "normals", normals)
    if normals.dim() == 0 or normals.shape[-1] != 3:
        raise InputError(f"normals must have shape (..., 3), got {tuple(normals.shape)}")
    if convention not in CONVENTIONS:
        raise InputError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
    if light.dim() == 2:
        light = light[None]
    check_shape("light", light, ("B", 9, 3))
    shared = len(light) == 1
    if not shared and (normals.dim() < 2 or len(light) != len(normals)):
        raise InputError(
            f"light must hold one image's coefficients or as many as normals {tuple(normals.shape)} has images, "
            f"got {len(light)}"
        )
    if albedo is not None:
        check_floating("albedo", albedo)
        check_same("albedo", albedo, "normals", normals)
        try:
            albedo = albedo.broadcast_to(normals.shape)
        except RuntimeError:
            raise InputError(
                f"albedo must broadcast to the shape of normals {tuple(normals.shape)}, got {tuple(albedo.shape)}"
            ) from None
    order, factors = CONVENTIONS[convention]
    bands = light[:, list(order)] * light.new_tensor(factors)[:, None]
    images = 1 if shared else len(light)
    rows = (images, normals.numel() // (3 * images) if images else 0, 3)
    shaded = _forward(
        normals.contiguous().reshape(rows),
        bands.contiguous(),
        None if albedo is None else albedo.contiguous().reshape(rows),
    )
    return shaded.reshape(normals.shape)


@torch.library.custom_op("pyface3d::shade_spherical_harmonics", mutates_args=())
def _forward(normals: Tensor, light: Tensor, albedo: Tensor | None) -> Tensor:
    shaded = torch.empty_like(normals)
    launch("shade_spherical_harmonics", normals, light, albedo, shaded, *normals.shape[:2])
    return shaded


@torch.library.custom_op("pyface3d::shade_spherical_harmonics_backward", mutates_args=())
def _backward(
    normals: Tensor, light: Tensor, albedo: Tensor | None, grad: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of normals, light and albedo; an empty tensor for each that is not wanted."""
    grads = _backward_fake(normals, light, albedo, grad, wanted)
    gradients = [g if want else None for g, want in zip(grads, wanted)]
    launch(
        "shade_spherical_harmonics_backward",
        normals,
        light,
        albedo,
        grad.contiguous(),
        *gradients,
        *normals.shape[:2],
        sums=(gradients[1],),
    )
    return grads


def _backward_fake(
    normals: Tensor, light: Tensor, albedo: Tensor | None, grad: Tensor, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    of_normals, of_light, of_albedo = (
        torch.empty_like(like) if want else normals.new_empty(0)
        for like, want in zip((normals, light, normals), wanted)
    )
    return of_normals, of_light, of_albedo


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _autograd(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad)
    grads = _backward(*ctx.saved_tensors, grad, wanted)
    return tuple(g if want else None for g, want in zip(grads, wanted))


_forward.register_fake(lambda normals, light, albedo: torch.empty_like(normals))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
