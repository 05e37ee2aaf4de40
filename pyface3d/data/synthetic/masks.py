"""Face masks on a face: photographed ones, or a pleated one drawn here, bent to the landmarks by a spline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.anchors import FaceFrame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.sprites import tinted, unpack
from pyface3d.data.synthetic.textures import draw_textures, plain_colors

CONTROLS = ("bridge", "tip", "mouth", "chin", "left top", "left", "left low", "right top", "right", "right low", "jaw")
"""Places on a mask that have a place on the face; "left" and "right" as in the picture."""

_GRID = 33  # cells per side on which the spline is evaluated


@dataclass(frozen=True)
class MaskTemplates:
    """Pictures of N masks.

    Attributes:
        pictures: (N, 4, h, h) premultiplied linear RGB and cover.
        controls: (N, 11, 2) where ``CONTROLS`` lie, -1 … 1 across the picture.
        known: (N, 11) bool, False for controls that the picture does not show.
        reach: (N,) how far from the face's middle line to its outline the mask's sides go.
        side: (N,) bool, seen from the side: of a face that looks to the left of the picture.
        turns: (N, 2) least and most `FaceFrame.turn` of the faces on which they look right.
    """

    pictures: Tensor
    controls: Tensor
    known: Tensor
    reach: Tensor
    side: Tensor
    turns: Tensor


@dataclass(frozen=True)
class SkinAlike:
    """Masks that pass for skin.

    Attributes:
        share: of the masks.
        skin: (B, 3) linear RGB in which the wearers' skin is seen.
        pool: pictures of other people to be printed, as of `occluders.draw_occluders`; None: no prints.
    """

    share: float
    skin: Tensor
    pool: Tensor | None


def mask_templates(assets: Mapping[str, Tensor], device: torch.device) -> MaskTemplates:
    """The packed templates, or the drawn one."""
    if "occluders.masks" not in assets:
        return _drawn(device)
    controls = assets["occluders.mask_controls"]
    known = ~controls.isnan().any(2)
    return MaskTemplates(
        _unpacked(assets["occluders.masks"]),
        controls.nan_to_num(0.0),
        known,
        assets["occluders.mask_reach"],
        assets["occluders.mask_side"].bool(),
        assets["occluders.mask_turns"],
    )


@lru_cache(maxsize=4)
def _unpacked(pictures: Tensor) -> Tensor:
    return unpack(pictures)


def masks(
    assets: Mapping[str, Tensor], draws: Draws, frame: FaceFrame, size: int, alike: SkinAlike | None = None
) -> Tensor:
    """One mask per face, most over nose and mouth, some pulled below the nose or the mouth.

    Args:
        assets: with ``occluders.mask*``; else a drawn mask stands in.
        draws: of the B samples.
        frame: of their faces.
        size: S px.
        alike: masks of the colour of skin, or with a face printed on.

    Returns:
        (B, 4, S, S) premultiplied.
    """
    templates = mask_templates(assets, draws.device)
    # A face that looks to the right is a mirrored face that looks to the left.
    mirrored = torch.where(frame.turn.abs() > 0.02, frame.turn > 0, draws.chance(0.5))
    points = torch.where(mirrored[:, None, None], mirror(frame.points, size), frame.points)
    turn = (frame.turn.abs() + draws.normal(0.015)).clamp(0, 0.5)[:, None]
    fits = (templates.turns[:, 0] <= turn) & (turn <= templates.turns[:, 1])
    index = (draws.random(len(templates.turns)) + fits.float()).argmax(1)  # any of those that fit
    below = draws.choice([0.86, 0.09, 0.05])
    drop = torch.where(below == 0, draws.normal(0.02), torch.where(below == 1, 0.3, 0.52))
    targets = control_targets(points, templates.reach[index], templates.side[index])
    targets = _worn_differently(draws, targets, points, frame, drop)
    pictures = _fabric(draws, templates.pictures[index])
    if alike is not None:
        pictures = _like_skin(draws, pictures, alike)
    layer = warp(pictures, templates.controls[index], templates.known[index], targets, size)
    layer = torch.where(mirrored[:, None, None, None], layer.flip(-1), layer)
    return tinted(draws, layer, 0.2)


def _worn_differently(draws: Draws, targets: Tensor, points: Tensor, frame: FaceFrame, drop: Tensor) -> Tensor:
    """Masks larger and smaller than the face, pulled higher at the cheeks, hanging below the chin, or ``drop`` (B,)."""
    down = functional.normalize(points[:, 8] - points[:, 27], dim=1)
    right = torch.stack([down[:, 1], -down[:, 0]], 1)
    offset = targets - targets[:, 1:2]
    wider = torch.exp(draws.normal(0.07) + 0.05)[:, None] - 1
    targets = targets + (wider * (offset * right[:, None]).sum(2))[..., None] * right[:, None]
    lift, hang = draws.uniform(-0.02, 0.1), draws.uniform(-0.02, 0.1)
    lowered = drop[:, None] + draws.normal(0.01, len(CONTROLS))
    for names, amount in (
        (("left top", "right top"), -lift),
        (("chin", "jaw"), hang),
        (("left low", "right low"), hang / 2),
    ):
        for name in names:
            lowered[:, CONTROLS.index(name)] += amount
    targets = targets + (lowered * frame.height[:, None])[..., None] * down[:, None]
    return targets + draws.normal(0.01, len(CONTROLS), 2) * frame.width[:, None, None]


def mirror(points: Tensor, size: int) -> Tensor:
    """(B, 68, 2) px points of the mirrored picture, in iBUG order again."""
    order = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), *range(45, 41, -1), 47, 46]
    order += [*range(39, 35, -1), 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
    flipped = points[:, order]
    return torch.stack([size - flipped[..., 0], flipped[..., 1]], -1)


def control_targets(points: Tensor, reach: Tensor, side: Tensor) -> Tensor:
    """Where the controls of a mask lie on a face.

    Args:
        points: (B, 68, 2) px of faces that look ahead or to the left of the picture.
        reach: (B,) of the masks.
        side: (B,) bool, whether the masks are seen from the side; their edge near us then ends before the ear.

    Returns:
        (B, 11, 2) px, in the order of ``CONTROLS``.
    """
    reach, side = reach[:, None], side[:, None]
    bridge = 0.35 * points[:, 27] + 0.65 * points[:, 28]
    # The cloth hangs from the tip of the nose to the chin: before the lips, and seen from the side beyond them.
    width = (points[:, 16] - points[:, 0]).norm(dim=1, keepdim=True)
    ahead = torch.where(side, 0.07 * width, 0.0) * functional.normalize(points[:, 30] - points[:, 27], dim=1)
    forward = torch.where(side, 0.05, 0.0) * width * width.new_tensor([-1.0, 0.0])
    tip = points[:, 30] + forward + 0.3 * ahead
    mouth = points[:, 62] + forward
    chin = points[:, 8] + 0.07 * (points[:, 8] - points[:, 33])
    far = torch.where(side, 1.03, reach)
    near = torch.where(side, 0.82 * reach, reach)
    left_top = torch.lerp(points[:, 29], points[:, 1:3].mean(1), far)
    left = torch.lerp(points[:, 33], points[:, 3], far)
    left_low = torch.lerp(points[:, 57], points[:, 6], far + 0.04)
    right_top = torch.lerp(points[:, 29], points[:, 14:16].mean(1), near)
    right = torch.lerp(points[:, 33], points[:, 13], near)
    right_low = torch.lerp(points[:, 57], points[:, 10:12].mean(1), (near + 0.1).clamp_max(1.05))
    jaw = torch.lerp(points[:, 57], points[:, 9], 1.04)
    return torch.stack([bridge, tip, mouth, chin, left_top, left, left_low, right_top, right, right_low, jaw], 1)


def warp(pictures: Tensor, controls: Tensor, known: Tensor, targets: Tensor, size: int) -> Tensor:
    """Bend pictures so that their controls come to lie on the targets.

    Args:
        pictures: (B, 4, h, h) premultiplied.
        controls: (B, K, 2) in the pictures, -1 … 1.
        known: (B, K) bool, which of them count.
        targets: (B, K, 2) px of the S x S result.
        size: S px.

    Returns:
        (B, 4, S, S); empty where the spline leads outside the picture.

    Source: Bookstein 1989, thin-plate splines, from the result to the picture, slightly smoothed.
    """
    count, number = targets.shape[:2]
    scale = size / 2
    knots = (targets - scale) / scale
    smooth = torch.where(known, 1e-3, 1e6)  # an unknown control holds nothing
    system = targets.new_zeros(count, number + 3, number + 3)
    system[:, :number, :number] = _bending(torch.cdist(knots, knots)) + torch.diag_embed(smooth)
    system[:, :number, number] = 1
    system[:, :number, number + 1 :] = knots
    system[:, number:, :number] = system[:, :number, number:].mT
    values = functional.pad(controls, (0, 0, 0, 3))
    weights = torch.linalg.solve(system.double(), values.double()).float()
    at = torch.linspace(-1, 1, _GRID, device=targets.device)
    places = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).reshape(1, -1, 2).expand(count, -1, -1)
    basis = torch.cat([_bending(torch.cdist(places, knots)), torch.ones_like(places[..., :1]), places], 2)
    coarse = (basis @ weights).reshape(count, _GRID, _GRID, 2).permute(0, 3, 1, 2)
    step = (torch.arange(size, device=targets.device, dtype=targets.dtype) + 0.5) / size * 2 - 1
    fine = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).expand(count, -1, -1, -1)
    uv = functional.grid_sample(coarse, fine, align_corners=True).permute(0, 2, 3, 1)
    return functional.grid_sample(pictures, uv, align_corners=False)


def _bending(distance: Tensor) -> Tensor:
    """r^2 log r."""
    return distance.square() * torch.log(distance.clamp_min(1e-6))


def _fabric(draws: Draws, pictures: Tensor) -> Tensor:
    """A third of the masks in other colours, half of those printed: the picture's own light on a new cloth."""
    chosen = draws.chance(0.35).nonzero()[:, 0]
    if not len(chosen):
        return pictures
    own = draws.of(chosen)
    color = plain_colors(own)[:, :, None, None]
    cloth = torch.where(own.chance(0.5)[:, None, None, None], draw_textures(own, pictures.shape[-1]), color)
    return pictures.index_put((chosen,), _in_cloth(pictures[chosen], cloth))


def _in_cloth(pictures: Tensor, cloth: Tensor) -> Tensor:
    """(B, 4, h, h) pictures with their own light on a ``cloth`` (B, 3, h, h)."""
    cover = pictures[:, 3:]
    light = pictures[:, :3].amax(1, keepdim=True)
    mean = light.sum((2, 3), keepdim=True) / cover.sum((2, 3), keepdim=True).clamp_min(1)
    return torch.cat([cloth * (0.25 * cover + 0.75 * light / mean.clamp_min(0.02)), cover], 1)


def _like_skin(draws: Draws, pictures: Tensor, alike: SkinAlike) -> Tensor:
    """Some masks in the wearer's colour: plain, faintly patterned, or the lower half of a face printed on."""
    chosen = draws.chance(alike.share).nonzero()[:, 0]
    if not len(chosen):
        return pictures
    own, side = draws.of(chosen), pictures.shape[-1]
    color = alike.skin[chosen] * torch.exp(own.normal(0.22)[:, None] + own.normal(0.07, 3))
    cloth = color[:, :, None, None] * _faint(own, side)
    if alike.pool is not None:
        printed = own.chance(0.4).nonzero()[:, 0]
        cloth = cloth.index_put((printed,), _printed(own.of(printed), cloth[printed], alike.pool))
    return pictures.index_put((chosen,), _in_cloth(pictures[chosen], cloth.clamp(0, 1)))


def _faint(draws: Draws, side: int) -> Tensor:
    """(B, 1, h, h) patterns about 1, half of them hardly to be seen."""
    pattern = draw_textures(draws, side).mean(1, keepdim=True)
    pattern = pattern / pattern.mean((2, 3), keepdim=True).clamp_min(0.05)
    return pattern.clamp(0.2, 3.0) ** (0.6 * draws.random() ** 2)[:, None, None, None]


def _printed(draws: Draws, cloth: Tensor, pool: Tensor) -> Tensor:
    """The middle of other people's pictures on the cloth (B, 3, h, h), where they show somebody."""
    if not len(cloth):
        return cloth
    people = pool[draws.integer(len(pool))]
    half, middle = draws.uniform(0.1, 0.3), draws.normal(0.05, 2) + pool.new_tensor([0.0, 0.12])
    at = torch.linspace(-1, 1, cloth.shape[-1], device=cloth.device)
    places = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    grid = places * half[:, None, None, None] + middle[:, None, None]
    shown = functional.grid_sample(people, grid, align_corners=False)
    share = shown[:, 3:] * draws.uniform(0.6, 1.0)[:, None, None, None]
    # In the light of the wearer rather than in that of the picture.
    level = cloth.mean((1, 2, 3)) / shown[:, :3].mean((1, 2, 3)).clamp_min(0.02)
    return torch.lerp(cloth, shown[:, :3] * level.clamp(0.2, 4.0)[:, None, None, None], share)


def _drawn(device: torch.device) -> MaskTemplates:
    """One pleated mask seen from the front: an outline through the controls, and folds."""
    controls = torch.tensor(
        [(0, -0.9), (0, -0.4), (0, 0.2), (0, 0.9), (-0.9, -0.65), (-0.93, 0.05), (-0.6, 0.6)], device=device
    )
    right = controls[4:7] * controls.new_tensor([-1.0, 1.0])
    jaw = controls.new_zeros(1, 2)
    outline = torch.cat([controls[[0, 4, 5, 6, 3]], right.flip(0)])
    following = outline.roll(-1, 0)
    at = (torch.arange(96, device=device) + 0.5) / 48 - 1
    x, y = at.expand(96, 96)[..., None], at[:, None].expand(96, 96)[..., None]
    edge = following - outline
    inside = (edge[:, 1] * (x - outline[:, 0]) - edge[:, 0] * (y - outline[:, 1])).amin(-1)
    if inside[48, 48] < 0:
        inside = (edge[:, 0] * (y - outline[:, 1]) - edge[:, 1] * (x - outline[:, 0])).amin(-1)
    cover = (inside * 48 + 0.5).clamp(0, 1)
    folds = 0.8 + 0.12 * torch.sin(9 * y[..., 0] + 2 * x[..., 0].square()) - 0.15 * x[..., 0].square()
    color = folds * controls.new_tensor([0.5, 0.68, 0.8])[:, None, None]
    known = torch.tensor([True] * 10 + [False], device=device)
    return MaskTemplates(
        torch.cat([color * cover, cover[None]])[None],
        torch.cat([controls, right, jaw])[None],
        known[None],
        controls.new_tensor([0.95]),
        torch.zeros(1, dtype=torch.bool, device=device),
        controls.new_tensor([[0.0, 1.0]]),
    )
