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
_OCCLUSION_POWER = 2.0  # light from above counts more than an even surrounding, and creases see little of it
_DARKEST = 0.02  # where nine bands would give negative light
_AT_ONCE = {"cpu": 1, "cuda": 64}  # samples shaded together: as many as stay in the cache
_SHADOW_BIAS_MM = 3.0
_FAR_MM = 1000.0
_IN_MOUTH = {"mouth_bag": 0.3, "tongue": 0.42, "teeth": 0.55}
_MOUTH_DEPTH_MM = 26.0


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
        subsurface: (B, R, R): 1 skin, 0 hard matter without light under its surface; None: all skin.

    Returns:
        (B, R, R, 3), not negative, not clipped above.
    """
    parts = []
    step = _AT_ONCE.get(normals.device.type, 64)
    for start in range(0, len(lights), step):
        some = slice(start, start + step)
        shaded = _shade(
            lights[some],
            normals[some],
            to_eye[some],
            albedo[some],
            gloss[some],
            occlusion[some],
            None if shadow is None else shadow[some],
            None if subsurface is None else subsurface[some],
        )
        parts.append(shaded)
    return torch.cat(parts)


def _shade(
    lights: Lights, normals: Tensor, to_eye: Tensor, albedo: Tensor, gloss: Tensor, occlusion: Tensor,
    shadow: Tensor | None, subsurface: Tensor | None,
) -> Tensor:  # fmt: skip
    """`shade` colour plane by colour plane: (B, 3, R, R) with (B, 1, R, R) broadcasts many times faster."""
    surrounding = _planes(shade_spherical_harmonics(normals, lights.harmonics)).clamp_min_(_DARKEST)
    normals, to_eye, albedo, gloss = (_planes(x) for x in (normals, to_eye, albedo, gloss))
    strength, roughness = gloss[:, :1], gloss[:, 1:].clamp(0.05, 1.0)
    facing = (normals * to_eye).sum(1, keepdim=True)
    mirrored = 2 * facing * normals - to_eye
    reflected = _reflected(mirrored, lights.harmonics)
    # Light that has bounced inside a crease takes on the colour of the skin: occlusion is weaker where albedo is high.
    hidden = 1 - occlusion[:, None] ** _OCCLUSION_POWER
    diffuse = surrounding * (1 - hidden) / (1 - albedo.clamp(0, 0.8) * hidden)
    fresnel = _NORMAL_INCIDENCE + (1 - _NORMAL_INCIDENCE) * (1 - facing.clamp(0, 1)) ** 5 * _grazing(roughness)
    shine = reflected * (fresnel * (1 - hidden).square())
    wrap = albedo.new_tensor(_SUBSURFACE_WRAP)[:, None, None]
    wrap = wrap if subsurface is None else wrap * subsurface[:, None]
    for lamp in range(lights.directions.shape[1]):
        color = lights.colors[:, lamp, :, None, None]
        if not bool((color > 0).any()):
            continue
        towards = lights.directions[:, lamp, :, None, None]
        softness = lights.softness[:, lamp, None, None, None]
        cosine = (normals * towards).sum(1, keepdim=True)
        # A broad lamp reaches past the terminator, and so does light under skin: wrapped, with the same total.
        around = wrap + 0.5 * softness
        lit = (cosine + around).clamp_min_(0) / (1 + around).square()
        lobe = _lamp_shine(cosine, facing, towards, to_eye, (roughness + 0.4 * softness).clamp_max(1.0))
        if shadow is not None:
            # What faces away is in its own shadow in any shadow map; there the wrapped light alone decides.
            reach = shadow[:, None, ..., lamp]
            lit = lit * (1 - (1 - reach) * ((cosine + 0.1) / 0.3).clamp_(0, 1))
            lobe = lobe * reach
        diffuse = diffuse + color * lit
        shine = shine + color * lobe
    radiance = (albedo * diffuse + strength * shine) * lights.exposure[:, None, None, None]
    return radiance.permute(0, 2, 3, 1)


def _grazing(roughness: Tensor) -> Tensor:
    """How much of the mirror's brightness at grazing sight is left: rough skin hides most of it in its own valleys."""
    return 0.6 * (1 - roughness) ** 4


def _planes(values: Tensor) -> Tensor:
    return values.permute(0, 3, 1, 2).contiguous()


def _reflected(mirrored: Tensor, harmonics: Tensor) -> Tensor:
    """Radiance (B, 3, R, R) from the mirrored direction, blurred as rough skin does it: the first two bands."""
    flat = torch.cat([torch.full_like(mirrored[:, :1], math.sqrt(1 / (4 * math.pi))),
                      mirrored[:, [1, 2, 0]] * (math.sqrt(3 / (4 * math.pi)) * 0.8)], 1)  # fmt: skip
    bands = harmonics[:, :4].mT[..., None, None]
    return sum((bands[:, :, k] * flat[:, k : k + 1] for k in range(1, 4)), bands[:, :, 0] * flat[:, :1]).clamp_min(
        _DARKEST
    )


def _lamp_shine(cosine: Tensor, facing: Tensor, towards: Tensor, to_eye: Tensor, roughness: Tensor) -> Tensor:
    """Shine (B, 1, R, R) for a lamp that shows 1 on white matt: GGX (Walter et al. 2007), Kelemen's visibility term."""
    # With h = (l + e) / |l + e|:  |l + e|² = 2 + 2 l e,  n h = (n l + n e) / |l + e|,  l h = |l + e| / 2.
    squared = (2 + 2 * (towards * to_eye).sum(1, keepdim=True)).clamp_min_(0.16)
    to_half = (cosine + facing).clamp_min(0).square() / squared
    peak = roughness.square().square()
    spread = (to_half.clamp_max_(1) * (peak - 1) + 1).square()
    along = 0.5 * squared.sqrt()
    fresnel = _NORMAL_INCIDENCE + (1 - _NORMAL_INCIDENCE) * (1 - along) ** 5
    # D F V pi cos with D = peak / (pi spread) and V = 1 / (4 (l h)^2); the lamp's irradiance is pi.
    return fresnel * peak / spread.clamp_min(1e-6) * cosine.clamp_min(0) / squared


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
    size = positions.shape[1:3]
    positions = positions[:, ::2, ::2]  # soft enough for half the resolution
    shares = []
    for lamp in range(lights.directions.shape[1]):
        if not bool((lights.colors[:, lamp] > 0).any()):
            shares.append(positions.new_ones(positions.shape[:3]))
            continue
        axes = light_axes(lights.directions[:, lamp])
        # not the mean: a sum's last bits depend on the number of threads
        middle = 0.5 * (verts_camera.amin(1, keepdim=True) + verts_camera.amax(1, keepdim=True))
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
    share = torch.stack(shares, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return share[..., : size[0], : size[1]].permute(0, 2, 3, 1)


def vertex_occlusion(verts: Tensor, topology: Topology) -> Tensor:
    """Share of an even surrounding's light that reaches every vertex, (V,) in [0, 1], weighted by the cosine.

    Args:
        verts: (V, 3) mm, any frame.
    """
    normals = vertex_normals(verts[None], topology)[0]
    directions = _sphere(_OCCLUSION_DIRECTIONS).to(verts)
    axes = light_axes(directions)
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
    """`vertex_occlusion` (V,) of the mean head; in its mouth, which is closed, what parted lips would let in.

    How far they part is not known here, so the mouth gets a middling share, less towards its back; the rest of the
    darkness is in its albedo and in the lamps' shadows.
    """
    identity = torch.zeros(1, model.identity_dim, device=model.device)
    expression = torch.zeros(1, model.expression_dim, device=model.device)
    verts = model.vertices(identity, expression)[0]
    open_share = vertex_occlusion(verts, model.topology)
    teeth = model.regions["teeth"]
    depth = (verts[teeth, 2].max() - verts[:, 2]).clamp_min(0)
    for region, share in _IN_MOUTH.items():
        inside = model.regions[region] & ~model.regions["skin"]
        open_share = torch.where(inside, share * torch.exp(-((depth / _MOUTH_DEPTH_MM) ** 2)), open_share)
    return open_share


def light_axes(directions: Tensor) -> Tensor:
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
    for kernel in ((2 * half + 1, 1), (1, 2 * half + 1)) * 2:
        padded = torch.nn.functional.avg_pool2d(padded, kernel, stride=1)
    return padded[0]


def _sphere(count: int) -> Tensor:
    """Directions (count, 3) spread evenly (spiral by the golden angle)."""
    i = torch.arange(count, dtype=torch.float64) + 0.5
    y = 1 - 2 * i / count
    around = math.pi * (1 + math.sqrt(5)) * i
    radius = (1 - y.square()).sqrt()
    return torch.stack([radius * around.cos(), y, radius * around.sin()], 1).float()
