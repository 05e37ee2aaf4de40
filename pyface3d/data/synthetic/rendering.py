"""People with skins, wear, light and view as linear pictures: one rasterisation of everything, shaded per pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.dapples import dappled
from pyface3d.data.synthetic.relief import open_share
from pyface3d.data.synthetic.shading import cast_shadows, head_occlusion, shade
from pyface3d.data.synthetic.wear import Part, detail
from pyface3d.ops import (
    Fragments,
    Topology,
    bump_normals,
    interpolate,
    rasterize,
    render_texture,
    sample_texture,
    vertex_normals,
)

if TYPE_CHECKING:
    from pyface3d.data.synthetic.dapples import Dapples
    from pyface3d.data.synthetic.lights import Lights
    from pyface3d.data.synthetic.people import People
    from pyface3d.data.synthetic.skins import Skins
    from pyface3d.data.synthetic.views import Views
    from pyface3d.data.synthetic.wear import Wear, WearMesh
    from pyface3d.face_models.linear import LinearFaceModel

_SOLID = 0.5  # wear more opaque than this hides what lies behind, below it is seen through
RELIEF_GAP_MM = 8.0  # neighbouring pixels farther apart are not of one surface


@dataclass(frozen=True, eq=False)
class FacePictures:
    """B rendered people, R × R pixels, before any background.

    Attributes:
        light: linear radiance, (B, R, R, 3); void where ``cover`` is 0.
        cover: 1 where there is a surface, (B, R, R).
        fragments: of the scene, see-through wear left out: what is seen under every pixel.
        topology: of the scene: the head's faces first, then the wear's.
        glass: where it is seen through a lens, (B, R, R) bool.
        maps: ``normals`` and, without relief, ``smooth_normals`` (B, R, R, 3) camera frame, ``positions`` (B, R, R, 3)
            mm, ``relief`` (B, R, R) mm, ``albedo`` (B, R, R, 3).
    """

    light: Tensor
    cover: Tensor
    fragments: Fragments
    topology: Topology
    glass: Tensor
    maps: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Scene:
    """Head and wear as one mesh, the head's vertices and faces first.

    Attributes:
        head: topology of the head alone, with its chart.
        solid: head and what has no holes; faces of the rest are there, but shrunk to points.
        full: everything; ``part`` (F,) is the `wear.Part` of its faces, -1 for the head's; ``soft`` (F,) is True for
            faces that may be seen through.
        occlusion: share of the surrounding's light that reaches each vertex, (V + W,).
    """

    head: Topology
    solid: Topology
    full: Topology
    part: Tensor
    soft: Tensor
    occlusion: Tensor


def make_scene(model: LinearFaceModel, mesh: WearMesh) -> Scene:
    """The scene of all synthetic people."""
    faces, start = model.topology.faces.long(), model.topology.num_verts
    count = start + mesh.num_verts
    solid = torch.cat([faces, mesh.solid_faces + start]).int()
    full = torch.cat([faces, mesh.faces + start]).int()
    own = torch.arange(len(faces), device=faces.device)
    occlusion = head_occlusion(model)
    return Scene(
        head=model.topology,
        solid=Topology(solid, count),
        full=Topology(full, count),
        part=torch.cat([torch.full_like(own, -1), mesh.part]),
        soft=torch.cat([torch.zeros_like(own, dtype=torch.bool), mesh.soft]),
        occlusion=torch.cat([occlusion, occlusion.new_ones(mesh.num_verts)]),
    )


def render_faces(
    people: People,
    skins: Skins,
    wear: Wear,
    lights: Lights,
    views: Views,
    scene: Scene,
    dapples: Dapples | None = None,
) -> FacePictures:
    """Rasterise and shade B people; ``dapples``: spots in their lamps' light."""
    size = views.camera.width
    verts = views.verts_camera(torch.cat([people.verts, wear.verts], 1))
    image = views.camera.project(verts)
    solid = rasterize(image, scene.solid, size, size, cull="none")
    front = rasterize(image, scene.full, size, size, cull="none")

    garment = torch.cat([wear.color, wear.coordinates], -1)
    garment = torch.cat([garment.new_zeros(*people.verts.shape[:2], 6), garment], 1)
    soft = front.mask & scene.soft[front.face_index.clamp_min(0).long()]
    veil = _worn(wear, scene, front, soft, interpolate(garment, front, scene.full))
    hides = soft & (veil.opacity > _SOLID)
    seen = _either(hides, front, solid)

    normals = vertex_normals(verts, scene.full)
    shared = torch.cat([verts, normals, scene.occlusion.expand(len(verts), -1)[..., None], garment], -1)
    values = interpolate(shared, seen, scene.full)
    positions, normal, exposed = values[..., :3], functional.normalize(values[..., 3:6], dim=-1), values[..., 6]
    part = torch.where(seen.mask, scene.part[seen.face_index.clamp_min(0).long()], -1)
    worn = _worn(wear, scene, seen, part >= 0, values[..., 7:])

    surface = torch.cat([skins.albedo, skins.gloss], -1)
    skin = seen.mask & (part < 0)
    bare = seen._replace(face_index=torch.where(skin, seen.face_index, -1))
    painted = render_texture(surface, bare, scene.head)
    chest = part == Part.SKIN
    below = sample_texture(surface, values[..., 10:12].contiguous())
    painted = torch.where(chest[..., None], below, painted)
    albedo = torch.where(skin[..., None], painted[..., :3], worn.albedo)
    albedo = torch.where(chest[..., None], painted[..., :3] * worn.albedo, albedo)
    gloss = torch.where((skin | chest)[..., None], painted[..., 3:], worn.gloss)
    creased = render_texture(torch.stack([skins.relief, open_share(skins.relief)], -1), bare, scene.head)
    relief = torch.where(skin, creased[..., 0], 0.0)
    in_crease = torch.where(skin, creased[..., 1], 1.0)
    smooth = normal
    normal = bump_normals(positions, smooth, relief, skin, max_gap_mm=RELIEF_GAP_MM)
    to_eye = -functional.normalize(positions, dim=-1)
    normal = torch.where((normal * to_eye).sum(-1, keepdim=True) < 0, -normal, normal)

    tint = torch.where(soft & ~hides, veil.opacity, 0.0)[..., None]
    albedo = albedo * (1 - tint) + veil.albedo * tint
    shadow = cast_shadows(lights, verts, scene.full, positions)
    if dapples is not None:
        shadow = dappled(shadow, lights, positions, dapples)
    # A lamp is as wide as a window at least, and the walls of a groove stand before it as they do before the sky.
    shadow, exposed = shadow * in_crease[..., None], exposed * in_crease
    light = _shaded(lights, seen.mask, normal, to_eye, albedo, gloss, exposed, shadow, (skin | chest).to(albedo))
    maps = {"normals": normal, "relief": relief, "albedo": albedo, "positions": positions, "smooth_normals": smooth}
    glass = seen.mask & soft & ~hides & (scene.part[front.face_index.clamp_min(0).long()] == Part.LENSES)
    return FacePictures(light, seen.mask.to(albedo), seen, scene.full, glass, maps)


def _shaded(lights: Lights, where: Tensor, *values: Tensor) -> Tensor:
    """`shade` at the pixels ``where`` (B, R, R) alone, sample by sample: half as many, and they stay in the cache."""
    light = values[0].new_zeros(*where.shape, 3)
    for b, mask in enumerate(where):
        one = lights[b : b + 1]
        light[b][mask] = shade(one, *(value[b][mask][None, :, None] for value in values))[0, :, 0]
    return light


class _Worn(NamedTuple):
    """What garments look like under every pixel, 0 elsewhere: albedo (B, R, R, 3), opacity (B, R, R), gloss (…, 2)."""

    albedo: Tensor
    opacity: Tensor
    gloss: Tensor


def _worn(wear: Wear, scene: Scene, fragments: Fragments, where: Tensor, values: Tensor) -> _Worn:
    """`wear.detail` at the pixels ``where`` (B, R, R), of garment colours and coordinates (B, R, R, 6) there."""
    sample, row, column = torch.nonzero(where, as_tuple=True)
    part = scene.part[fragments.face_index[sample, row, column].long()]
    at = values[sample, row, column]
    albedo, opacity, gloss = detail(wear, part, at[:, 3:], sample, at[:, :3])
    empty = values.new_zeros(*where.shape, 6)
    empty[sample, row, column] = torch.cat([albedo, opacity[:, None], gloss], -1)
    return _Worn(empty[..., :3], empty[..., 3], empty[..., 4:])


def _either(first: Tensor, one: Fragments, other: Fragments) -> Fragments:
    """Where ``first`` (B, H, W), ``one``; else ``other``."""
    return Fragments(
        torch.where(first, one.face_index, other.face_index),
        torch.where(first[..., None], one.barycentrics, other.barycentrics),
        torch.where(first, one.depth, other.depth),
    )
