"""People with their skins, wear, light and view as linear pictures: one rasterisation of everything, shaded per pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.weak import WeakIdKeyDictionary

from pyface3d.data.synthetic.shading import cast_shadows, head_occlusion, shade
from pyface3d.ops import Fragments, Topology, bump_normals, interpolate, rasterize, render_texture, vertex_normals

if TYPE_CHECKING:
    from pyface3d.data.synthetic.lights import Lights
    from pyface3d.data.synthetic.people import People
    from pyface3d.data.synthetic.skins import Skins
    from pyface3d.data.synthetic.views import Views
    from pyface3d.data.synthetic.wear import Wear, WearMesh
    from pyface3d.face_models.linear import LinearFaceModel

_SOLID = 0.5  # wear more opaque than this hides what lies behind, below it is seen through
_RELIEF_GAP_MM = 8.0  # neighbouring pixels farther apart are not of one surface


@dataclass(frozen=True, eq=False)
class FacePictures:
    """B rendered people, R × R pixels, before any background.

    Attributes:
        light: linear radiance, (B, R, R, 3); void where ``cover`` is 0.
        cover: 1 where there is a surface, (B, R, R).
        fragments: of the scene, see-through wear left out: what is seen under every pixel.
        topology: of the scene: the head's faces first, then the wear's.
        maps: ``normals`` (B, R, R, 3) camera frame, ``relief`` (B, R, R) mm, ``albedo`` (B, R, R, 3).
    """

    light: Tensor
    cover: Tensor
    fragments: Fragments
    topology: Topology
    maps: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Scene:
    """Head and wear as one mesh: ``topology`` (the head's faces and vertices first), ambient occlusion (V,) of the head."""

    head: Topology
    topology: Topology
    mesh: WearMesh
    occlusion: Tensor


_SCENES: WeakIdKeyDictionary = WeakIdKeyDictionary()


def scene_of(model: LinearFaceModel, mesh: WearMesh) -> Scene:
    """The scene of all synthetic people, made once for a model."""
    if model.template not in _SCENES:
        num_verts = model.topology.num_verts
        faces = torch.cat([model.topology.faces.long(), mesh.faces.to(model.device).long() + num_verts])
        topology = Topology(faces.int(), num_verts + len(mesh.coordinates))
        _SCENES[model.template] = Scene(model.topology, topology, mesh, head_occlusion(model))
    return _SCENES[model.template]


def render_faces(people: People, skins: Skins, wear: Wear, lights: Lights, views: Views, scene: Scene) -> FacePictures:
    """Rasterise and shade B people."""
    size = views.camera.width
    verts = views.verts_camera(torch.cat([people.verts, wear.verts], 1))
    image = views.camera.project(verts)
    num_head = people.verts.shape[1]
    head = rasterize(image[:, :num_head].contiguous(), scene.head, size, size)
    everything = rasterize(image, scene.topology, size, size, cull="none")
    front, opacity, color = _wear_layer(wear, scene, everything)
    solid = front & (opacity > _SOLID)
    seen = _either(solid, everything, head)

    normals = vertex_normals(verts, scene.topology)
    occlusion = torch.cat([scene.occlusion, scene.occlusion.new_ones(wear.verts.shape[1])])
    attributes = torch.cat([verts, normals, occlusion.expand(len(verts), -1)[..., None]], -1)
    values = interpolate(attributes, seen, scene.topology)
    positions, normal, open_share = values[..., :3], functional.normalize(values[..., 3:6], dim=-1), values[..., 6]

    skin = _either(solid, _nothing(everything), seen)
    surface = torch.cat([skins.albedo, skins.relief[..., None], skins.gloss], -1)
    painted = render_texture(surface, skin, scene.head)
    relief = painted[..., 3]
    normal = bump_normals(positions, normal, relief, skin.mask, max_gap_mm=_RELIEF_GAP_MM)
    to_eye = -functional.normalize(positions, dim=-1)
    normal = torch.where((normal * to_eye).sum(-1, keepdim=True) < 0, -normal, normal)

    albedo = torch.where(solid[..., None], color[..., :3], painted[..., :3])
    gloss = torch.where(solid[..., None], color[..., 3:], painted[..., 4:])
    tint = torch.where(front & ~solid, opacity, 0.0)[..., None]
    albedo = albedo * (1 - tint) + color[..., :3] * tint
    shadow = cast_shadows(lights, verts, scene.topology, positions)
    light = shade(lights, normal, to_eye, albedo, gloss, open_share, shadow, skin.mask.to(albedo))
    maps = {"normals": normal, "relief": relief, "albedo": albedo}
    return FacePictures(light, seen.mask.to(albedo), seen, scene.topology, maps)


def _either(first: Tensor, one: Fragments, other: Fragments) -> Fragments:
    """Where ``first`` (B, H, W), ``one``; else ``other``."""
    return Fragments(
        torch.where(first, one.face_index, other.face_index),
        torch.where(first[..., None], one.barycentrics, other.barycentrics),
        torch.where(first, one.depth, other.depth),
    )


def _nothing(like: Fragments) -> Fragments:
    return Fragments(
        torch.full_like(like.face_index, -1), torch.zeros_like(like.barycentrics), torch.zeros_like(like.depth)
    )
