"""Synthetic photos of faces with exact labels: every stage drawn from the sample's own random numbers, then rendered.

People, their skins, what they wear, light and view are drawn; head and wear are rasterised together at twice the
crop's resolution, shaded in linear RGB, put before a background, averaged down, covered by occluders and photographed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import backgrounds, cameras, hard_cases, negatives, people, views
from pyface3d.data.synthetic.assets import load_assets, model_of
from pyface3d.data.synthetic.dapples import draw_dapples
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.labels import labels
from pyface3d.data.synthetic.lights import draw_lights
from pyface3d.data.synthetic.objects import COMPANY_SCALE
from pyface3d.data.synthetic.occluders import STAGE as OCCLUSION
from pyface3d.data.synthetic.occluders import draw_occluders
from pyface3d.data.synthetic.portraits import STAGE as REFRAMING
from pyface3d.data.synthetic.portraits import FaceLabels, Portraits, framed_anew
from pyface3d.data.synthetic.rendering import FacePictures, Scene, make_scene, render_faces
from pyface3d.data.synthetic.segments import segments
from pyface3d.data.synthetic.skins import Skins, draw_skins
from pyface3d.data.synthetic.wear import Part, draw_wear, wear_mesh
from pyface3d.errors import InputError
from pyface3d.part_labels import VISIBLE_FACE, FacePart

_CHUNK = 8  # people rendered together: more do not fit the processor's cache
_BLOCK = 64  # people between two photos of the same person
_STAGE, _LIGHTS, _SKINS, _WEAR, _SPOTS = (
    90,
    91,
    92,
    93,
    95,
)  # streams of random numbers, beside those the stages name themselves
_COMPANY, _NUM_COMPANY = 10**9, 32  # people in the background are other samples, so far away in the sequence
_HIDDEN = 0.5  # an occluder that covers more of a pixel than this hides what lies there
PART_NAMES = (
    *("nothing", "skin", "ears", "brows", "lips", "nose", "left_eye", "right_eye", "lashes"),
    *("mouth_bag", "upper_teeth", "lower_teeth", "tongue", "eye_sockets"),
    *(f"wear: {part.name.lower()}" for part in Part),
)
"""Labels of the map ``parts`` by number."""

_WORN = len(PART_NAMES) - len(Part)
_OF_ANY_SHOT = ("segments", "face", "relief", "occluder")
_MAPS = ("depth", "normals", "parts", "albedo", "light", "axial_relief", *_OF_ANY_SHOT)
_FACE_AND_GLASSES = (*VISIBLE_FACE, FacePart.GLASSES)
_STEEPEST_COS = 0.25  # of skin seen along itself, whose relief along the axis is without bounds


@dataclass(frozen=True, eq=False)
class FaceBatch(FaceLabels):
    """B synthetic photos and what they show.

    Attributes:
        image: sRGB, (B, 3, S, S) uint8.
        is_face: False where the crop holds no face to be found; all labels are void there, (B,) bool.
        maps: on request, in the crop's resolution: ``depth`` mm (B, S, S), ``normals`` camera frame (B, S, S, 3),
            ``relief`` mm along the normal, ``axial_relief`` mm along the line from the crop's middle to the camera,
            ``parts`` (numbers into `PART_NAMES`, of what the engine draws), ``segments`` (numbers of `FacePart`, of
            what the photo shows), ``face`` bool (the face and glasses on it, whatever occluder lies over them),
            ``occluder`` bool, ``albedo`` and ``light`` linear RGB.
    """

    image: Tensor
    is_face: Tensor
    maps: Mapping[str, Tensor] = field(default_factory=dict)


class SyntheticFaces:
    """An endless, seeded sequence of synthetic photos: sample i is the same in whatever batch it is asked for.

    Args:
        assets: what `load_assets` returns, or the path of a packed file; None uses the embedded head and procedural
            content only.
        size: side of the crops S, px.
        seed: of the whole sequence.
        device: where everything is computed.
        occluders: False leaves out the occluders (hair and glasses stay), for ablation.
        empty: share of crops without a face.
        company: whether other people may stand behind or before.
        framing: the crop, `views.FACE` or `views.PARTS`.
        shots: photos of every rendered person (which is the costly part): each with another framing, background,
            occluder and camera.
        hard: share of the people that are one of `hard_cases.Case`, and of the face masks that pass for skin.

    Raises:
        AssetError: the packed file cannot be used.
        InputError: ``hard`` is no share.
    """

    def __init__(
        self,
        assets: Mapping[str, Tensor] | str | os.PathLike[str] | None = None,
        size: int = 128,
        seed: int = 0,
        device: str | torch.device = "cpu",
        *,
        occluders: bool = True,
        empty: float = 0.08,
        company: bool = True,
        shots: int = 4,
        framing: views.Framing = views.FACE,
        hard: float = 0.0,
    ) -> None:
        if not 0 <= hard <= 1:
            raise InputError(f"hard must be a share in [0, 1], got {hard}")
        loaded = assets if isinstance(assets, Mapping) else load_assets(assets)
        self.device = torch.device(device)
        self.assets = {name: value.to(self.device) for name, value in loaded.items()}
        self.model = model_of(self.assets)
        self.size, self.seed = size, seed
        self._occluders, self._empty_share, self._company, self._shots = occluders, empty, company, shots
        self._framing, self._hard = framing, hard
        self._lately: dict[int, Portraits] = {}

    def batch(self, start: int, count: int, maps: Sequence[str] = ()) -> FaceBatch:
        """Samples ``start`` to ``start + count - 1`` of the sequence, with the ``maps`` named.

        Raises:
            InputError: a map is unknown, or others than ``segments``, ``relief`` and ``occluder`` are wanted of later
                shots.
        """
        if unknown := [name for name in maps if name not in _MAPS]:
            raise InputError(f"maps must be of {', '.join(_MAPS)}, got {', '.join(unknown)}")
        indices = list(range(start, start + count))
        with torch.no_grad():
            return self._batch(indices, maps)

    def _rngs(self, indices: list[int], stage: int) -> list[np.random.Generator]:
        return [np.random.default_rng([self.seed, index, stage]) for index in indices]

    def _batch(self, indices: list[int], maps: Sequence[str]) -> FaceBatch:
        wanted = [rng.random() >= self._empty_share for rng in self._rngs(indices, _STAGE)]
        is_face = torch.tensor(wanted, device=self.device)
        faces = list(compress(indices, wanted))
        others = [index for index, face in zip(indices, wanted) if not face]
        shot = self._photos(faces or indices[:1], maps)
        image = torch.zeros(len(indices), 3, self.size, self.size, dtype=torch.uint8, device=self.device)
        if faces:
            image[is_face] = shot.image
        if others:
            image[~is_face] = self._empty(others)
        row = torch.zeros(len(indices), dtype=torch.int64, device=self.device)
        row[is_face] = torch.arange(len(faces), device=self.device)

        def spread(value: Tensor) -> Tensor:
            filled = value[row]
            filled[~is_face] = 0
            return filled

        known = {name: spread(value) for name, value in shot.labels().items()}
        return FaceBatch(
            **known, image=image, is_face=is_face, maps={name: spread(value) for name, value in shot.maps.items()}
        )

    def _person(self, index: int) -> tuple[int, int]:
        """Who is on sample ``index``, and the how manieth shot of them it is."""
        block, within = divmod(index, _BLOCK * self._shots)
        return block * _BLOCK + within % _BLOCK, within // _BLOCK

    def _portraits(self, numbers: list[int]) -> Portraits:
        """People by number, those photographed lately from memory."""
        missing = [number for number in dict.fromkeys(numbers) if number not in self._lately]
        for chunk in _chunks(missing):
            self._lately.update(zip(chunk, self._portray(self._render(chunk)).rows()))
        found = Portraits.joined([self._lately[number] for number in numbers])
        for number in list(self._lately)[: -2 * _BLOCK]:
            del self._lately[number]
        return found

    def _portray(self, shown: _Rendered) -> Portraits:
        marks = labels(shown.people, shown.views, shown.pictures.fragments, shown.pictures.topology)
        return Portraits(
            layer=_layer(shown.pictures),
            tone=shown.skins.tone,
            relief=_averaged(shown.pictures.maps["relief"][..., None], self.size)[..., 0],
            segments=segments(shown.pictures, self.scene, shown.skins.segments, marks.points68 * views.RENDER_SCALE),
            points68=marks.points68,
            points68_3d=marks.points68_3d,
            dense=marks.dense,
            visible68=marks.visible68,
            visible_dense=marks.visible_dense,
            rotation=shown.views.seen,
            identity=shown.people.identity,
            expression=shown.people.expression,
            coefficients_known=shown.people.source != people.CHILD,
        )

    def _render(self, indices: list[int]) -> _Rendered:
        return self._seen(indices, self._framing)

    def _seen(self, indices: list[int], framing: views.Framing, wider: float = 1.0) -> _Rendered:
        folk = people.draw_people(self.assets, self._rngs(indices, people.STAGE), self.device)
        seen = views.draw_views(self._rngs(indices, views.STAGE), folk, self.size, framing).wider(wider)
        cases = hard_cases.draw_cases(self._rngs(indices, hard_cases.STAGE), self._hard)
        skins = draw_skins(self.assets, self._rngs(indices, _SKINS), folk, self.device, cases)
        lights = draw_lights(self.assets, self._rngs(indices, _LIGHTS), self.device, skins.tone, cases)
        wear = draw_wear(self.assets, self._rngs(indices, _WEAR), folk, skins.hair, cases)
        shady = torch.tensor([case == hard_cases.Case.SHADE for case in cases], device=self.device)
        spots = draw_dapples(Draws(self._rngs(indices, _SPOTS), self.device), shady)
        return _Rendered(folk, seen, skins, render_faces(folk, skins, wear, lights, seen, self.scene, spots))

    @cached_property
    def scene(self) -> Scene:
        """Head and wear as one mesh."""
        return make_scene(self.model, wear_mesh(self.assets).to(self.device))

    @cached_property
    def _others(self) -> Tensor | None:
        """People for backgrounds, and for what covers: linear RGB and cover, (N, 4, S, S)."""
        if not self._company:
            return None
        chunks = _chunks([_COMPANY + i for i in range(_NUM_COMPANY)])
        layers = torch.cat([_layer(self._seen(chunk, views.FACE, COMPANY_SCALE).pictures) for chunk in chunks])
        return layers.permute(0, 3, 1, 2).contiguous()

    def _photos(self, indices: list[int], maps: Sequence[str]) -> FaceBatch:
        numbers, shots = zip(*(self._person(index) for index in indices))
        again = torch.tensor(shots, device=self.device) > 0
        drawn: dict[str, Tensor] = {}
        if rendered := [name for name in maps if name not in _OF_ANY_SHOT]:
            if any(shots):
                raise InputError(
                    f"{', '.join(rendered)}: these maps are known where shots=1 only; make another SyntheticFaces"
                )
            portraits, drawn = self._with_maps(list(numbers), rendered)
        else:
            portraits = framed_anew(self._portraits(list(numbers)), self._rngs(indices, REFRAMING), again)
        behind = backgrounds.draw_backgrounds(
            self.assets, self._rngs(indices, backgrounds.STAGE), 2 * self.size, self.device, self._others
        )
        light, cover = portraits.layer[..., :3], portraits.layer[..., 3:]
        scene = light * cover + _averaged(behind, self.size) * (1 - cover)
        hidden = hair = scene.new_zeros(scene.shape[:3])
        if self._occluders:
            occlusion = draw_occluders(
                self.assets,
                self._rngs(indices, OCCLUSION),
                portraits.points68,
                _lit_skin(portraits),
                self.size,
                self._others,
                skin_masks=self._hard,
            )
            scene, hidden, hair = occlusion.over(scene), occlusion.cover, occlusion.hair
        photo = cameras.photograph(self._rngs(indices, cameras.STAGE), scene.permute(0, 3, 1, 2).contiguous())
        if "occluder" in maps:
            drawn["occluder"] = hidden > _HIDDEN
        if "segments" in maps:
            before = torch.where(hair > 0.5 * hidden, int(FacePart.HAIR), int(FacePart.OCCLUDER)).to(torch.uint8)
            drawn["segments"] = torch.where(hidden > _HIDDEN, before, self._nearest(portraits.segments))
        if "face" in maps:
            segments = self._nearest(portraits.segments)
            drawn["face"] = torch.isin(segments, segments.new_tensor(_FACE_AND_GLASSES))
        if "relief" in maps:
            drawn["relief"] = portraits.relief
        seen = {
            "visible68": portraits.visible68 & ~_covered(hidden, portraits.points68),
            "visible_dense": portraits.visible_dense & ~_covered(hidden, portraits.dense),
        }
        is_face = torch.ones(len(indices), dtype=torch.bool, device=self.device)
        return FaceBatch(**(portraits.labels() | seen), image=_bytes(photo), is_face=is_face, maps=drawn)

    def _empty(self, indices: list[int]) -> Tensor:
        rngs = self._rngs(indices, negatives.STAGE)
        scene = negatives.draw_negatives(self.assets, rngs, self.size, self.device, self._others)
        return _bytes(cameras.photograph(self._rngs(indices, cameras.STAGE), scene))

    def _with_maps(self, numbers: list[int], names: list[str]) -> tuple[Portraits, dict[str, Tensor]]:
        """People rendered anew, and the maps ``names`` of them."""
        shown = [self._render(chunk) for chunk in _chunks(numbers)]
        maps = {name: torch.cat([self._map(name, one) for one in shown]) for name in names}
        return Portraits.joined([self._portray(one) for one in shown]), maps

    def _map(self, name: str, shown: _Rendered) -> Tensor:
        pictures = shown.pictures
        if name == "axial_relief":
            return _averaged(_axial_relief(shown)[..., None], self.size)[..., 0]
        values = {"depth": pictures.fragments.depth, "light": pictures.light, **pictures.maps}
        return self._nearest(self.parts_under(pictures) if name == "parts" else values[name])

    def _nearest(self, value: Tensor) -> Tensor:
        """(B, N, N, …) in the crop's resolution: the nearest pixel rather than a mean, since labels do not mix, and
        depths of two surfaces neither."""
        nearest = ((torch.arange(self.size, device=self.device) + 0.5) * (value.shape[1] / self.size)).long()
        return value[:, nearest][:, :, nearest]

    def parts_under(self, pictures: FacePictures) -> Tensor:
        """What is under every pixel, uint8: 0 nothing, 1 … regions of the head in `PART_NAMES`, then the wear."""
        index = pictures.fragments.face_index
        return torch.where(index >= 0, self._face_parts[index.clamp_min(0).long()], 0).to(torch.uint8)

    @cached_property
    def _face_parts(self) -> Tensor:
        """Number in `PART_NAMES` of every face of the scene, (F,)."""
        faces = self.model.topology.faces.long()
        number = torch.full((len(faces),), PART_NAMES.index("skin"), device=self.device)
        for name in PART_NAMES[2:_WORN]:
            region = self.model.regions[name].to(self.device)
            number[region[faces].all(1)] = PART_NAMES.index(name)
        return torch.cat([number, self.scene.part[len(faces) :] + _WORN])


@dataclass(frozen=True, eq=False)
class _Rendered:
    people: people.People
    views: views.Views
    skins: Skins
    pictures: FacePictures


def _chunks(numbers: list[int]) -> list[list[int]]:
    return [numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK)]


def _layer(pictures: FacePictures) -> Tensor:
    """The pictures at the crop's resolution: linear RGB, not premultiplied, and cover, (B, S, S, 4)."""
    cover = pictures.cover[..., None]
    size = round(cover.shape[1] / views.RENDER_SCALE)
    mean = _averaged(torch.cat([pictures.light * cover, cover], -1), size)
    return torch.cat([mean[..., :3] / mean[..., 3:].clamp_min(1e-3), mean[..., 3:]], -1)


def _axial_relief(shown: _Rendered) -> Tensor:
    """How far the relief raises the surface along the axis through the crop's middle, mm towards the camera, (B, R, R).

    A plane raised by h along its normal n is met h / cos(n, axis) further along the axis.
    """
    # The crop is seen along its own axis by the rotation ``seen``; what undoes the turn between the two is that axis.
    axis = -(shown.views.rotation @ shown.views.seen.mT)[:, :, 2]
    cos = (shown.pictures.maps["smooth_normals"] * axis[:, None, None]).sum(-1)
    return shown.pictures.maps["relief"] / cos.clamp_min(_STEEPEST_COS)


def _averaged(image: Tensor, size: int) -> Tensor:
    """(B, R, R, C) → (B, S, S, C) with S = ``size``."""
    return functional.interpolate(image.permute(0, 3, 1, 2), size=(size, size), mode="area").permute(0, 2, 3, 1)


def _bytes(photo: Tensor) -> Tensor:
    return (photo * 255 + 0.5).to(torch.uint8)


def _at(image: Tensor, points: Tensor) -> Tensor:
    """Values of (B, S, S, C) at (B, K, 2) pixels, bilinear, (B, K, C); 0 outside."""
    size = image.shape[1]
    grid = (points * (2 / size) - 1)[:, None]
    found = functional.grid_sample(image.permute(0, 3, 1, 2), grid, align_corners=False)
    return found[:, :, 0].mT


def _covered(hidden: Tensor, points: Tensor) -> Tensor:
    """Which points (B, K, 2) lie behind an occluder's cover (B, S, S)."""
    return _at(hidden[..., None], points)[..., 0] > _HIDDEN


def _lit_skin(portraits: Portraits) -> Tensor:
    """The mean colour (B, 3) of the faces' visible points; the skin's own where none is."""
    weight = portraits.visible_dense.to(portraits.layer)[..., None]
    mean = (_at(portraits.layer[..., :3], portraits.dense) * weight).sum(1) / weight.sum(1).clamp_min(1)
    return torch.where(weight.sum(1) > 0, mean, portraits.tone)
