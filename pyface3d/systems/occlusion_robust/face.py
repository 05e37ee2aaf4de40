"""From coefficients to a lit face before the camera, and to its picture.

The published frame is +x right, +y up, +z towards the camera, decimetres, a camera at z = 10 with a focal length of
1015 px for 224 px. Here it is in millimetres, and the camera is the package's own: the same rays. Source: Deng et al.,
"Accurate 3D Face Reconstruction with Weakly-Supervised Learning" (CVPRW 2019), sections 3.1 to 3.3, and its code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.detect.crops import FIVE_POINTS_3D, alignment_points
from pyface3d.errors import InputError
from pyface3d.face_models import LinearFaceModel
from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.geometry.rotations import frontal_rotation
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import interpolate, rasterize, sample_texture, shade_spherical_harmonics, vertex_normals
from pyface3d.systems.occlusion_robust.coefficients import CoefficientLayout, FaceCoefficients

SIZE = 224
FOCAL, DISTANCE_MM = 1015.0, 1000.0
EVEN_LIGHT = 0.8
"""What band 0 of the light has beside the coefficients, for every colour."""
_MM_PER_DM = 100.0


@dataclass(frozen=True, eq=False)
class PosedFace:
    """B faces of V vertices before the camera.

    Attributes:
        verts: without pose, model frame about the decoder's origin, mm, (B, V, 3).
        posed: turned and moved, same axes (y up, z towards the camera), mm, (B, V, 3).
        normals: unit, of ``posed``, (B, V, 3).
        albedo: reflectance per vertex as the model has it, not clamped, (B, V, 3).
        colours: ``albedo`` in the light, sRGB, not clamped, (B, V, 3).
        verts_image: (B, V, 3): u, v in px of the 224 px crop, middle of the first pixel at 0.5; depth in mm.
        landmarks: the 68 points in the same pixels, (B, 68, 2).
        rotation, translation: model to camera frame (`pyface3d.geometry`), (B, 3, 3) and (B, 3) mm.
    """

    verts: Tensor
    posed: Tensor
    normals: Tensor
    albedo: Tensor
    colours: Tensor
    verts_image: Tensor
    landmarks: Tensor
    rotation: Tensor
    translation: Tensor


class FaceDecoder:
    """Faces of coefficients, with one face model.

    Deng's front face has its origin where the published camera wants it. Any other model is moved so that its five
    points lie about those of the alignment: with it the same crop shows the same face, whatever the model.

    Args:
        model: a linear model with albedo and the 68 landmarks.
    """

    def __init__(self, model: LinearFaceModel) -> None:
        if model.albedo_mean is None or model.albedo_basis is None:
            raise InputError(f"model {model.name!r} has no albedo; use one that has, such as 'head' or 'bfm_front'")
        self.model = model
        self.layout = CoefficientLayout.of(model)
        self._landmarks = model.landmarks()
        self.origin = model.template.new_zeros(3) if model.name == "bfm_front" else self._alignment_origin()
        self._albedo_mean, self._albedo_basis = _albedo_at_vertices(model)

    def _alignment_origin(self) -> Tensor:
        spots = self._landmarks.points(self.model.template[None], self.model.topology)[0]
        five = torch.from_numpy(alignment_points(spots.cpu().numpy()) - _MM_PER_DM * FIVE_POINTS_3D)
        return five.mean(0).to(spots)

    def decode(self, coefficients: FaceCoefficients | Tensor) -> PosedFace:
        """Lit faces before the camera; differentiable in every coefficient.

        Raises:
            InputError: a vector of another length than the model's.
        """
        part = coefficients if isinstance(coefficients, FaceCoefficients) else self.layout.split(coefficients)
        verts = self.model.vertices(part.identity, part.expression) - self.origin.to(part.identity)
        pitch, yaw, roll = part.angles.unbind(1)
        rotation = rotation_from_euler(yaw, pitch, roll)  # to the camera frame
        axes = frontal_rotation(rotation)  # of which the published frame is the half turn about x
        translation = (_MM_PER_DM * part.translation) @ axes.mT + rotation.new_tensor([0, 0, DISTANCE_MM])
        verts_camera = verts @ rotation.mT + translation[:, None]
        posed = (verts_camera - rotation.new_tensor([0, 0, DISTANCE_MM])) @ axes
        normals = vertex_normals(posed.contiguous(), self.model.topology)
        albedo = self._albedo_mean.to(verts) + torch.einsum("ba,avc->bvc", part.albedo, self._albedo_basis.to(verts))
        colours = shade(normals, part.light, albedo)
        if not self.model.albedo_srgb:
            colours = linear_to_srgb(colours.clamp_min(0))
        verts_image = camera(len(part), verts).project(verts_camera)
        landmarks = self._landmarks.points(verts_image, self.model.topology)[..., :2]
        return PosedFace(verts, posed, normals, albedo, colours, verts_image, landmarks, rotation, translation)

    def render(self, face: PosedFace, size: int = SIZE) -> tuple[Tensor, Tensor]:
        """Pictures (B, size, size, 3) sRGB in [0, 1], black behind, and where the face is (B, size, size) bool.

        Args:
            face: of `decode`.
            size: of the picture, which shows the same as the 224 px crop.

        Differentiable in colours and positions; the outline has no gradient.
        """
        scale = size / SIZE
        verts_image = face.verts_image * face.verts_image.new_tensor([scale, scale, 1.0])
        fragments = rasterize(verts_image, self.model.topology, size, size)
        colours = interpolate(face.colours.contiguous(), fragments, self.model.topology)
        return colours.clamp(0, 1), fragments.mask


def camera(batch: int, like: Tensor, size: int = SIZE) -> Camera:
    """The published camera for a crop of ``size`` px."""
    return Camera.centered(like.new_full((batch,), FOCAL * size / SIZE), size, size)


def shade(normals: Tensor, light: Tensor, albedo: Tensor) -> Tensor:
    """Colours (B, V, 3) of posed unit ``normals`` (B, V, 3) in ``light`` (B, 3, 9) and the even light."""
    bands = light.mT.contiguous()
    even = torch.zeros_like(bands)
    even[:, 0] = EVEN_LIGHT
    return shade_spherical_harmonics(normals, bands + even, albedo, convention="deng")


def published_landmarks(landmarks: Tensor, size: int = SIZE) -> Tensor:
    """Landmarks as training, inference and the published evaluation have them: clamped, counted from the last row.

    ``u`` and the height ``size - v`` are held to [0, size − 1], and ``y = size − 1 − height``: against the middles of
    pixels counted from 0 half a pixel too far right and half a pixel too high. Gradients vanish where clamped.

    Args:
        landmarks: (..., 2) px, the middle of the first pixel at 0.5.
        size: of the crop.

    Returns:
        (..., 2) px.
    """
    u = landmarks[..., 0].clamp(0, size - 1)
    height = (size - landmarks[..., 1]).clamp(0, size - 1)
    return torch.stack([u, size - 1 - height], dim=-1)


def _albedo_at_vertices(model: LinearFaceModel) -> tuple[Tensor, Tensor]:
    """Mean (V, 3) and components (A, V, 3); a model with a chart gives its colours at the vertices."""
    mean, basis = model.albedo_mean, model.albedo_basis
    assert mean is not None and basis is not None
    if model.albedo_kind == "vertex":
        return mean, basis
    topology = model.topology
    assert topology.uvs is not None and topology.uv_faces is not None
    # A vertex on a seam has several coordinates: any will do.
    uvs = mean.new_zeros(topology.num_verts, 2)
    uvs[topology.faces.long().flatten()] = topology.uvs.to(mean)[topology.uv_faces.long().flatten()]
    maps = torch.cat([mean[None], basis])
    sampled = sample_texture(maps, uvs[None, None].expand(len(maps), 1, -1, 2), "bilinear", "clamp")[:, 0]
    return sampled[0], sampled[1:]
