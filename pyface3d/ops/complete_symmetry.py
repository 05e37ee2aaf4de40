"""The unseen side of a mesh from its mirror image, sewn to the seen side without a seam."""

import math

import torch
from torch import Tensor

from pyface3d.ops._checks import check_device, check_floating, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.topology import Topology


def complete_symmetry(
    verts: Tensor,
    weights: Tensor,
    mirror: Tensor,
    reference: Tensor,
    topology: Topology,
    *,
    threshold: float = 0.75,
    soft: bool = False,
    mirror_borders: bool = True,
) -> tuple[Tensor, Tensor]:
    """Keeps the vertices that were seen and rebuilds the others in the gradient domain.

    Known are the vertices with ``weights >= threshold``: they are copied to the bit. The hole is every other vertex
    that has an edge. Its surface takes the differences along edges of the mirror image where that is known for both
    ends, of the reference elsewhere, and joins the known vertices around it: for each hole vertex i, over its
    neighbours j,

        (1 + ε) deg(i) x_i − Σ_hole x_j = Σ_known S_j + Σ_all g_ij + ε deg(i) S0_i,        ε = 1e-6
        g_ij = F_i − F_j  or  S0_i − S0_j,      F_i = diag(−1, 1, 1) S_mirror(i)

    with S ``verts`` and S0 ``reference``. ε alone places a part without known vertices: at the reference.

    Args:
        verts: (B, V, 3) in mm, in the model frame, whose symmetry plane is x = 0; float32 or float64, CPU or CUDA.
        weights: how well each vertex was seen, (B, V), in [0, 1], dtype and device of ``verts``.
        mirror: the vertex on the other side, (V,), any integer type; itself on the plane. Only pairs that name each
            other are used; an entry outside [0, V) is a vertex without partner.
        reference: what is expected where nothing was seen, (B, V, 3), (1, V, 3) or (V, 3), dtype of ``verts``.
        topology: F triangles over V vertices.
        threshold: the least weight of a known vertex, above 0.
        soft: pull vertices with 0 < w < threshold, in the hole as they are, towards where they were seen, with weight
            deg(i) w / (threshold − w): none at 0, without bound towards the threshold.
        mirror_borders: take mirrored differences also along the edges from the hole to known vertices, where the
            mirror image of both ends is known: a symmetric face is then continued without a reference difference
            between its halves. False keeps to the reference there, which is the published program's rule.

    Returns:
        The vertices (B, V, 3), dtype and device of ``verts``, and where each is from, (B, V) uint8: 0 prior,
        1 observed, 2 mirrored (in the hole, and its mirror image is known). A vertex without edges is copied if known,
        else it is the reference. All known is the identity; none known gives the reference; both to the bit.

        A vertex that is not finite, or whose weight is not, is not known; a reference coordinate that is not finite
        reads 0. The result is finite.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable in ``verts`` and ``reference``, once, by solving the same system for the gradient; what is known is
    a constant. Works in float64 whatever the type of ``verts``. CPU: sparse Cholesky under an order that the topology
    keeps, same bits for any number of threads. CUDA: conjugate gradients with a multigrid cycle to a relative residual
    of 1e-11, added in a fixed order. Source: Tran et al., "Extreme 3D Face Reconstruction" (CVPR 2018), section 5,
    whose least squares with soft seams became Dirichlet values here.
    """
    check_floating("verts", verts)
    check_shape("verts", verts, ("B", topology.num_verts, 3))
    batch = len(verts)
    check_floating("weights", weights)
    check_shape("weights", weights, (batch, topology.num_verts))
    check_same("weights", weights, "verts", verts)
    check_floating("reference", reference)
    if reference.dim() == 2:
        reference = reference[None]
    images = 1 if reference.dim() == 3 and len(reference) == 1 else batch
    check_shape("reference", reference, (images, topology.num_verts, 3))
    check_same("reference", reference, "verts", verts)
    if not isinstance(mirror, Tensor):
        raise TypeError(f"mirror must be a tensor of integers, got {type(mirror).__name__}")
    if mirror.is_floating_point() or mirror.is_complex() or mirror.dtype == torch.bool:
        raise TypeError(f"mirror must be a tensor of integers, got {mirror.dtype}")
    check_shape("mirror", mirror, (topology.num_verts,))
    if mirror.device != verts.device:
        raise ValueError(f"mirror is on {mirror.device}, but verts is on {verts.device}")
    if not (math.isfinite(threshold) and threshold > 0):
        raise ValueError(f"threshold must be above 0, got {threshold}")
    check_device("verts", verts, topology)
    inputs = (verts, weights, reference.expand(batch, -1, -1), mirror.to(torch.int64))
    tables = (*topology.dissection, topology.hierarchy)
    return _forward(*(t.contiguous() for t in inputs), *tables, float(threshold), soft, mirror_borders)


def _work(verts: Tensor) -> tuple[Tensor, Tensor]:
    """Working memory of the kernels. The CPU leaves the large one alone, and untouched pages cost nothing."""
    states = verts.new_empty(verts.shape[:2], dtype=torch.uint8)
    batch, count = verts.shape[:2]
    size = 21 * count + 10 * (count // 4 + 1)  # numbers an image; csrc/cuda/kernels.h
    return states, verts.new_empty((batch, size), dtype=torch.float64)


@torch.library.custom_op("pyface3d::complete_symmetry", mutates_args=())
def _forward(
    verts: Tensor,
    weights: Tensor,
    reference: Tensor,
    mirror: Tensor,
    offsets: Tensor,
    neighbours: Tensor,
    order: Tensor,
    blocks: Tensor,
    hierarchy: Tensor,
    threshold: float,
    soft: bool,
    mirror_borders: bool,
) -> tuple[Tensor, Tensor]:
    completed = torch.empty_like(verts)
    source = torch.empty_like(weights, dtype=torch.uint8)
    launch(
        "complete_symmetry",
        *(verts, weights, reference, mirror, offsets, neighbours, order, blocks, hierarchy),
        *_work(verts),
        completed,
        source,
        *verts.shape[:2],
        threshold,
        soft,
        mirror_borders,
    )
    return completed, source


@torch.library.custom_op("pyface3d::complete_symmetry_backward", mutates_args=())
def _backward(
    verts: Tensor,
    weights: Tensor,
    reference: Tensor,
    mirror: Tensor,
    offsets: Tensor,
    neighbours: Tensor,
    order: Tensor,
    blocks: Tensor,
    hierarchy: Tensor,
    grad_completed: Tensor,
    threshold: float,
    soft: bool,
    mirror_borders: bool,
) -> tuple[Tensor, Tensor]:
    grad_verts, grad_reference = torch.empty_like(verts), torch.empty_like(verts)
    launch(
        "complete_symmetry_backward",
        *(verts, weights, reference, mirror, offsets, neighbours, order, blocks, hierarchy),
        grad_completed.contiguous(),
        *_work(verts),
        grad_verts,
        grad_reference,
        *verts.shape[:2],
        threshold,
        soft,
        mirror_borders,
    )
    return grad_verts, grad_reference


@_forward.register_fake
def _(verts, weights, *rest):
    return torch.empty_like(verts), torch.empty_like(weights, dtype=torch.uint8)


@_backward.register_fake
def _(verts, *rest):
    return torch.empty_like(verts), torch.empty_like(verts)


def _setup(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:9])
    ctx.options = inputs[9:]
    ctx.mark_non_differentiable(output[1])


def _autograd(ctx, grad, _):
    grad_verts, grad_reference = _backward(*ctx.saved_tensors, grad, *ctx.options)
    return (
        grad_verts if ctx.needs_input_grad[0] else None,
        None,
        grad_reference if ctx.needs_input_grad[2] else None,
        *(None,) * 9,
    )


_forward.register_autograd(_autograd, setup_context=_setup)
