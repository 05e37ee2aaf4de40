"""Colour of lit skin: matt and shiny reflection of `Lights`, softened as light that wanders under the skin does it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyface3d.data.synthetic.lights import Lights
from pyface3d.face_models import LinearFaceModel
from pyface3d.ops import Topology, rasterize, shade_spherical_harmonics, vertex_normals, vertex_visibility

#: How far light wanders under the skin, per colour: red the farthest. Share of the half sphere the light wraps round.
_SUBSURFACE_WRAP = (0.24, 0.10, 0.06)
_NORMAL_INCIDENCE = 0.028  # Fresnel reflectance of skin (refractive index 1.4)
_OCCLUSION_DIRECTIONS, _OCCLUSION_SIZE = 96, 128
_SHADOW_SIZE = 128
_SHADOW_BIAS_MM = 3.0
_FAR_MM = 1000.0
_PARTED_LIPS = {"jawOpen": 0.6, "mouthUpperUpLeft": 0.6, "mouthUpperUpRight": 0.6, "mouthLowerDownLeft": 0.4,
                "mouthLowerDownRight": 0.4}  # fmt: skip


def shade(
    lights: Lights,
    normals: Tensor,
    to_eye: Tensor,
    albedo: Tensor,
    gloss: Tensor,
    occlusion: Tensor,
    shadow: Tensor | None = None,
    subsurface: Tensor | None = None,
) -> Tensor:
    """Linear radiance of every pixel.

    Args:
        lights: B samples, camera frame.
        normals: (B, R, R, 3) unit, camera frame (relief already in them); anything off the surface.
        to_eye: (B, R, R, 3) unit, from the surface to the camera.
        albedo: (B, R, R, 3) linear RGB.
        gloss: (B, R, R, 2) strength (1: a plain dielectric) and roughness in (0, 1] of the shine.
        occlusion: (B, R, R) share of the surrounding that reaches the point, 1 in the open.
        shadow: (B, R, R, 2) share of each lamp that reaches the point (`cast_shadows`); None: all.
        subsurface: (B, R, R) or a number that broadcasts: 1 skin, 0 hard matter without light under its surface.

    Returns:
        (B, R, R, 3), not negative, not clipped above.
    """
    wrap = albedo.new_tensor(_SUBSURFACE_WRAP)
    if subsurface is not None:
        wrap = wrap * subsurface[..., None]
    surrounding = shade_spherical_harmonics(normals, lights.harmonics).clamp_min(0.02)
    # Light that has bounced inside a crease takes on the colour of the skin: occlusion is weaker where albedo is high.
    open_share = occlusion[..., None]
    open_share = open_share / (1 - albedo.clamp(0, 0.8) * (1 - open_share))
    diffuse = surrounding * open_share
    roughness = gloss[..., 1].clamp(0.05, 1.0)
    mirrored = 2 * (normals * to_eye).sum(-1, keepdim=True) * normals - to_eye
    facing = (normals * to_eye).sum(-1).clamp(0, 1)
    fresnel = _NORMAL_INCIDENCE + (1 - _NORMAL_INCIDENCE) * (1 - facing) ** 5 * (1 - roughness) ** 2
    reflected = shade_spherical_harmonics(mirrored, lights.harmonics).clamp_min(0.02) * occlusion[..., None] ** 2
    shine = reflected * fresnel[..., None]
    for lamp in range(lights.directions.shape[1]):
        towards = lights.directions[:, lamp, None, None]
        color = lights.colors[:, lamp, None, None]
        softness = lights.softness[:, lamp, None, None]
        cosine = (normals * towards).sum(-1)
        # A broad lamp reaches past the terminator, and so does light under skin: wrapped, with the same total.
        around = wrap + 0.5 * softness[..., None]
        lit = (cosine[..., None] + around).clamp_min(0) / (1 + around) ** 2
        reach = torch.ones_like(cosine) if shadow is None else shadow[..., lamp]
        # What faces away is in its own shadow in any shadow map; there the wrapped light alone decides.
        edge = 1 - (1 - reach) * ((cosine + 0.1) / 0.3).clamp(0, 1)
        diffuse = diffuse + color * lit * edge[..., None]
        lobe = _lamp_shine(cosine, normals, towards, to_eye, (roughness + 0.4 * softness).clamp_max(1.0))
        shine = shine + color * (lobe * reach)[..., None]
    radiance = albedo * diffuse + gloss[..., :1] * shine
    return radiance * lights.exposure[:, None, None, None]


def _lamp_shine(cosine: Tensor, normals: Tensor, towards: Tensor, to_eye: Tensor, roughness: Tensor) -> Tensor:
    """Shine (B, R, R) for a lamp that shows 1 on white matt: GGX (Walter et al. 2007), Kelemen's visibility term."""
    half = torch.nn.functional.normalize(towards + to_eye, dim=-1)
    alpha = roughness.square()
    peak = alpha.square()
    spread = math.pi * ((normals * half).sum(-1).clamp(0, 1).square() * (peak - 1) + 1).square()
    along = (towards * half).sum(-1).clamp(0.2, 1)
    fresnel = _NORMAL_INCIDENCE + (1 - _NORMAL_INCIDENCE) * (1 - along) ** 5
    return fresnel * peak / spread.clamp_min(1e-6) * math.pi * cosine.clamp_min(0) / (4 * along.square())


def cast_shadows(lights: Lights, verts_camera: Tensor, topology: Topology, positions: Tensor) -> Tensor:
    """Share of each lamp that reaches every pixel, by a shadow map with soft edges.

    Args:
        verts_camera: (B, N, 3) everything that casts a shadow, camera frame, mm.
        topology: its faces.
        positions: (B, R, R, 3) surface point under every pixel, camera frame, mm.

    Returns:
        (B, R, R, 2) in [0, 1]; 1 for a lamp that is absent.

    Depth and its square are averaged over the width of the lamp's penumbra and compared by Chebyshev's inequality
    (Donnelly and Lauritzen, "Variance shadow maps", I3D 2006).
    """
    shares = []
    for lamp in range(lights.directions.shape[1]):
        if not bool((lights.colors[:, lamp] > 0).any()):
            shares.append(positions.new_ones(positions.shape[:3]))
            continue
        axes = _light_axes(lights.directions[:, lamp])
        middle = verts_camera.mean(1, keepdim=True)
        seen = (verts_camera - middle) @ axes.mT
        scale = _SHADOW_SIZE / (2 * seen[..., :2].abs().amax((1, 2)).clamp(80.0, 220.0))[:, None, None]
        image = torch.cat([seen[..., :2] * scale + _SHADOW_SIZE / 2, seen[..., 2:] + _FAR_MM / 2], -1)
        fragments = rasterize(image, topology, _SHADOW_SIZE, _SHADOW_SIZE, cull="none", perspective=False)
        depth = torch.where(fragments.face_index >= 0, fragments.depth, _FAR_MM)
        moments = torch.stack([depth, depth.square()], 1)
        moments = torch.stack([_blurred(m, s) for m, s in zip(moments, lights.softness[:, lamp].tolist())])
        at = (positions - middle[:, None]) @ axes.mT[:, None]
        grid = at[..., :2] * (scale[..., None] * 2 / _SHADOW_SIZE)
        mean, square = torch.nn.functional.grid_sample(
            moments, grid, mode="bilinear", padding_mode="border", align_corners=False
        ).unbind(1)
        behind = (at[..., 2] + _FAR_MM / 2 - mean - _SHADOW_BIAS_MM).clamp_min(0)
        variance = (square - mean.square()).clamp_min(2.0)
        share = variance / (variance + behind.square())
        share = ((share - 0.15) / 0.85).clamp(0, 1)  # against light that leaks where shadows overlap
        shares.append(torch.where((lights.colors[:, lamp] > 0).any(-1)[:, None, None], share, 1.0))
    return torch.stack(shares, -1)


def vertex_occlusion(verts: Tensor, topology: Topology) -> Tensor:
    """Share of an even surrounding's light that reaches every vertex, (V,) in [0, 1], weighted by the cosine.

    Args:
        verts: (V, 3) mm, any frame.
    """
    normals = vertex_normals(verts[None], topology)[0]
    directions = _sphere(_OCCLUSION_DIRECTIONS).to(verts)
    axes = _light_axes(directions)
    seen = (verts - verts.mean(0)) @ axes.mT
    scale = _OCCLUSION_SIZE / (2.05 * seen[..., :2].abs().amax())
    image = torch.cat([seen[..., :2] * scale + _OCCLUSION_SIZE / 2, seen[..., 2:] + _FAR_MM / 2], -1)
    weight = (directions @ normals.T).clamp_min(0)
    visible = []
    for one in image.split(8):
        fragments = rasterize(one, topology, _OCCLUSION_SIZE, _OCCLUSION_SIZE, cull="none", perspective=False)
        visible.append(vertex_visibility(one, fragments, topology, tolerance_mm=1.5))
    return (weight * torch.cat(visible)).sum(0) / weight.sum(0).clamp_min(1e-6)


def head_occlusion(model: LinearFaceModel) -> Tensor:
    """`vertex_occlusion` (V,) of the mean head; what lies in the mouth as seen through parted lips."""
    identity = torch.zeros(1, model.identity_dim, device=model.device)
    expression = torch.zeros(1, model.expression_dim, device=model.device)
    closed = vertex_occlusion(model.vertices(identity, expression)[0], model.topology)
    for name, strength in _PARTED_LIPS.items():
        expression[0, model.expression_names.index(name)] = strength
    parted = vertex_occlusion(model.vertices(identity, expression)[0], model.topology)
    inside = model.regions["mouth_bag"] | model.regions["teeth"] | model.regions["tongue"]
    return torch.where(inside.to(closed.device), 0.7 * parted, closed)


def _light_axes(directions: Tensor) -> Tensor:
    """Rows (N, 3, 3): two axes across ``directions`` (N, 3) and the way the light goes."""
    forward = -directions
    helper = torch.where(
        forward[:, 1:2].abs() < 0.9, forward.new_tensor([[0.0, 1.0, 0.0]]), forward.new_tensor([[1.0, 0.0, 0.0]])
    )
    right = torch.nn.functional.normalize(torch.linalg.cross(helper, forward), dim=-1)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], 1)


def _blurred(moments: Tensor, softness: float) -> Tensor:
    """(2, H, W) averaged over a square, twice, as wide as the penumbra some centimetres behind an edge."""
    half = 1 + round(4 * softness)
    padded = torch.nn.functional.pad(moments[None], (2 * half,) * 4, mode="replicate")
    for _ in range(2):
        padded = torch.nn.functional.avg_pool2d(padded, 2 * half + 1, stride=1)
    return padded[0]


def _sphere(count: int) -> Tensor:
    """Directions (count, 3) spread evenly (spiral by the golden angle)."""
    i = torch.arange(count, dtype=torch.float64) + 0.5
    y = 1 - 2 * i / count
    around = math.pi * (1 + math.sqrt(5)) * i
    radius = (1 - y.square()).sqrt()
    return torch.stack([radius * around.cos(), y, radius * around.sin()], 1).float()
