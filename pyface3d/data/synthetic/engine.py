"""Synthetic photos of faces with exact labels: every stage drawn from the sample's own random numbers, then rendered.

People, their skins, what they wear, light and view are drawn; head and wear are rasterised together at twice the
crop's resolution, shaded in linear RGB, put before a background, averaged down, covered by occluders and photographed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import backgrounds, cameras, negatives, occluders, people, views
from pyface3d.data.synthetic.assets import load_assets, model_of
from pyface3d.data.synthetic.labels import labels
from pyface3d.data.synthetic.lights import Lights, draw_lights
from pyface3d.data.synthetic.rendering import FacePictures, Scene, make_scene, render_faces
from pyface3d.data.synthetic.skins import Skins, draw_skins
from pyface3d.data.synthetic.wear import draw_wear, wear_mesh

_STAGE, _LIGHTS, _SKINS, _WEAR = 90, 91, 92, 93  # streams of random numbers, beside those the stages name themselves
_COMPANY, _NUM_COMPANY = 10**9, 32  # people in the background are other samples, so far away in the sequence
_HIDDEN = 0.5  # an occluder that covers more of a pixel than this hides what lies there
_LABELS = (
    "points68",
    "points68_3d",
    "dense",
    "visible68",
    "visible_dense",
    "rotation",
    "identity",
    "expression",
    "coefficients_known",
)


@dataclass(frozen=True)
class FaceBatch:
    """B synthetic photos, crops of S × S pixels whose first pixel's middle is (0.5, 0.5), and what they show.

    Attributes:
        image: sRGB, (B, 3, S, S) uint8.
        is_face: False where the crop holds no face to be found; all labels below are void there, (B,) bool.
        points68: the iBUG points as annotators set them (the jaw where the face ends), px, (B, 68, 2).
        points68_3d: the same points fixed on the face, px and depth mm, (B, 68, 3).
        dense: the dense points of `face_models.dense_points`, px, (B, 320, 2).
        visible68, visible_dense: inside the frame, in front of everything, not occluded, (B, 68) and (B, 320) bool.
        rotation: model frame to camera frame as seen along the ray through the crop's middle, (B, 3, 3).
        identity, expression: coefficients of `head`, (B, 70) and (B, 52); for people of other models the nearest.
        coefficients_known: False where ``identity`` is only the nearest, (B,) bool.
        maps: on request, in the crop's resolution: ``depth`` mm (B, S, S), ``normals`` camera frame (B, S, S, 3),
            ``relief`` mm, ``parts`` (label map of `rendering.PARTS`), ``occluder`` bool, ``albedo`` and ``light``
            linear RGB.
    """

    image: Tensor
    is_face: Tensor
    points68: Tensor
    points68_3d: Tensor
    dense: Tensor
    visible68: Tensor
    visible_dense: Tensor
    rotation: Tensor
    identity: Tensor
    expression: Tensor
    coefficients_known: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)


class SyntheticFaces:
    """An endless, seeded sequence of synthetic photos: sample i is the same in whatever batch it is asked for.

    Args:
        assets: what `load_assets` returns, or the path of a packed file; None uses the embedded head and procedural
            content only.
        size: side of the crops S, px.
        seed: of the whole sequence.
        device: where everything is computed.
        occluders: False leaves faces uncovered (hair and glasses stay), for ablation.
        negatives: share of crops without a face.
        company: share of pictures with another person behind.

    Raises:
        AssetError: the packed file cannot be used.
    """

    def __init__(
        self,
        assets: Mapping[str, Tensor] | str | None = None,
        size: int = 128,
        seed: int = 0,
        device: str | torch.device = "cpu",
        *,
        occluders: bool = True,
        negatives: float = 0.08,
        company: float = 0.06,
    ) -> None:
        loaded = assets if isinstance(assets, Mapping) else load_assets(assets)
        self.device = torch.device(device)
        self.assets = {name: value.to(self.device) for name, value in loaded.items()}
        self.model = model_of(self.assets)
        self.size, self.seed = size, seed
        self._occluders, self._negatives, self._company = occluders, negatives, company

    def batch(self, start: int, count: int, maps: Sequence[str] = ()) -> FaceBatch:
        """Samples ``start`` to ``start + count - 1`` of the sequence."""
        indices = list(range(start, start + count))
        with torch.no_grad():
            return self._batch(indices, maps)

    def _rngs(self, indices: list[int], stage: int) -> list[np.random.Generator]:
        return [np.random.default_rng([self.seed, index, stage]) for index in indices]

    def _batch(self, indices: list[int], maps: Sequence[str]) -> FaceBatch:
        drawn = torch.tensor([rng.random() >= self._negatives for rng in self._rngs(indices, _STAGE)])
        is_face = drawn.to(self.device)
        faces = [index for index, wanted in zip(indices, drawn.tolist()) if wanted]
        others = [index for index, wanted in zip(indices, drawn.tolist()) if not wanted]
        image = torch.zeros(len(indices), 3, self.size, self.size, dtype=torch.uint8, device=self.device)
        shot = self._photos(faces, maps) if faces else self._photos([indices[0]], maps)
        if faces:
            image[is_face] = shot.image
        if others:
            image[~is_face] = self._empty(others)
        rows = torch.zeros(len(indices), dtype=torch.int64, device=self.device)
        rows[is_face] = torch.arange(len(faces), device=self.device)

        def spread(value: Tensor) -> Tensor:
            filled = value[rows]
            filled[~is_face] = 0
            return filled

        labels = {name: spread(getattr(shot, name)) for name in _LABELS}
        return FaceBatch(
            image=image,
            is_face=is_face,
            maps={name: spread(value) for name, value in shot.maps.items()},
            **labels,
        )

    def _render(self, indices: list[int]) -> tuple[People, Views, Skins, Lights, FacePictures]:
        def rngs(stage: int) -> list[np.random.Generator]:
            return self._rngs(indices, stage)

        people = draw_people(self.assets, rngs(people_stage), self.device)
        views = draw_views(rngs(view_stage), people, self.size)
        skins = draw_skins(self.assets, rngs(skin_stage), people, self.device)
        lights = draw_lights(self.assets, rngs(light_stage), self.device)
        wear = draw_wear(self.assets, rngs(wear_stage), people)
        return people, views, skins, lights, render_faces(people, skins, wear, lights, views, self.scene)

    @cached_property
    def _pool(self) -> Tensor | None:
        """Other people for backgrounds and occluders: linear RGB and cover, (N, 4, h, w)."""
        if not self._company:
            return None
        pictures = self._render([_COMPANY + i for i in range(_NUM_COMPANY)])[-1]
        return _layer(pictures, self.size).permute(0, 3, 1, 2).contiguous()

    def _photos(self, indices: list[int], maps: Sequence[str]) -> FaceBatch:
        people, views, skins, lights, pictures = self._render(indices)
        layer = _layer(pictures, self.size)
        background = draw_backgrounds(
            self.assets, self._rngs(indices, background_stage), SUPERSAMPLING * self.size, self.device, self._pool
        )
        background = _halved(background)
        cover = layer[..., 3:]
        scene = layer[..., :3] * cover + background * (1 - cover)
        marks = labels(people, views, pictures.fragments, pictures.topology)
        covered = scene.new_zeros(scene.shape[:3])
        if self._occluders:
            lit = skins.tone * (lights.exposure[:, None] * _lit(layer, marks.points68, skins.tone))
            occlusion = draw_occluders(
                self.assets, self._rngs(indices, occluder_stage), marks.points68, lit, self.size, self._pool
            )
            scene, covered = occlusion.over(scene), occlusion.cover
        photo = photograph(self._rngs(indices, camera_stage), scene.permute(0, 3, 1, 2).contiguous())
        return FaceBatch(
            image=_bytes(photo),
            is_face=torch.ones(len(indices), dtype=torch.bool, device=self.device),
            points68=marks.points68,
            points68_3d=marks.points68_3d,
            dense=marks.dense,
            visible68=marks.visible68 & _uncovered(covered, marks.points68),
            visible_dense=marks.visible_dense & _uncovered(covered, marks.dense),
            rotation=views.seen,
            identity=people.identity,
            expression=people.expression,
            coefficients_known=people.source == HEAD,
            maps=_maps(maps, pictures, people, covered, self.size),
        )

    def _empty(self, indices: list[int]) -> Tensor:
        scene = negatives(self.assets, self._rngs(indices, negative_stage), self.size, self.device, self._pool)
        return _bytes(photograph(self._rngs(indices, camera_stage), scene))
