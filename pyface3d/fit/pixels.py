"""One photo's pixels as a least-squares problem: shaded skin points against the picture they fall on.

Points are fixed on the visible skin, move with pose and shape, and are compared with the photo where they land
(Lucas and Kanade's forward-additive alignment, with shading). Colours are compared as square roots of linear RGB,
close to how they look and to how errors of albedo and shading scale, and whitened so that an error of brightness (a
cast shadow, a wrinkle) weighs less than one of hue (something that is not skin).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pyface3d.fit.dense_model import DenseFace
from pyface3d.fit.illumination import harmonics, shading_slope
from pyface3d.fit.inliers import blur
from pyface3d.fit.posterior import POSE, FaceState, point_jacobian
from pyface3d.geometry import Camera
from pyface3d.geometry.rotations import cross_matrix
from pyface3d.ops import Topology, interpolate, rasterize, render_texture, vertex_normals

ROBUST_SCALE = 4.0
"""Misfit in σ at which a pixel's weight has fallen to a quarter (Geman-McClure)."""

_FLOOR = 0.003  # linear RGB added under the root: its slope is infinite at black
_LEAST_FACING = 0.15  # cosine to the viewer under which a skin point is an edge
_LEAST_COLOUR = 0.01  # linear; albedo and shading are kept above it
_NORMAL_STEP = 0.1  # coefficient step of the normals' finite difference


def to_perceived(colour_linear: Tensor) -> Tensor:
    """The scale in which colours are compared: root of linear RGB."""
    return (colour_linear.clamp_min(0) + _FLOOR).sqrt()


@dataclass(frozen=True)
class Noise:
    """Spread of the misfit of pixels that do show the face: of brightness and of hue, in perceived units."""

    grey: float
    hue: float

    def whitener(self, like: Tensor) -> Tensor:
        """(3, 3) W with W r of unit variance in every direction."""
        ones = torch.full((3, 3), 1 / 3, dtype=like.dtype)
        return ones / (self.grey * math.sqrt(3)) + (torch.eye(3, dtype=like.dtype) - ones) / self.hue

    @property
    def log_normaliser(self) -> float:
        """Log density of a misfit of zero."""
        return -1.5 * math.log(2 * math.pi) - math.log(self.grey * math.sqrt(3) * self.hue**2)


_NOISE_LEAST, _NOISE_MOST = Noise(0.05, 0.02), Noise(0.11, 0.05)


def measured_noise(misfit: Tensor) -> Noise:
    """Robust spread (from the median absolute value) of misfits (P, 3), within sensible limits."""
    grey = misfit.mean(-1)
    hue = misfit - grey[:, None]
    to_sigma = 1.4826
    grey_spread = float(grey.abs().median()) * to_sigma
    hue_spread = math.sqrt(float(hue.square().sum(-1).median()) / (2 * math.log(2)))
    return Noise(
        min(max(grey_spread, _NOISE_LEAST.grey), _NOISE_MOST.grey),
        min(max(hue_spread, _NOISE_LEAST.hue), _NOISE_MOST.hue),
    )


@dataclass(frozen=True)
class Crop:
    """A square of a photo round the face.

    Attributes:
        image: perceived colours, (S, S, 3).
        valid: pixels that lie in the photo and may be looked at, (S, S) bool.
        camera: of the crop, B = 1.
        seen: probability that a pixel shows the face as known before the fit, (S, S), or None.
    """

    image: Tensor
    valid: Tensor
    camera: Camera
    seen: Tensor | None = None


@dataclass(frozen=True)
class Appearance:
    """Light (9, 3) and albedo (A,) of one photo."""

    light: Tensor
    albedo: Tensor


@dataclass(frozen=True)
class Rendering:
    """The face as the model has it now.

    Attributes:
        colour: perceived colours, (H, W, 3), 0 off the head.
        covered: (H, W) bool, the whole head.
        facial: (H, W) bool, facial skin only.
        face_index, barycentrics: as rasterised, (H, W) and (H, W, 3).
        facing: cosine between normal and viewing ray, (H, W).
    """

    colour: Tensor
    covered: Tensor
    facial: Tensor
    face_index: Tensor
    barycentrics: Tensor
    facing: Tensor


def render(dense: DenseFace, topology: Topology, camera: Camera, state: FaceState, appearance: Appearance) -> Rendering:
    """Draw the head of a one-photo ``state`` as the one ``camera`` sees it."""
    verts = dense.verts(state.coefficients)
    rotation, translation = state.rotation.float(), state.translation.float()
    placed = verts @ rotation.transpose(1, 2) + translation[:, None]
    normals = vertex_normals(verts, topology) @ rotation.transpose(1, 2)
    fragments = rasterize(camera.project(placed), topology, camera.height, camera.width)
    kept = torch.cat([normals, placed, dense.face[None, :, None].to(verts)], -1)
    maps = interpolate(kept, fragments, topology)[0]
    normal = F.normalize(maps[..., :3], dim=-1)
    facing = -(normal * F.normalize(maps[..., 3:6], dim=-1)).sum(-1)
    albedo = dense.albedo_mean + torch.tensordot(appearance.albedo.float(), dense.albedo_basis, 1)
    if dense.albedo_in_uv:
        painted = render_texture(albedo[None].contiguous(), fragments, topology)[0]
    else:
        painted = interpolate(albedo[None].contiguous(), fragments, topology)[0]
    shade = harmonics(normal) @ appearance.light.float()
    colour = to_perceived(painted.clamp_min(_LEAST_COLOUR) * shade.clamp_min(_LEAST_COLOUR))
    covered = fragments.face_index[0] >= 0
    facial = covered & (maps[..., 6] > 0.99) & (facing > _LEAST_FACING)
    colour = colour * covered[..., None]
    return Rendering(colour, covered, facial, fragments.face_index[0], fragments.barycentrics[0], facing)


@dataclass(frozen=True)
class SkinPoints:
    """P points fixed on the skin, with everything that depends on where on the skin they are.

    Attributes:
        mean, basis: position without pose, (P, 3) and (P, 3, N).
        corners, barycentrics: the vertices round each point, (P, 3) and their weights.
        normal_basis: change of the unit normal by each coefficient, (P, 3, N).
        albedo_mean, albedo_basis: (P, 3) and (P, 3, A).
        weight: belief that the pixel shows the face, (P,), scaled so that a whole face's sum is the effective number.
    """

    mean: Tensor
    basis: Tensor
    corners: Tensor
    barycentrics: Tensor
    normal_basis: Tensor
    albedo_mean: Tensor
    albedo_basis: Tensor
    weight: Tensor


def choose_points(
    dense: DenseFace,
    topology: Topology,
    rendering: Rendering,
    probability: Tensor,
    state: FaceState,
    count: int,
    effective: float,
) -> SkinPoints:
    """Pick skin points under evenly spread facial pixels.

    Args:
        probability: of each crop pixel to show the face, (S, S); pixels under 0.05 are left out.
        state: of one photo.
        count: most points.
        effective: how many independent measurements a full set of pixels is worth; neighbours err together.
    """
    rows, columns = (rendering.facial & (probability > 0.05)).nonzero().unbind(1)
    candidates = len(rows)
    if len(rows) > count:
        even = torch.linspace(0, len(rows) - 1, count).round().long()
        rows, columns = rows[even], columns[even]
    index = rendering.face_index[rows, columns].long()
    bary = rendering.barycentrics[rows, columns]
    corners = topology.faces[index].long()

    def blend(values: Tensor, at: Tensor) -> Tensor:  # (..., V, 3) to (..., P, 3)
        return (values[..., at, :] * bary[:, :, None]).sum(-2)

    verts = dense.verts(state.coefficients)
    here = vertex_normals(verts, topology)
    near = vertex_normals(verts + _NORMAL_STEP * dense.basis, topology)
    if dense.albedo_in_uv:
        assert topology.uvs is not None and topology.uv_faces is not None
        uvs = (topology.uvs[topology.uv_faces[index].long()] * bary[..., None]).sum(1)
        maps = torch.cat([dense.albedo_mean[None], dense.albedo_basis]).permute(0, 3, 1, 2)
        grid = (2 * uvs - 1).to(maps).expand(len(maps), 1, -1, 2)
        albedo = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, :, 0].transpose(1, 2)
    else:
        albedo = blend(torch.cat([dense.albedo_mean[None], dense.albedo_basis]), corners)
    weight = probability[rows, columns]
    share = min(1.0, effective / max(1, int(rendering.facial.sum())))
    return SkinPoints(
        mean=blend(dense.mean, corners),
        basis=blend(dense.basis, corners).permute(1, 2, 0).contiguous(),
        corners=corners,
        barycentrics=bary,
        normal_basis=(blend(near - here, corners) / _NORMAL_STEP).permute(1, 2, 0).contiguous(),
        albedo_mean=albedo[0],
        albedo_basis=albedo[1:].permute(1, 2, 0).contiguous(),
        weight=weight * share * (candidates / max(1, len(rows))),
    )


@dataclass(frozen=True)
class PixelProblem:
    """Skin points and the picture they are compared with.

    Attributes:
        maps: perceived colour and its slopes by x and y, (1, 9, S, S).
        whitener: (3, 3).
    """

    dense: DenseFace
    topology: Topology
    points: SkinPoints
    maps: Tensor
    camera: Camera
    whitener: Tensor

    @staticmethod
    def make(
        dense: DenseFace, topology: Topology, points: SkinPoints, crop: Crop, noise: Noise, sigma: float
    ) -> "PixelProblem":
        """``sigma``: blur of the picture in crop pixels; the wider, the farther a misplaced face is pulled."""
        smooth = blur(crop.image.permute(2, 0, 1), sigma)
        wide = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
        by_x = (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2
        by_y = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2
        maps = torch.cat([smooth, by_x, by_y])[None]
        return PixelProblem(dense, topology, points, maps, crop.camera, noise.whitener(smooth))

    def cost(self, state: FaceState, appearance: Appearance) -> float:
        """Weighted Geman-McClure misfit: twice a negative log likelihood."""
        square = (self._misfit(state, appearance)[0] @ self.whitener).square().sum(-1)
        return float((self.points.weight * square / (1 + square / ROBUST_SCALE**2)).sum().double())

    def quadratic_model(self, state: FaceState, appearance: Appearance, moves: bool = True) -> tuple[Tensor, Tensor]:
        """Gauss-Newton Hessian and gradient (float64) of half the cost by pose, coefficients, light and albedo.

        Args:
            moves: False leaves out the derivatives by pose and shape (zeros), which are most of the work.
        """
        residual, parts = self._misfit(state, appearance)
        turned, placed, normal, albedo, bands, shade, colour, slopes = parts
        to_root = -0.5 / colour
        light = (to_root * albedo)[:, None, :] * bands[:, :, None]  # (P, 9, 3)
        own = torch.eye(3)[:, None, :]  # light of one colour moves that colour alone
        by_light = light[:, None] * own  # (P, 3, 9, 3)
        by_albedo = (to_root * shade)[..., None] * self.points.albedo_basis
        columns = [by_light.flatten(2), by_albedo]
        if moves:
            rotation = state.rotation[0].float()
            gain = self.camera.focal / placed[:, 2]
            by_spot = slopes @ point_jacobian(placed, gain)  # (P, 3 colours, 3)
            by_normal = (to_root * albedo)[..., None] * shading_slope(normal, appearance.light.float())
            by_turn = -by_spot @ cross_matrix(turned) - by_normal @ cross_matrix(normal)
            by_shape = (by_spot @ rotation) @ self.points.basis + (by_normal @ rotation) @ self.points.normal_basis
            columns = [by_turn, by_spot, by_shape, *columns]
        jacobian = self.whitener @ torch.cat(columns, -1)
        white = residual @ self.whitener
        square = white.square().sum(-1)
        root = self.points.weight.sqrt() / (1 + square / ROBUST_SCALE**2)
        rows = (jacobian * root[:, None, None]).flatten(0, 1)
        hessian = (rows.T @ rows).double()
        gradient = (rows.T @ (white * root[:, None]).flatten()).double()
        if not moves:
            still = POSE + self.points.basis.shape[-1]
            hessian = F.pad(hessian, (still, 0, still, 0))
            gradient = F.pad(gradient, (still, 0))
        return hessian, gradient

    def _misfit(self, state: FaceState, appearance: Appearance) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Perceived colour in the photo less the model's, (P, 3), and what derivatives need."""
        points = self.points
        rotation, translation = state.rotation[0].float(), state.translation[0].float()
        coefficients = state.coefficients[0].float()
        turned = (points.mean + points.basis @ coefficients) @ rotation.T
        placed = turned + translation
        pixels = self.camera.focal * placed[:, :2] / placed[:, 2:] + self.camera.center
        size = self.maps.shape[-1]
        grid = (pixels / size * 2 - 1)[None, None]
        sampled = F.grid_sample(self.maps, grid, padding_mode="border", align_corners=False)[0, :, 0].T
        slopes = torch.stack([sampled[:, 3:6], sampled[:, 6:9]], -1)

        model_normals = vertex_normals(self.dense.verts(state.coefficients), self.topology)[0]
        blended = (model_normals[points.corners] * points.barycentrics[..., None]).sum(1)
        normal = F.normalize(blended, dim=-1) @ rotation.T
        albedo = (points.albedo_mean + points.albedo_basis @ appearance.albedo.float()).clamp_min(_LEAST_COLOUR)
        bands = harmonics(normal)
        shade = (bands @ appearance.light.float()).clamp_min(_LEAST_COLOUR)
        colour = to_perceived(albedo * shade)
        return sampled[:, :3] - colour, (turned, placed, normal, albedo, bands, shade, colour, slopes)
