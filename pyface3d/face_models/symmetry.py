"""The vertex on the other side of a face, found from the geometry of a symmetric mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def find_mirror(verts: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """Pair the vertices of a mesh that is symmetric about x = 0, up to small sculpting errors.

    Connected components are paired first (parts such as lashes lie within each other), then vertices within a pair:
    nearest where that is mutual, greedily by distance for the few that are left.

    Returns:
        (V,) int64, its own inverse.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    count = len(verts)
    side = (np.ones(3 * len(faces)), (faces.ravel(), np.roll(faces, 1, axis=1).ravel()))
    _, label = connected_components(coo_matrix(side, shape=(count, count)), directed=False)
    order = np.argsort(label, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(label))[:-1])
    flipped = verts * [-1.0, 1.0, 1.0]
    mirror = np.arange(count)
    for own, other in _component_pairs(members, verts, flipped):
        nearest = other[cKDTree(verts[other]).query(flipped[own])[1]]
        back = own[cKDTree(verts[own]).query(flipped[nearest])[1]]
        mutual = back == own
        mirror[own[mutual]], mirror[nearest[mutual]] = nearest[mutual], own[mutual]
        _pair_rest(mirror, own[~mutual], np.setdiff1d(other, nearest[mutual]), verts, flipped)
    return mirror


def _component_pairs(
    members: list[NDArray[np.int64]], verts: NDArray[np.floating], flipped: NDArray[np.floating]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from scipy.spatial import cKDTree

    pairs = []
    free = list(range(len(members)))
    while free:
        own = members[free[0]]
        rivals = [k for k in free if len(members[k]) == len(own)]
        distance = [cKDTree(verts[members[k]]).query(flipped[own])[0].mean() for k in rivals]
        partner = rivals[int(np.argmin(distance))]
        pairs.append((own, members[partner]))
        free = [k for k in free if k not in (free[0], partner)]
    return pairs


def _pair_rest(
    mirror: NDArray[np.int64],
    own: NDArray[np.int64],
    other: NDArray[np.int64],
    verts: NDArray[np.floating],
    flipped: NDArray[np.floating],
) -> None:
    if not len(own) or not len(other):
        return
    distance = np.linalg.norm(flipped[own][:, None] - verts[other], axis=2)
    taken: set[int] = set()
    for flat in distance.argsort(axis=None):
        a, b = own[flat // len(other)], other[flat % len(other)]
        if int(a) not in taken and int(b) not in taken:
            mirror[a], mirror[b] = b, a
            taken |= {int(a), int(b)}


def mutual_mirror(verts: NDArray[np.floating]) -> NDArray[np.int64]:
    """Pair the vertices of a mesh whose triangles are not symmetric: nearest across x = 0 where that is mutual.

    Args:
        verts: (V, 3), x = 0 the plane of symmetry.

    Returns:
        (V,) int64, its own inverse; a vertex without a mutual partner is paired with itself.
    """
    from scipy.spatial import cKDTree

    own = np.arange(len(verts))
    if not len(verts):
        return own
    nearest = cKDTree(verts).query(verts * [-1.0, 1.0, 1.0])[1].astype(np.int64)
    return np.where(nearest[nearest] == own, nearest, own)


def symmetric_partners(
    verts: NDArray[np.floating], mirror: NDArray[np.integer], tolerance_mm: float = 2.0
) -> NDArray[np.int64]:
    """``mirror`` without the pairs that do not lie opposite each other.

    Args:
        verts: the mean face, (V, 3) mm, x = 0 the plane of symmetry.
        mirror: a partner for every vertex, (V,).
        tolerance_mm: how far a vertex may lie from the mirror image of its partner.

    Returns:
        (V,) int64; −1 for a vertex without a partner, which tells nothing about the other side.
    """
    partner = np.asarray(mirror, np.int64)
    distance = np.linalg.norm(verts * [-1.0, 1.0, 1.0] - verts[partner], axis=1)
    mutual = partner[partner] == np.arange(len(verts))
    return np.where(mutual & (distance <= tolerance_mm), partner, -1)
