"""antialias with tensor operations alone: all pairs of pixels step over the mesh together; autograd does the rest."""

import torch
from torch import Tensor

from pyface3d.ops import Fragments, Topology


def torch_antialias(image: Tensor, fragments: Fragments, verts_image: Tensor, topology: Topology) -> Tensor:
    """Same contract as ``pyface3d.ops.antialias``, for vertices in front of the camera."""
    mixed = image
    for axis in (0, 1):
        receiver, giver, share = _shares(axis, fragments, verts_image, topology)
        mixed = mixed.index_put(receiver, share[:, None] * (image[giver] - mixed[receiver]), accumulate=True)
    return mixed


_Pixels = tuple[Tensor, Tensor, Tensor]


def _shares(
    axis: int, fragments: Fragments, verts_image: Tensor, topology: Topology
) -> tuple[_Pixels, _Pixels, Tensor]:
    """Pixels that receive, pixels they receive from, and how much; axis 0 for neighbours side by side."""
    index, depth = fragments.face_index, fragments.depth
    size = index.shape[2 - axis] - 1
    first, second = (index.narrow(2 - axis, start, size) for start in (0, 1))
    b, y, x = torch.nonzero(first != second, as_tuple=True)
    pixels = (b, y, x), (b, y + axis, x + 1 - axis)
    faces, depths = ([values[p] for p in pixels] for values in (index, depth))
    by_first = (faces[1] < 0) | ((faces[0] >= 0) & (depths[0] <= depths[1]))
    corner = torch.full_like(b, -1)
    from_first = by_first.clone()
    open_pairs = torch.arange(len(b))
    for turn in (0, 1):
        starts_first = by_first[open_pairs] ^ bool(turn)
        own, other = (torch.where(starts_first == flag, faces[0][open_pairs], faces[1][open_pairs]) for flag in (1, 0))
        shown = own >= 0
        open_pairs, starts_first, own, other = (t[shown] for t in (open_pairs, starts_first, own, other))
        where = [torch.where(starts_first, p[open_pairs], q[open_pairs]) for p, q in zip(*pixels)]
        found = _follow(axis, where, starts_first, own, other, verts_image.detach(), topology)
        corner[open_pairs] = torch.where(found >= 0, found, -1)
        from_first[open_pairs] = starts_first
        open_pairs = open_pairs[found == -1]
    kept = corner >= 0
    corner, from_first = corner[kept], from_first[kept]
    pairs = tuple(tuple(i[kept] for i in p) for p in pixels)
    own, other = (tuple(torch.where(from_first == flag, p, q) for p, q in zip(*pairs)) for flag in (True, False))
    ends = [topology.faces.reshape(-1)[corner - corner % 3 + (corner + k) % 3].long() for k in (1, 2)]
    a, c = (_along(axis, own, from_first, verts_image, vertex) for vertex in ends)
    share = (a[0] * c[1] - c[0] * a[1]) / (c[1] - a[1]) - 0.5
    outwards = share >= 0
    receiver = tuple(torch.where(outwards, q, p) for p, q in zip(own, other))
    giver = tuple(torch.where(outwards, p, q) for p, q in zip(own, other))
    return receiver, giver, share.abs()  # type: ignore[return-value]


def _along(axis: int, pixel: tuple[Tensor, ...], forward: Tensor, verts_image: Tensor, vertex: Tensor) -> list[Tensor]:
    """Of a vertex, u from the middle of the pixel towards its neighbour and v across."""
    b, y, x = pixel
    point = verts_image[b, vertex]
    offset = (point[..., 0] - x - 0.5, point[..., 1] - y - 0.5)
    return [torch.where(forward, offset[axis], -offset[axis]), offset[1 - axis]]


def _follow(
    axis: int,
    pixel: list[Tensor],
    forward: Tensor,
    face: Tensor,
    other: Tensor,
    verts_image: Tensor,
    topology: Topology,
) -> Tensor:
    """The corner that faces the edge where each surface ends; −1 where it goes on, −2 where there is nothing to mix."""
    corners, opposite = topology.faces.reshape(-1).long(), topology.opposite_corners.reshape(-1).long()
    result = torch.full_like(face, -1, dtype=torch.long)
    alive = torch.arange(len(face))
    base = 3 * face.long()[:, None] + torch.arange(3)  # corners that an exit may lie across from
    entered = torch.full_like(alive, -1)
    while len(alive):
        here = tuple(p[alive, None].expand(-1, 3) for p in pixel)
        way = forward[alive, None].expand(-1, 3)
        begin, end = (_along(axis, here, way, verts_image, corners[base - base % 3 + (base + k) % 3]) for k in (1, 2))
        crossed = ((begin[1] > 0) != (end[1] > 0)) & (base != entered[:, None])
        at = torch.where(crossed, (begin[0] * end[1] - end[0] * begin[1]) / (end[1] - begin[1]), -torch.inf)
        u, k = at.max(1)
        corner = base.gather(1, k[:, None])[:, 0]
        across = opposite[corner]
        third, own_third = corners[across.clamp(min=0)], corners[corner]
        p, q = (verts_image[pixel[0][alive], corners[corner - corner % 3 + (corner + j) % 3]] for j in (1, 2))
        beyond = _side(p, q, verts_image[pixel[0][alive], third]) * _side(p, q, verts_image[pixel[0][alive], own_third])
        ends = (across < 0) | (beyond >= 0)
        steep = (p[:, 1] - q[:, 1]).abs() >= (p[:, 0] - q[:, 0]).abs()
        reached = u <= 1
        result[alive[reached & ends]] = torch.where(steep == (axis == 0), corner, -2)[reached & ends]
        result[alive[reached & ~ends & (across // 3 == other[alive])]] = -2
        on = reached & ~ends & (across // 3 != other[alive])
        alive, entered = alive[on], across[on]
        base = (entered - entered % 3)[:, None] + torch.arange(3)
    return result


def _side(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    return torch.sign((q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0]))
