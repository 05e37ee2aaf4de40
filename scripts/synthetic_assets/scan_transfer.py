"""ICT-FaceKit's identities and expressions carried onto the head's mesh.

The skin takes over what the scans do where it was laid on them. What hangs on it follows: the lining of sockets and
mouth along the mesh, lashes with the lid they grow on, eyeballs, teeth and tongue as wholes with their counterparts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from head_model.identity import without_rigid
from head_model.mouth import affine_field, affine_offsets
from head_model.scans import Scans, align, rigid
from head_model.source import Array, Ints
from scipy.sparse import diags, identity
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from pyface3d.face_models import LinearFaceModel
from pyface3d.face_models.ict import PART_RANGES

from .registration import Registration, laplacian

_SIDES = ("left", "right")
_LINING_REACH = 0.02  # screening of the lining's harmonic field: how soon what the rim does dies away behind it
_LASH_ROOTS = 3
_NEAREST_SHARE, _SINKING_ROUNDS = 0.1, 20
_CROWN_MM = 11.0  # ICT's teeth have roots: what lies farther from the biting edge is gum


@dataclass(frozen=True)
class Transfer:
    """ICT-FaceKit on our mesh, in our model frame: mean (V, 3), identity (100, V, 3), expression (E, V, 3) mm."""

    mean: Array
    identity: Array
    expression: Array


def transfer(
    model: LinearFaceModel, scans: Scans, actions: dict[str, Array], place: Registration, importance: Array
) -> Transfer:
    """Carry the scans onto our mesh.

    Args:
        actions: ICT-FaceKit's expression shapes by ARKit name, (U, 3) mm each.
        importance: weight of each vertex in what counts as the pose of a head, (V,).

    Actions that the scans lack (``tongueOut``) and the eyeballs' turning are those of our head.
    """
    follow = _Follower(model, scans, place)
    mean = follow.mean()
    own = np.stack([shape.double().numpy() for shape in model.expression_basis])
    own = follow.in_frame_of_scans(own)
    shapes = []
    for name, shape in zip(model.expression_names, own, strict=True):
        shapes.append(follow.offsets(actions[name], mean, shape) if name in actions else shape)
    expression = np.stack(shapes)
    people = np.stack([follow.offsets(shape, mean) for shape in scans.identity])

    weights = importance * place.matched
    reference = model.template.double().numpy()
    rotation, _ = rigid(mean, reference, weights)
    mean = align(mean, reference, weights=weights)
    people = without_rigid(people @ rotation.T, mean, np.maximum(weights, 1e-6))
    return Transfer(mean, people, expression @ rotation.T)


class _Follower:
    """How every vertex of our mesh follows the scans' vertices."""

    def __init__(self, model: LinearFaceModel, scans: Scans, place: Registration) -> None:
        self.model, self.scans, self.place = model, scans, place
        self.part = {name: mask.numpy() for name, mask in model.regions.items()}
        self.template = model.template.double().numpy()
        self.rotation, self.shift = rigid(self.template, place.fitted)
        self.faces = model.topology.faces.long().numpy()
        self.known = place.matched
        skin = self.part["skin"]
        self.soft = skin | self.part["eye_sockets"] | self.part["mouth_bag"]
        self.fill_skin = self._filling(skin & ~self.known, self.known, 0.0)
        self.fill_lining = self._filling(self.soft & ~skin, skin, _LINING_REACH)
        self.lash_roots, self.lash_weights = self._lashes()
        self.teeth = self._scan_teeth()

    def in_frame_of_scans(self, offsets: Array) -> Array:
        return offsets @ self.rotation.T

    def mean(self) -> Array:
        """Our mesh in the scans' mean face, (V, 3), scans' frame."""
        base = self.template @ self.rotation.T + self.shift
        offset = np.zeros_like(base)
        skin = self.part["skin"]
        offset[skin] = (self.place.verts - base)[skin]
        offset = self._follow(offset)
        verts = base + offset
        for side in _SIDES:
            eye = self.part[f"{side}_eye"]
            verts[eye] = self._eyeball(base[eye], verts, base, side)
        for jaw in ("upper", "lower"):
            teeth = self.part[f"{jaw}_teeth"]
            moved = self._on_arch(base[teeth], self.teeth[jaw], jaw)
            if jaw == "lower":
                field = affine_field(base[teeth], moved - base[teeth], np.ones(teeth.sum()))
                tongue = self.part["tongue"]
                verts[tongue] = base[tongue] + affine_offsets(field, base[tongue])
            verts[teeth] = moved
        return verts

    def offsets(self, shape: Array, mean: Array, own: Array | None = None) -> Array:
        """Our (V, 3) for the scans' offsets (U, 3).

        Args:
            own: what the action of the same name does to our head, in the scans' frame: the eyeballs turn as there, and
                lining and lashes move as there but for what the skin around them does otherwise. None for an identity.
        """
        offset = np.zeros_like(mean)
        offset[self.known] = self.place.of(shape)
        offset[self.part["skin"] & ~self.known] = self.fill_skin(offset)
        offset = self._follow(offset) if own is None else own + self._follow(offset - own)
        for side in _SIDES:
            eye = self.part[f"{side}_eye"]
            if own is None:
                offset[eye] = _growth(mean[self._lid(side)], offset[self._lid(side)], mean[eye])
            else:
                offset[eye] = own[eye] * (np.ptp(mean[eye][:, 0]) / np.ptp(self.template[eye][:, 0]))
        for jaw, followers in (("upper", ("upper_teeth",)), ("lower", ("lower_teeth", "tongue"))):
            theirs = self.teeth[jaw]
            field = affine_field(self.scans.neutral[theirs], shape[theirs], np.ones(len(theirs)))
            for name in followers:
                offset[self.part[name]] = affine_offsets(field, mean[self.part[name]])
        return offset

    def _follow(self, offset: Array) -> Array:
        """Lining and lashes, from the skin."""
        offset = offset.copy()
        offset[self.soft & ~self.part["skin"]] = self.fill_lining(offset)
        offset[self.part["lashes"]] = (offset[self.lash_roots] * self.lash_weights[..., None]).sum(axis=1)
        return offset

    def _filling(self, unknown: np.ndarray, known: np.ndarray, screening: float):
        """A function that fills ``unknown`` vertices harmonically from the ``known`` ones: (V, 3) → (n, 3)."""
        whole = laplacian(self.faces, len(self.template)) + screening * identity(len(self.template))
        inner = splu(whole[unknown][:, unknown].tocsc() + diags(np.full(unknown.sum(), 1e-9)).tocsc())
        edge = whole[unknown][:, known]
        return lambda offset: -inner.solve(edge @ offset[known]) if unknown.any() else np.zeros((0, 3))

    def _lashes(self) -> tuple[Ints, Array]:
        lids = np.nonzero(self.part["lids"] & self.part["skin"])[0]
        distance, nearest = cKDTree(self.template[lids]).query(self.template[self.part["lashes"]], k=_LASH_ROOTS)
        weights = 1.0 / np.maximum(distance, 0.1) ** 2
        return lids[nearest], weights / weights.sum(axis=1, keepdims=True)

    def _lid(self, side: str) -> np.ndarray:
        return self.part["skin"] & self.part[f"{side}_lids"]

    def _eyeball(self, ball: Array, verts: Array, base: Array, side: str) -> Array:
        """Our eyeball, grown and shifted with the lids, and then as far behind them as it was, (n, 3)."""
        lid = self._lid(side)
        moved = ball + _growth(base[lid], verts[lid] - base[lid], ball)
        wanted = _clearance(base[lid], ball)
        for _ in range(_SINKING_ROUNDS):
            moved[:, 2] -= wanted - _clearance(verts[lid], moved)
        return moved

    def _scan_teeth(self) -> dict[str, Ints]:
        """The scans' teeth of both jaws, told apart by their order: sixteen components each."""
        low, high = PART_RANGES["teeth"]
        teeth = np.arange(low, high)
        faces = self.scans.faces[((self.scans.faces >= low) & (self.scans.faces < high)).all(axis=1)]
        label = _components(faces - low, high - low)
        height = np.array([self.scans.neutral[teeth[label == k], 1].mean() for k in range(label.max() + 1)])
        upper = height > 0.5 * (height.min() + height.max())
        return {"upper": teeth[upper[label]], "lower": teeth[~upper[label]]}

    def _on_arch(self, teeth: Array, theirs: Ints, jaw: str) -> Array:
        """Our row of teeth where the scans' is: same width, incisors as far forward, biting edge as high."""
        down = -1.0 if jaw == "upper" else 1.0  # the side of the biting edge
        scan = self.scans.neutral[theirs]
        crown = scan[down * scan[:, 1] > (down * scan[:, 1]).max() - _CROWN_MM]
        scale = np.array([np.ptp(crown[:, 0]) / np.ptp(teeth[:, 0]), 1.0, 1.0])
        moved = teeth * scale
        moved[:, 0] += 0.5 * (crown[:, 0].max() + crown[:, 0].min() - moved[:, 0].max() - moved[:, 0].min())
        moved[:, 2] += crown[:, 2].max() - moved[:, 2].max()
        front = moved[:, 2] > moved[:, 2].max() - 12.0
        front_crown = crown[:, 2] > crown[:, 2].max() - 12.0
        moved[:, 1] += down * ((down * crown[front_crown, 1]).max() - (down * moved[front, 1]).max())
        return moved


def _growth(points: Array, offsets: Array, at: Array) -> Array:
    """The shift and even growth that come nearest to ``offsets`` of ``points``, at other places: (n, 3)."""
    middle = points.mean(axis=0)
    arm = points - middle
    growth = (arm * (offsets - offsets.mean(axis=0))).sum() / (arm**2).sum()
    return offsets.mean(axis=0) + growth * (at - middle)


def _clearance(lid: Array, ball: Array) -> float:
    """How far the skin of the lids stays above the eyeball where it is nearest, mm."""
    centre = 0.5 * (ball.max(axis=0) + ball.min(axis=0))
    distance = np.linalg.norm(lid - centre, axis=1)
    return float(np.quantile(distance, _NEAREST_SHARE) - 0.5 * np.ptp(ball[:, 0]))


def _components(faces: Ints, count: int) -> Ints:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(3 * len(faces)), (faces.ravel(), np.roll(faces, 1, axis=1).ravel())), (count, count))
    return connected_components(links, directed=False)[1]
