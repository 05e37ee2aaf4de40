"""Pictures of a mesh for people: clay, textured, and laid over the photo.

Everything here returns display pictures, (H, W, 3) uint8 sRGB, drawn at twice the size and averaged down.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import Fragments, Topology, bump_normals, interpolate, rasterize, render_texture, vertex_normals

_SUPERSAMPLE = 2
_CLAY = (0.44, 0.42, 0.40)  # linear RGB
_BACKGROUND = 1.0
# Key, fill and rim light: direction towards the light in the camera frame (x right, y down, z forward), strength.
_LIGHTS = (((-0.8, -0.75, -0.6), 1.15), ((1.0, 0.0, -0.25), 0.30), ((0.1, 0.9, -0.3), 0.10))
_AMBIENT = 0.07
_GAP_MM = 8.0  # neighbouring pixels farther apart are not of one surface


@dataclass(frozen=True)
class View:
    """Where a picture is taken from: rotation (3, 3) and translation (3,), model to camera, and a camera of batch 1."""

    rotation: Tensor
    translation: Tensor
    camera: Camera

    @classmethod
    def around(
        cls, verts: Tensor, *, yaw: float = 0.0, pitch: float = 0.0, size: int = 512, height_mm: float | None = None
    ) -> "View":
        """A portrait view of ``verts`` (V, 3) model frame, mm: head turned by yaw and pitch (radians), centred.

        ``height_mm`` is what the picture's height shows; left out, the mesh with a margin, so that pass it to
        compare heads at one scale.
        """
        rotation = rotation_from_euler(*(verts.new_tensor([angle]) for angle in (yaw, pitch, 0.0)))[0]
        low, high = verts.amin(0), verts.amax(0)
        center = (low + high) / 2
        extent = height_mm or 1.12 * float((high - low)[:2].max())
        distance = 5.0 * extent
        translation = verts.new_tensor([0.0, 0.0, distance]) - rotation @ center
        camera = Camera(verts.new_full((1,), size * distance / extent), verts.new_full((1, 2), size / 2), size, size)
        return cls(rotation, translation, camera)

    def scaled(self, factor: int) -> "View":
        """The same view with ``factor`` times as many pixels along each side."""
        camera = self.camera
        return replace(
            self,
            camera=Camera(camera.focal * factor, camera.center * factor, camera.height * factor, camera.width * factor),
        )

    def apply(self, verts: Tensor) -> Tensor:
        """(V, 3) model frame → (V, 3) camera frame, mm."""
        return verts @ self.rotation.mT + self.translation


def render_clay(
    verts: Tensor, topology: Topology, view: View | None = None, bump: Tensor | None = None, **around: float
) -> Tensor:
    """Grey clay under three lights.

    Args:
        verts: (V, 3) model frame, mm.
        view: where from; left out, ``View.around(verts, **around)``.
        bump: relief in the chart of ``topology``, mm along the normal, (T, T): it bends the normals.

    Returns:
        (H, W, 3) uint8 sRGB, white background, on the CPU.
    """
    big, fragments, verts_camera = _draw(verts, topology, view, around)
    color = _clay(verts_camera, fragments, topology, bump)
    return _finish(color, fragments, _background(big, verts))


def render_textured(
    verts: Tensor, topology: Topology, texture: Tensor, view: View | None = None, **around: float
) -> Tensor:
    """The mesh with its texture, unlit (a photo's texture holds its light).

    Args:
        verts: (V, 3) model frame, mm.
        texture: (Ht, Wt, 3) linear RGB in the chart of ``topology``, or (V, 3) linear RGB per vertex.

    Returns:
        (H, W, 3) uint8 sRGB, white background, on the CPU.
    """
    big, fragments, _ = _draw(verts, topology, view, around)
    if texture.dim() == 3:
        color = render_texture(texture[None].to(verts), fragments, topology)
    else:
        color = interpolate(texture.to(verts), fragments, topology)
    return _finish(color, fragments, _background(big, verts))


def render_overlay(
    image: Tensor,
    verts_camera: Tensor,
    camera: Camera,
    topology: Topology,
    opacity: float = 0.65,
    bump: Tensor | None = None,
) -> Tensor:
    """The fitted mesh as clay over the photo it was fitted to.

    Args:
        image: (H, W, 3) uint8 sRGB.
        verts_camera: (V, 3) camera frame, mm.
        camera: batch 1, of the same picture.
        opacity: of the clay, in [0, 1].
        bump: see `render_clay`.
    """
    view = View(torch.eye(3).to(verts_camera), torch.zeros(3).to(verts_camera), camera)
    _, fragments, verts_camera = _draw(verts_camera, topology, view, {})
    color = _clay(verts_camera, fragments, topology, bump)
    photo = image.to(verts_camera) / 255
    big = photo.repeat_interleave(_SUPERSAMPLE, 0).repeat_interleave(_SUPERSAMPLE, 1)
    return _finish(color, fragments, big[None], opacity)


def _draw(
    verts: Tensor, topology: Topology, view: View | None, around: dict[str, float]
) -> tuple[View, Fragments, Tensor]:
    view = view or View.around(verts, **around)  # type: ignore[arg-type]
    big = view.scaled(_SUPERSAMPLE)
    verts_camera = view.apply(verts)[None]
    fragments = rasterize(big.camera.project(verts_camera), topology, big.camera.height, big.camera.width)
    return big, fragments, verts_camera


def _clay(verts_camera: Tensor, fragments: Fragments, topology: Topology, bump: Tensor | None = None) -> Tensor:
    normals = interpolate(vertex_normals(verts_camera, topology), fragments, topology)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    if bump is not None:
        relief = render_texture(bump[None, ..., None].to(normals), fragments, topology)[..., 0]
        positions = interpolate(verts_camera.contiguous(), fragments, topology)
        normals = bump_normals(positions, normals, relief, fragments.mask, max_gap_mm=_GAP_MM)
    light = torch.full_like(normals[..., 0], _AMBIENT)
    for direction, strength in _LIGHTS:
        towards = torch.nn.functional.normalize(normals.new_tensor(direction), dim=0)
        light = light + strength * (normals @ towards).clamp_min(0)
    return light[..., None] * normals.new_tensor(_CLAY)


def _background(big: View, like: Tensor) -> Tensor:
    return torch.full((1, big.camera.height, big.camera.width, 3), _BACKGROUND).to(like)


def _finish(color: Tensor, fragments: Fragments, background_srgb: Tensor, opacity: float = 1.0) -> Tensor:
    """Over the background, down to display size: averaged as displayed, so that edges look even."""
    covered = (fragments.face_index >= 0)[..., None].to(color.dtype) * opacity
    display = linear_to_srgb(color.clamp(0, 1)) * covered + background_srgb * (1 - covered)
    small = torch.nn.functional.avg_pool2d(display.permute(0, 3, 1, 2), _SUPERSAMPLE)[0].permute(1, 2, 0)
    return (small * 255 + 0.5).clamp(0, 255).to(torch.uint8).cpu()
