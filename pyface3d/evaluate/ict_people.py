"""Seeded people of ICT-FaceKit, photographed by our own renderer: faces of real variety with exact truth.

ICT-FaceKit's identity space was made from scans and shares nothing with the embedded head, so that a fit cannot win by
being of the same family. The kit has no skin: one is painted here, point by point on the neutral face, with what
detectors and predictors look for (brows, lashes, irises, lips, hair, ambient shadow), different for every person.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from math import pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.evaluate.ict_skin import Skin, paint
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.evaluate.scanned_faces import Placement, ScannedFace, photograph
from pyface3d.fit.sparse_model import NUM_JAW, sparse_face, visible_contour
from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.ops import Fragments, Topology, interpolate, rasterize, shade_spherical_harmonics, vertex_normals

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

# Vertex ranges of ICT-FaceKit (its documentation; the inner of the two shells of each eyeball carries the iris).
PARTS: dict[str, tuple[tuple[int, int], ...]] = {
    "skin": ((0, 11248),),
    "mouth": ((11248, 13294), (14062, 17039)),
    "eye_socket": ((13294, 14062), (24591, 24999)),
    "teeth": ((17039, 21451),),
    "eyes": ((22221, 23021), (23791, 24591)),
}
_NUM_VERTS, _IDENTITIES = 26719, 100
# Left out: what real renderers draw with transparency (corneas, tear film, lashes). Lashes are painted.
_SCAN_VIEWS = ((0, 0), (0, 25), (0, -25), (40, 0), (-40, 0), (75, 0), (-75, 0))  # yaw, pitch of a scanner's cameras
_SCAN_POINTS = 20000  # over the whole head; about 4,500 of them lie in the NoW region, one in 5 mm²
_SHADOW_VIEWS = 48
_LIGHT_LOBE = (1.0, *(2 / 3,) * 3, *(1 / 4,) * 5)


@dataclass(frozen=True, eq=False)
class Lights:
    """Environments to photograph in.

    Attributes:
        radiance: (N, 9, 3) spherical harmonics in the convention "irradiance" of `ops.shade_spherical_harmonics`,
            y up, z towards the panorama's middle.
        panoramas: (N, h, 2 h, 3) linear RGB, blurred; for backgrounds.
    """

    radiance: Tensor
    panoramas: Tensor

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Lights:
        """Environments of an ``.npz`` with ``sh9_irradiance`` (N, 9, 3), already convolved, and ``pan64x128``.

        Raises:
            InputError: the file is missing or does not hold these arrays.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                irradiance, panoramas = data["sh9_irradiance"], data["pan64x128"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is not a light file with sh9_irradiance and pan64x128: {error}") from error
        if irradiance.ndim != 3 or irradiance.shape[1:] != (9, 3) or panoramas.shape[:1] != irradiance.shape[:1]:
            raise InputError(f"{path} must hold sh9_irradiance (N, 9, 3) and N panoramas, got {irradiance.shape}")
        radiance = torch.from_numpy(irradiance).float() / torch.tensor(_LIGHT_LOBE)[:, None]
        return Lights(radiance, torch.from_numpy(panoramas.astype(np.float32)))

    @staticmethod
    def drawn(count: int, seed: int) -> Lights:
        """Environments from a prior: a dim surround, a key light and a fill light, each with a tint."""
        rng = np.random.default_rng(seed)
        direction = _sphere(24, 48)
        radiance, panoramas = [], []
        for _ in range(count):
            picture = np.full((24, 48, 3), 0.35) * rng.uniform(0.85, 1.15, 3) * (1 + 0.4 * direction[..., 1:2])
            for strength, width in ((rng.uniform(2, 6), 0.6), (rng.uniform(0.5, 2), 0.9)):
                angle, height = rng.uniform(0, 2 * pi), rng.uniform(-0.1, 0.8)
                flat = sqrt(1 - height**2)
                towards = np.array([flat * np.sin(angle), height, flat * np.cos(angle)])
                picture = picture + strength * rng.uniform(0.8, 1.2, 3) * np.exp(
                    (direction @ towards - 1)[..., None] / width**2
                )
            panoramas.append(picture / picture.mean())
            radiance.append(_project(panoramas[-1], direction))
        return Lights(torch.tensor(np.array(radiance)).float(), torch.tensor(np.array(panoramas)).float())


def _sphere(height: int, width: int) -> NDArray[np.float64]:
    """Directions (h, w, 3) of a panorama's pixels: y up, +z in its middle, +x to its right."""
    lat = (0.5 - (np.arange(height) + 0.5) / height) * pi
    lon = ((np.arange(width) + 0.5) / width - 0.5) * 2 * pi
    lat, lon = np.meshgrid(lat, lon, indexing="ij")
    return np.stack([np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon)], -1)


def _project(picture: NDArray, direction: NDArray) -> NDArray[np.float64]:
    """Radiance coefficients (9, 3) of a panorama in the orthonormal real basis."""
    x, y, z = np.moveaxis(direction, -1, 0)
    polynomials = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])
    norms = [sqrt(1 / (4 * pi)), *[sqrt(3 / (4 * pi))] * 3, *[sqrt(15 / (4 * pi))] * 2]
    norms += [sqrt(5 / (16 * pi)), sqrt(15 / (4 * pi)), sqrt(15 / (16 * pi))]
    solid = np.cos(np.arcsin(y)) * (pi / y.shape[0]) * (2 * pi / y.shape[1])
    return np.einsum("khw,hwc,hw->kc", polynomials * np.array(norms)[:, None, None], picture, solid)


class IctPeople:
    """People by number: the same seed and number give the same person, pose, light and picture.

    Args:
        model: ICT-FaceKit, all 26,719 vertices.
        lights: environments; drawn from a prior where left out.
        seed: of everything random.
        size: side of the pictures, px.

    Raises:
        InputError: ``model`` is not ICT-FaceKit, or only a part of it.
    """

    def __init__(self, model: FaceModel, lights: Lights | None = None, *, seed: int = 0, size: int = 512) -> None:
        if model.topology.num_verts != _NUM_VERTS:
            raise InputError(f"model must be ICT-FaceKit with {_NUM_VERTS} vertices, got {model.topology.num_verts}")
        if model.identity_dim != _IDENTITIES:
            raise InputError(
                f"model must hold all {_IDENTITIES} identity shapes of ICT-FaceKit, got {model.identity_dim}; "
                "give the complete kit"
            )
        self.model, self.seed, self.size = model, seed, size
        self.lights = lights or Lights.drawn(16, seed)
        part = torch.full((_NUM_VERTS,), -1)
        for index, ranges in enumerate(PARTS.values()):
            for start, end in ranges:
                part[start:end] = index
        drawn = (part[model.topology.faces.long()] >= 0).all(-1)
        self.topology = Topology(model.topology.faces[drawn], _NUM_VERTS)
        self.face_part = part[self.topology.faces[:, 0].long()]

    def verts(self, identity: Tensor) -> Tensor:
        """Neutral vertices of identities (B, 100) in σ units, (B, V, 3) mm, model frame."""
        return self.model.vertices(identity, identity.new_zeros(len(identity), self.model.expression_dim))

    @cached_property
    def neutral(self) -> Tensor:
        """The mean face, (V, 3)."""
        return self.verts(torch.zeros(1, self.model.identity_dim))[0]

    @cached_property
    def shadow(self) -> Tensor:
        """Ambient shadow: the share of the sky over each vertex of the mean face that it sees, (V,) in [0, 1]."""
        normals = vertex_normals(self.neutral, self.topology)
        seen, all_of = torch.zeros(2, _NUM_VERTS)
        golden = pi * (3 - sqrt(5))
        for index in range(_SHADOW_VIEWS):
            height = 1 - (2 * index + 1) / _SHADOW_VIEWS
            flat = sqrt(1 - height**2)
            towards = torch.tensor([flat * np.cos(golden * index), height, flat * np.sin(golden * index)]).float()
            weight = (normals @ towards).clamp_min(0)
            all_of += weight
            seen += weight * self._seen_vertices(towards)
        return seen / all_of.clamp_min(1e-6)

    def _view_from(self, towards: Tensor) -> tuple[Tensor, Camera]:
        """The mean face from far away in direction ``towards`` (3,): camera frame (1, V, 3) and camera."""
        up = (
            towards.new_tensor([0.0, 1.0, 0.0]) if abs(float(towards[1])) < 0.9 else towards.new_tensor([0.0, 0.0, 1.0])
        )
        right = torch.nn.functional.normalize(torch.linalg.cross(up, towards), dim=0)
        rotation = torch.stack([right, -torch.linalg.cross(towards, right), -towards])
        middle = (self.neutral.amin(0) + self.neutral.amax(0)) / 2
        verts = (self.neutral - middle) @ rotation.T + towards.new_tensor([0.0, 0.0, 10000.0])
        return verts[None], Camera.centered(torch.tensor([10000.0 * 512 / 420]), 512, 512)

    def _seen_vertices(self, towards: Tensor) -> Tensor:
        verts, camera = self._view_from(towards)
        image = camera.project(verts)
        depth = rasterize(image, self.topology, 512, 512).depth[0]
        column, row = image[0, :, 0].long().clamp(0, 511), image[0, :, 1].long().clamp(0, 511)
        # 2.5 mm: a surface at 60° falls that much within the 0.8 mm of a pixel and its rounding.
        return (image[0, :, 2] <= depth[row, column] + 2.5).float()

    @cached_property
    def _scan(self) -> tuple[Tensor, Tensor]:
        """Where the scan's points lie: face (N,) and barycentrics (N, 3), even over the skin a scanner would see."""
        seen = torch.zeros(self.topology.num_faces, dtype=torch.bool)
        for yaw, pitch in _SCAN_VIEWS:
            angles = torch.tensor([[float(yaw)], [float(pitch)], [0.0]]).deg2rad()
            towards = -(rotation_from_euler(*angles)[0].T @ torch.tensor([0.0, 0.0, 1.0]))
            verts, camera = self._view_from(towards)
            index = rasterize(camera.project(verts), self.topology, 512, 512).face_index
            seen[index[index >= 0].long()] = True
        candidates = torch.nonzero(seen & (self.face_part == 0))[:, 0]
        a, b, c = self.neutral[self.topology.faces[candidates].long()].unbind(1)
        area = torch.linalg.cross(b - a, c - a).norm(dim=-1).double().numpy()
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(len(candidates), _SCAN_POINTS, p=area / area.sum())
        weights = torch.from_numpy(rng.dirichlet(np.ones(3), _SCAN_POINTS))
        return candidates[torch.from_numpy(chosen)], weights

    def scan_points(self, verts: Tensor) -> NDArray[np.float64]:
        """The scan of a person with vertices (V, 3): (N, 3) mm."""
        faces, weights = self._scan
        return (verts[self.topology.faces[faces].long()].double() * weights[..., None]).sum(1).numpy()

    def landmarks(self, verts: Tensor) -> Tensor:
        """The 68 points of vertices (V, 3): (68, 3) float64 mm."""
        return self.model.landmarks("ibug68").points(verts[None].double(), self.model.topology)[0]

    def photo(self, number: int, *, max_yaw: float = 60.0, occlude: bool = False) -> ScannedFace:
        """One person, once photographed.

        Args:
            number: which person; each has an own stream of random numbers.
            max_yaw: yaw is uniform in ±this, degrees; pitch and roll in ±15°.
            occlude: hide part of the face behind the standard occluder (`occluders.StandardOccluder`).
        """
        rng = np.random.default_rng([self.seed, number])
        identity = torch.from_numpy(rng.normal(size=(1, self.model.identity_dim)).astype(np.float32))
        placement = Placement(
            yaw_deg=rng.uniform(-max_yaw, max_yaw),
            pitch_deg=rng.uniform(-15, 15),
            roll_deg=rng.uniform(-15, 15),
            distance_mm=rng.uniform(600, 1500),
            face_share=rng.uniform(0.42, 0.6),
            offset=tuple(rng.uniform(-0.08, 0.08, 2)),
        )
        skin = Skin.draw(rng)
        which, turn = int(rng.integers(len(self.lights.radiance))), rng.uniform(0, 2 * pi)
        exposure = rng.uniform(0.7, 1.25)

        verts = self.verts(identity)[0]
        marks = self.landmarks(verts)
        middle = marks.mean(0)
        camera = placement.camera(self.size)
        verts_camera = placement.apply(verts, middle, camera)
        marks_image = self._marks_image(identity, placement, middle, camera)
        # Camera frame (y down) to the light's frame (y up), turned about the vertical.
        to_light = rotation_from_euler(*torch.tensor([[turn], [0.0], [0.0]]))[0].T
        normals = vertex_normals(verts_camera.float(), self.topology) @ to_light.T
        attributes = torch.cat([normals, self.neutral, self.shadow[:, None]], -1)
        light, panorama = self.lights.radiance[which], self.lights.panoramas[which]
        level = exposure * _camera_gain(normals[: PARTS["skin"][0][1]], to_light, light)

        def shade(fragments: Fragments) -> Tensor:
            values = interpolate(attributes, fragments, self.topology)
            drawn = fragments.face_index[0] >= 0
            picked = values[0, drawn]
            part = self.face_part[fragments.face_index[0, drawn].long()]
            albedo = paint(picked[:, 3:6], part, skin, self._paint_marks)
            normal = torch.nn.functional.normalize(picked[:, :3], dim=-1)
            lit = shade_spherical_harmonics(normal[None], light[None])[0].clamp_min(0.02) * level
            color = values.new_zeros(*values.shape[:3], 3)
            color[0, drawn] = albedo * lit * picked[:, 6:].clamp(0.05, 1)
            return color

        background = _background(panorama, to_light, camera) * level
        image = photograph(verts_camera, self.topology, camera, shade, background)
        if occlude:
            image, _ = StandardOccluder(self.seed).apply(image, marks_image, f"ict {number:03d}")
        return ScannedFace(
            f"ict {number:03d}",
            image,
            marks_image,
            self.scan_points(verts),
            marks.numpy(),
            placement.yaw_deg,
            camera,
        )

    def _marks_image(
        self, identity: Tensor, placement: Placement, middle: Tensor, camera: Camera
    ) -> NDArray[np.float64]:
        """The 68 points of an identity (1, 100) in the picture, (68, 2): the jaw's where the face ends as seen."""
        sparse = sparse_face(self.model)
        coefficients = torch.cat([identity, identity.new_zeros(1, self.model.expression_dim)], 1).double()
        points = camera.project(placement.apply(sparse.points(coefficients)[0], middle, camera)[None])[..., :2]
        jaw = visible_contour(sparse, points, placement.rotation()[None])[0]
        return torch.cat([points[0, jaw], points[0, NUM_JAW:68]]).numpy()

    @cached_property
    def _paint_marks(self) -> Tensor:
        """The mean face's landmarks (68, 3), then the middles of the eyeballs (2, 3): the picture's left one first."""
        eyes = [self.neutral[start:end].mean(0, keepdim=True) for start, end in reversed(PARTS["eyes"])]
        return torch.cat([self.landmarks(self.neutral).float(), *eyes])


def _camera_gain(normals: Tensor, to_light: Tensor, light: Tensor) -> Tensor:
    """What a camera's exposure and white balance do, (3,): skin that faces it shall be lit by 1 on average.

    Nearly so in colour: some of a light's tint always stays in photos.
    """
    towards_camera = to_light @ normals.new_tensor([0.0, 0.0, -1.0])
    facing = normals[normals @ towards_camera > 0]
    lit = shade_spherical_harmonics(facing[None], light[None])[0].clamp_min(0).mean(0).clamp_min(1e-3)
    return 1 / (lit.mean() * (lit / lit.mean()) ** 0.75)


def _background(panorama: Tensor, to_light: Tensor, camera: Camera) -> Tensor:
    """What stands behind the head: the panorama as the camera sees it, (H, W, 3) linear RGB."""
    rows, columns = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    points = torch.stack([columns, rows, torch.ones_like(rows)], -1).reshape(1, -1, 3).double()
    rays = torch.nn.functional.normalize(camera.unproject(points)[0].float(), dim=-1)
    x, y, z = (rays @ to_light.T).unbind(-1)
    grid = torch.stack([torch.atan2(x, z) / pi, -2 * torch.asin(y.clamp(-1, 1)) / pi], -1)
    sampled = torch.nn.functional.grid_sample(
        panorama.permute(2, 0, 1)[None],
        grid.view(1, camera.height, camera.width, 2),
        align_corners=False,
        padding_mode="border",
    )
    return sampled[0].permute(1, 2, 0)
