"""Photos of any face model's own faces, with the exact coefficients: for models whose files users have.

People, expressions and colours are drawn from the model alone, so that its coefficients say all there is to see of a
face; light, background, occluders and camera are those of `pyface3d.data.synthetic`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import backgrounds, cameras, views
from pyface3d.data.synthetic.assets import load_assets
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.lights import draw_lights
from pyface3d.data.synthetic.occluders import STAGE as OCCLUSION
from pyface3d.data.synthetic.occluders import draw_occluders
from pyface3d.data.synthetic.shading import shade
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit.priors import has_actions
from pyface3d.ops import interpolate, rasterize, render_texture, vertex_normals
from pyface3d.train.extreme3d.shape import ShapeSamples

_PEOPLE, _LIGHTS = 94, 91  # streams of random numbers
_GLOSS = (0.7, 0.5)  # of skin: strength and roughness of the shine
_ACTIVE = 0.15  # share of facial actions that a face makes
_MOST_SIGMA = 3.0
_CHUNK = 8  # heads rendered together: more do not fit the processor's cache


@dataclass(frozen=True)
class ModelSource:
    """Makes `ModelFaces` where they are used: in this process or in rendering ones.

    Attributes:
        model: name or path, see `load_face_model`.
        assets: packed file of the synthetic engine; None for made-up light, places and things.
        size: side of the crops, px.
        seed, device, occluders: as of `SyntheticFaces`.
    """

    model: str
    assets: str | None
    size: int
    seed: int
    device: str
    occluders: bool = True

    def with_occluders(self, seed: int) -> ModelSource:
        return replace(self, seed=seed, occluders=True)

    def __call__(self) -> ModelFaces:
        return ModelFaces(self)


class ModelFaces:
    """An endless, seeded sequence of photos of a face model: sample i is the same in whatever batch it is asked for."""

    def __init__(self, source: ModelSource) -> None:
        self.source, self.device = source, torch.device(source.device)
        self.model: FaceModel = load_face_model(source.model).to(self.device)
        self.assets = {name: value.to(self.device) for name, value in load_assets(source.assets).items()}
        self._landmarks = self.model.landmarks()

    @torch.no_grad()
    def batch(self, start: int, count: int) -> ShapeSamples:
        """Samples ``start`` to ``start + count - 1``: identity and albedo coefficients of their crops."""
        chunks = [range(first, min(first + _CHUNK, start + count)) for first in range(start, start + count, _CHUNK)]
        return ShapeSamples.joined([self._photographed(list(chunk)) for chunk in chunks])

    def _rngs(self, indices: list[int], stage: int) -> list[np.random.Generator]:
        return [np.random.default_rng([self.source.seed, index, stage]) for index in indices]

    def _photographed(self, indices: list[int]) -> ShapeSamples:
        model, size = self.model, self.source.size
        draws = Draws(self._rngs(indices, _PEOPLE), self.device)
        identity, texture = draws.normal(1.0, model.identity_dim), draws.normal(1.0, model.albedo_dim)
        if has_actions(model.expression_names):
            chosen = draws.chance(_ACTIVE, model.expression_dim)
            expression = draws.random(model.expression_dim) * chosen
        else:
            liveliness = draws.random()[:, None]
            expression = (draws.normal(1.0, model.expression_dim) * liveliness).clamp(-_MOST_SIGMA, _MOST_SIGMA)
        verts = model.vertices(identity, expression)
        points = self._landmarks.points(verts, model.topology)
        seen = views.views_of(self._rngs(indices, views.STAGE), points, size, views.EXTREME3D)
        light, cover = self._rendered(indices, verts, model.albedo(texture), seen)
        behind = backgrounds.draw_backgrounds(
            self.assets, self._rngs(indices, backgrounds.STAGE), 2 * size, self.device, None
        )
        scene = _averaged(light, size) + _averaged(behind, size) * (1 - _averaged(cover, size))
        if self.source.occluders:
            skin = (light * cover).sum((1, 2)) / cover.sum((1, 2)).clamp_min(1.0)
            pixels = seen.image(points)[..., :2] / views.RENDER_SCALE
            rngs = self._rngs(indices, OCCLUSION)
            scene = draw_occluders(self.assets, rngs, pixels, skin, size).over(scene)
        photo = cameras.photograph(self._rngs(indices, cameras.STAGE), scene.permute(0, 3, 1, 2).contiguous())
        known = torch.ones(len(indices), dtype=torch.bool, device=self.device)
        return ShapeSamples((photo * 255 + 0.5).to(torch.uint8), torch.cat([identity, texture], 1), known)

    def _rendered(self, indices: list[int], verts: Tensor, albedo: Tensor, seen: views.Views) -> tuple[Tensor, Tensor]:
        """Linear radiance, 0 off the head, and cover, (B, R, R, 3) and (B, R, R, 1)."""
        topology, pixels = self.model.topology, seen.camera.width
        verts = seen.verts_camera(verts)
        fragments = rasterize(seen.camera.project(verts), topology, pixels, pixels, cull="back")
        shared = [verts, vertex_normals(verts, topology)]
        if self.model.albedo_kind == "vertex":
            shared.append(albedo)
        values = interpolate(torch.cat(shared, -1), fragments, topology)
        painted = values[..., 6:] if len(shared) == 3 else render_texture(albedo, fragments, topology)
        normals = functional.normalize(values[..., 3:6], dim=-1)
        to_eye = -functional.normalize(values[..., :3], dim=-1)
        cover = fragments.mask.to(verts)
        gloss = painted.new_tensor(_GLOSS).expand(*painted.shape[:3], 2)
        lights = draw_lights(self.assets, self._rngs(indices, _LIGHTS), self.device)
        light = shade(lights, normals, to_eye, painted.clamp(0, 1), gloss, cover)
        return torch.where(fragments.mask[..., None], light, 0.0), cover[..., None]


def render_models(sampler: ModelFaces, start: int, count: int) -> ShapeSamples:
    """Samples ``start`` to ``start + count`` of a sampler."""
    return sampler.batch(start, count)


def _averaged(image: Tensor, size: int) -> Tensor:
    """(B, R, R, C) → (B, S, S, C), S = ``size``."""
    return functional.interpolate(image.permute(0, 3, 1, 2), size=(size, size), mode="area").permute(0, 2, 3, 1)
