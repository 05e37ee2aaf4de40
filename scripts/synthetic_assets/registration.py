"""Our head's mesh laid onto ICT-FaceKit's mean face: where each of our skin vertices lies on the scans.

Identity components bring the head near, then the skin is bent onto the surface point by point, held by the landmarks
and the rims of the lids, as smooth as the head itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from head_model.scans import ICT_LANDMARKS, ICT_SKIN, Scans, Surface, rigid, vertex_normals
from head_model.source import Array, Ints
from scipy.sparse import coo_matrix, csr_matrix, diags, identity, kron, vstack
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from pyface3d.evaluate.scan_distance import nearest_on_triangles
from pyface3d.face_models import LinearFaceModel
from pyface3d.face_models.ict import PART_RANGES

_COEFFICIENT_ROUNDS, _BENDING_ROUNDS = 12, 12
_STIFFNESS = np.geomspace(30.0, 0.4, _BENDING_ROUNDS)  # of the bending against 1 for a point's distance to the surface
_MARK_WEIGHT, _RIM_WEIGHT, _TANGENT_WEIGHT = 6.0, 2.0, 0.03
_FAR_MM, _ON_SURFACE_MM = 12.0, 2.5
_SAME_LIP = 0.4
# Nose, eyes and mouth: ICT-FaceKit's jaw points are spaced otherwise, its brow points lie on the brows' upper edge.
_COMMON = np.arange(27, 68)


@dataclass(frozen=True)
class Registration:
    """The head's mesh on the scans' mean.

    Attributes:
        verts: all vertices as they were when the skin was laid on, (V, 3) mm in the scans' frame; only those of the
            skin have their final place.
        fitted: the member of the head's identity space that bending started from, in the same frame, (V, 3).
        matched: vertices of the skin that found their place on the scans, (V,) bool.
        triangles, barycentrics: where that is, (n, 3) each, in the order of ``matched``.
        distance: from the bent skin to the scans' surface, (n,) mm.
    """

    verts: Array
    fitted: Array
    matched: np.ndarray
    triangles: Ints
    barycentrics: Array
    distance: Array

    def of(self, shapes: Array) -> Array:
        """Values (..., U, 3) at the scans' vertices → (..., n, 3) at the matched ones of ours."""
        return np.einsum("...nkc,nk->...nc", shapes[..., self.triangles, :], self.barycentrics)


def register(model: LinearFaceModel, scans: Scans, jaw_open: Array) -> Registration:
    """Lay ``model``'s mesh onto the mean of ``scans``.

    Args:
        jaw_open: the scans' action of that name, (U, 3): closed lips touch, and only this tells one from the other.
    """
    surface = Surface(scans.neutral, scans.faces[(scans.faces < ICT_SKIN).all(axis=1)])
    faces = model.topology.faces.long().numpy()
    skin = model.regions["skin"].numpy()
    skin_faces = faces[skin[faces].all(axis=1)]
    embedding = model.landmarks("ibug68")
    marks = faces[embedding.faces.numpy()], embedding.barycentrics.double().numpy()
    fitted = _fit_coefficients(model, scans, surface, skin, skin_faces, marks)
    verts = fitted.copy()
    smooth = _bending(fitted, skin_faces, skin)
    mark_rows = _embedding_matrix(*marks, len(verts))[_COMMON]
    rim = np.nonzero(skin & model.regions["eye_sockets"].numpy())[0]
    lips = _Lips.of(model, jaw_open)
    rim_of_scans = cKDTree(_socket_rim(scans))
    weight = np.full(len(_COMMON), _MARK_WEIGHT)
    for stiffness in _STIFFNESS:
        point, normal, distance, triangle, barycentrics = _nearest(surface, verts, skin, skin_faces)
        use = skin & (distance < _FAR_MM) & lips.same(triangle, barycentrics)
        rim_target = rim_of_scans.data[rim_of_scans.query(verts[rim])[1]]
        moved = _solve(
            smooth, stiffness, use, point - verts, normal, mark_rows, weight,
            scans.neutral[ICT_LANDMARKS[_COMMON]] - mark_rows @ verts, rim, rim_target - verts[rim], verts - fitted,
        )  # fmt: skip
        verts = verts + moved * skin[:, None]
    point, _, distance, triangle, barycentrics = _nearest(surface, verts, skin, skin_faces)
    matched = skin & (distance < _ON_SURFACE_MM) & lips.same(triangle, barycentrics)
    verts[matched] = point[matched]
    return Registration(verts, fitted, matched, triangle[matched], barycentrics[matched], distance[matched])


@dataclass(frozen=True)
class _Lips:
    """How far vertices go with the jaw, ours (V,) and the scans' (U,), 1 at most; and those of our mouth, (V,) bool."""

    own: Array
    theirs: Array
    mouth: np.ndarray

    @staticmethod
    def of(model: LinearFaceModel, jaw_open: Array) -> _Lips:
        shape = model.expression_basis[model.expression_names.index("jawOpen")].double().numpy()
        own, theirs = (-values[:, 1] / np.abs(values[:, 1]).max() for values in (shape, jaw_open))
        return _Lips(own, theirs, model.regions["mouth"].numpy())

    def same(self, triangles: Ints, barycentrics: Array) -> np.ndarray:
        """Whether vertices lie on the same lip as the places found for them, (V,) bool; True away from the mouth."""
        found = (self.theirs[triangles] * barycentrics).sum(axis=1)
        return ~self.mouth | (np.abs(found - self.own) < _SAME_LIP)


def _fit_coefficients(
    model: LinearFaceModel, scans: Scans, surface: Surface, skin: np.ndarray, faces: Ints, marks: tuple[Ints, Array]
) -> Array:
    """The head of the identity space nearest to the scans' mean, moved rigidly into their frame, (V, 3)."""
    template, basis = (t.double().numpy() for t in (model.template, model.identity_basis))
    rows = _embedding_matrix(*marks, len(template))[_COMMON]
    target = scans.neutral[ICT_LANDMARKS[_COMMON]]
    coefficients = np.zeros(len(basis))
    verts = template
    for iteration in range(_COEFFICIENT_ROUNDS):
        verts = template + np.einsum("i,ivc->vc", coefficients, basis)
        rotation, shift = rigid(rows @ verts, target)
        verts, shapes = verts @ rotation.T + shift, basis @ rotation.T
        design = [np.stack([rows @ shape for shape in shapes]).reshape(len(basis), -1)]
        wanted = [(target - rows @ verts).ravel()]
        if iteration >= 3:
            point, normal, distance, _, _ = _nearest(surface, verts, skin, faces)
            near = skin & (distance < 15.0)
            design.append(0.5 * np.einsum("lnc,nc->ln", shapes[:, near], normal[near]))
            wanted.append(0.5 * ((point - verts)[near] * normal[near]).sum(axis=1))
        a, b = np.concatenate(design, axis=1), np.concatenate(wanted)
        ridge = 16.0 * np.eye(len(basis))
        coefficients = coefficients + np.linalg.solve(a @ a.T + ridge, a @ b - ridge @ coefficients)
    verts = template + np.einsum("i,ivc->vc", coefficients, basis)
    rotation, shift = rigid(rows @ verts, target)
    return verts @ rotation.T + shift


def _nearest(surface: Surface, verts: Array, skin: np.ndarray, faces: Ints) -> tuple[Array, Array, Array, Ints, Array]:
    """For every vertex: point, normal, distance (infinite where there is none), triangle and barycentrics there."""
    found = surface.nearest(verts[skin], vertex_normals(verts, faces)[skin])
    corners = surface.verts[found.triangle]
    point = nearest_on_triangles(verts[skin], corners)
    barycentrics = _barycentrics(point, corners)
    count = len(verts)
    distance = np.linalg.norm(point - verts[skin], axis=1)
    distance[~np.isfinite(found.distance)] = np.inf
    result = np.zeros((count, 3)), np.zeros((count, 3)), np.full(count, np.inf), np.zeros((count, 3), int)
    for array, value in zip(result, (point, found.normal, distance, found.triangle), strict=True):
        array[skin] = value
    full = np.zeros((count, 3))
    full[skin] = barycentrics
    return *result, full


def _barycentrics(points: Array, corners: Array) -> Array:
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)
    inner = np.linalg.pinv(edges) @ (points - corners[:, 0])[:, :, None]
    weights = np.concatenate([1.0 - inner.sum(axis=1), inner[:, :, 0]], axis=1).clip(0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _solve(
    smooth: csr_matrix, stiffness: float, use: np.ndarray, offset: Array, normal: Array, mark_rows: csr_matrix,
    mark_weight: Array, mark_offset: Array, rim: Ints, rim_offset: Array, bent: Array,
) -> Array:  # fmt: skip
    """One step of the bending: (V, 3). Unknowns are interleaved, x y z of each vertex."""
    count = len(offset)
    eye = identity(3, format="csr")
    rows, values = [], []

    def add(matrix: csr_matrix, value: Array, weight: Array | float) -> None:
        weight = np.full(matrix.shape[0], weight) if np.isscalar(weight) else np.repeat(weight, 3)
        rows.append(diags(weight) @ matrix)
        values.append(weight * value.ravel())

    index = np.nonzero(use)[0]
    entry = (np.repeat(np.arange(len(index)), 3), (3 * index[:, None] + np.arange(3)).ravel())
    rows.append(csr_matrix((normal[index].ravel(), entry), shape=(len(index), 3 * count)))
    values.append((offset * normal)[index].sum(axis=1))
    pick = csr_matrix((np.ones(len(index)), (np.arange(len(index)), index)), shape=(len(index), count))
    add(_spread(pick, eye), offset[index], _TANGENT_WEIGHT)
    add(_spread(mark_rows, eye), mark_offset, mark_weight)
    pick_rim = csr_matrix((np.ones(len(rim)), (np.arange(len(rim)), rim)), shape=(len(rim), count))
    add(_spread(pick_rim, eye), rim_offset, _RIM_WEIGHT)
    add(_spread(smooth, eye), -(smooth @ bent), stiffness)
    add(identity(3 * count, format="csr"), np.zeros(3 * count), 1e-3)
    a, b = vstack(rows).tocsc(), np.concatenate(values)
    return splu((a.T @ a).tocsc()).solve(a.T @ b).reshape(count, 3)


def _spread(matrix: csr_matrix, eye: csr_matrix) -> csr_matrix:
    return kron(matrix, eye, format="csr")


def _bending(verts: Array, faces: Ints, skin: np.ndarray) -> csr_matrix:
    """How much each vertex of the skin leaves the mean of its neighbours, (V, V); zero rows elsewhere."""
    return diags(skin.astype(float)) @ laplacian(faces, len(verts))


def laplacian(faces: Ints, count: int) -> csr_matrix:
    """Vertex less the mean of its neighbours, (V, V)."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0)
    adjacency = coo_matrix((np.ones(len(ends)), ends.T), shape=(count, count)).tocsr()
    degree = np.asarray(adjacency.sum(axis=1))[:, 0]
    return identity(count, format="csr") - diags(1.0 / np.maximum(degree, 1.0)) @ adjacency


def _embedding_matrix(corners: Ints, barycentrics: Array, count: int) -> csr_matrix:
    rows = np.repeat(np.arange(len(corners)), 3)
    return csr_matrix((barycentrics.ravel(), (rows, corners.ravel())), shape=(len(corners), count))


def _socket_rim(scans: Scans) -> Array:
    """Points along the scans' lid margins, where skin and socket meet, eight to an edge."""
    low, high = PART_RANGES["eye_sockets"]
    faces = scans.faces
    in_socket = (faces >= low) & (faces < high)
    joined = faces[in_socket.any(axis=1) & (faces < ICT_SKIN).any(axis=1)]
    rim = np.unique(joined[joined < ICT_SKIN])
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(ends[np.isin(ends, rim).all(axis=1)], axis=1), axis=0)
    steps = np.linspace(0.0, 1.0, 8)[:, None, None]
    a, b = scans.neutral[edges[:, 0]], scans.neutral[edges[:, 1]]
    return (a + steps * (b - a)).reshape(-1, 3)
