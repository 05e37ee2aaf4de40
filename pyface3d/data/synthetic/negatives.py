"""Pictures without a face, for the face score: places, textures, and the very things that cover faces elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.backgrounds import draw_backgrounds
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.objects import COMPANY_SCALE, FACES, OBJECTS
from pyface3d.data.synthetic.occluders import draw_occluders
from pyface3d.data.synthetic.sprites import on_their_feet

STAGE = 75


def draw_negatives(
    assets: Mapping[str, Tensor],
    rngs: Sequence[np.random.Generator],
    size: int,
    device: torch.device | str = "cpu",
    pool: Tensor | None = None,
) -> Tensor:
    """Pictures that are no crops of a face.

    Hands, masks and things are laid where a face might be, so that none of them counts as a sign of one.

    Args:
        assets: as of ``draw_backgrounds`` and ``draw_occluders``.
        rngs: one generator per sample, made with ``STAGE``.
        size: S px.
        device: of the result.
        pool: (N, 4, h, w) pictures of people, linear RGB and cover, not premultiplied; a third of the pictures then
            has one that is tiny or cut off at the edge.

    Returns:
        (B, 3, S, S) linear RGB.
    """
    image = functional.avg_pool2d(draw_backgrounds(assets, rngs, 2 * size, device).permute(0, 3, 1, 2), 2)
    draws = Draws(rngs, device)
    if pool is not None and len(pool):
        image = _far_or_cut(draws, image, pool.to(image.device))
    side = size * torch.exp(draws.uniform(-1.0, -0.3))
    middle = size * draws.uniform(0.25, 0.75, 1, 2)
    angle = draws.normal(0.4)
    turned = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1).view(-1, 2, 2)
    points = middle + side[:, None, None] * (_face_layout(image.device) @ turned.mT)
    tone = torch.exp(draws.normal(0.6))[:, None] * image.new_tensor([0.45, 0.27, 0.19])
    occlusion = draw_occluders(_without_faces(assets), rngs, points, tone.clamp(0.01, 1), size)
    return occlusion.over(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


def _without_faces(assets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The assets less the things that have a face themselves, which are packed last."""
    if OBJECTS not in assets:
        return assets
    sprites = assets[OBJECTS]
    return {**assets, OBJECTS: sprites[: len(sprites) - int(assets[FACES])]}


def _face_layout(device: torch.device) -> Tensor:
    """(68, 2): where the points of a frontal face lie about, in units of its width; only to hold things to."""
    angle = torch.linspace(torch.pi, 0, 17)
    jaw = torch.stack([0.5 * torch.cos(angle), -0.1 + 0.62 * torch.sin(angle)], 1)
    across = torch.linspace(-0.12, 0.12, 5)
    brow = torch.stack([across, -0.24 + across.square() * 2], 1)
    nose = torch.stack([torch.zeros(4), torch.linspace(-0.12, 0.12, 4)], 1)
    nostrils = torch.stack([0.6 * across, torch.full((5,), 0.17)], 1)
    turn = torch.arange(6) * (torch.pi / 3) + torch.pi
    eye = torch.stack([0.08 * torch.cos(turn), 0.03 * torch.sin(turn)], 1)
    turn = torch.arange(12) * (torch.pi / 6) + torch.pi
    lips = torch.stack([0.17 * torch.cos(turn), 0.31 + 0.06 * torch.sin(turn)], 1)
    left, right = torch.tensor([-0.22, 0.0]), torch.tensor([0.22, 0.0])
    up = torch.tensor([0.0, -0.12])
    eyes = [eye + left + up, eye + right + up]
    inner = lips[[0, 2, 3, 4, 6, 8, 9, 10]] * torch.tensor([0.8, 0.5]) + torch.tensor([0.0, 0.155])
    return torch.cat([jaw, brow + left, brow + right, nose, nostrils, *eyes, lips, inner]).to(device)


def _far_or_cut(draws: Draws, image: Tensor, pool: Tensor) -> Tensor:
    """A third of the pictures get a person whose face is under an eighth of the crop or mostly outside it."""
    size = image.shape[-1]
    index, tiny = draws.integer(len(pool)), draws.chance(0.6)
    scale = torch.where(tiny, draws.uniform(0.04, 0.13), draws.uniform(0.5, 1.3))
    wide = COMPANY_SCALE * scale
    angle = draws.uniform(0, 2 * torch.pi)
    direction = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    reach = (1 + draws.uniform(0.05, 0.8) * scale) / direction.abs().amax(1)  # less than half of the face is inside
    center = torch.where(tiny[:, None], draws.uniform(-0.85, 0.85, 2), direction * reach[:, None])
    chosen = draws.chance(1 / 3).nonzero()[:, 0]
    if not len(chosen):
        return image
    at = (torch.arange(size, device=image.device) + 0.5) / size * 2 - 1
    x = (at - center[chosen, :1])[:, None, :] / wide[chosen, None, None]
    y = (at - center[chosen, 1:])[:, :, None] / wide[chosen, None, None]
    source = pool[index[chosen]]
    cover = source[:, 3:]
    source = torch.cat([source[:, :3] * cover, cover], 1)
    shrunk = functional.interpolate(source, size=(32, 32), mode="area")
    grid = torch.stack(torch.broadcast_tensors(x, y), -1)
    far = functional.grid_sample(shrunk, on_their_feet(grid, 32), align_corners=False)
    near = functional.grid_sample(source, on_their_feet(grid, source.shape[-1]), align_corners=False)
    layer = torch.where(tiny[chosen][:, None, None, None], far, near)
    return image.index_put((chosen,), image[chosen] * (1 - layer[:, 3:]) + layer[:, :3])
