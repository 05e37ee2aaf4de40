"""What the relief network of Extreme 3D Faces learns, and how it is measured meanwhile.

Source: Tran, Hassner, Masi, Paz, Nirkin, Medioni, "Extreme 3D Face Reconstruction: Seeing Through Occlusions" (CVPR
2018): L1 and gradient of the relief, a tenth of the same of the mask. Ours, where it differs: the relief counts on the
face, a tenth of it elsewhere, and targets are exact, of synthetic faces.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from pyface3d.evaluate.relief_errors import luminance, relief_figures
from pyface3d.geometry.bump_maps import CROP_OFFSET, output_from_relief, relief_from_output
from pyface3d.losses import binary_loss, height_normals, masked_mean, normal_angle_loss, relief_loss, relief_slope_loss
from pyface3d.networks.extreme3d import BumpJudge, BumpNet, bump_input
from pyface3d.train.extreme3d.bump_samples import BumpSamples, render_bumps
from pyface3d.train.extreme3d.config import BumpConfig
from pyface3d.train.monitor import Monitor, grid
from pyface3d.train.pictures import clay, mirrored
from pyface3d.train.recolouring import recolour

_MIRRORED = 0.5  # share of the crops
_CROP_MM = 290.0  # about what a crop's side covers at the face
_FACE = 0.5  # a mask above it is face
_PICTURES = 6


class BumpPair(nn.Module):
    """The relief network and, where it is wanted, its judge, under the names of the published file."""

    def __init__(self, config: BumpConfig) -> None:
        super().__init__()
        self.Gnet = BumpNet(config.channels)
        if config.flat_start:
            for last in (self.Gnet.last_alt, self.Gnet.last_alt_mask):
                for parameter in last.parameters():
                    nn.init.zeros_(parameter)
        if config.adversarial:
            self.Dnet = BumpJudge()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mask and bump of crops (B, 3, S, S), RGB of 0…1; see `BumpNet`."""
        found: tuple[Tensor, Tensor] = self.Gnet(bump_input(image))
        return found


class BumpTask:
    """Relief and mask of a crop; a `pyface3d.train.loop.Task`.

    Args:
        config: of the run.
        validation: fixed synthetic samples, on the CPU.
    """

    render = staticmethod(render_bumps)

    def __init__(self, config: BumpConfig, validation: BumpSamples) -> None:
        self.config, self._validation = config, validation

    def loss_parts(
        self, network: BumpPair, samples: BumpSamples, rng: np.random.Generator, step: int
    ) -> dict[str, Tensor]:
        config = self.config
        flip = torch.from_numpy(rng.random(len(samples)) < _MIRRORED).to(samples.image.device)
        image, relief, face = (mirrored(value, flip) for value in (samples.image, samples.relief, samples.face))
        image = recolour(image.float() / 255, rng).contiguous(memory_format=torch.channels_last)
        truth, face = in_map(output_from_relief(relief.float(), config.gain), config), in_map(face.float())
        mask, bump = (found[:, 0].float() for found in network(image))
        reliefs_of, soft = (bump, truth, face + config.outside * (1 - face)), config.softness * _per_mm(config)
        masks_of = mask, face, torch.ones_like(face)
        parts = {
            "bump": config.relief * relief_loss(*reliefs_of, soft),
            "bump_slope": config.relief * relief_slope_loss(*reliefs_of, softness=soft),
            "mask": config.mask * relief_loss(*masks_of, config.softness),
            "mask_slope": config.mask * relief_slope_loss(*masks_of, softness=config.softness),
        }
        if config.normals:
            found_mm, truth_mm = (relief_from_output(values, config.gain) for values in (bump, truth))
            parts["normals"] = config.normals * normal_angle_loss(found_mm, truth_mm, face, pitch_mm(config))
        if config.adversarial:
            parts |= _judged(network.Dnet, bump[:, None], truth[:, None], config.adversarial)
        return parts

    def validate(self, network: BumpPair, step: int, monitor: Monitor) -> dict[str, float]:
        truth = self._validation
        mask, relief = reliefs(network, truth.image, self.config)
        figures = bump_figures(mask, relief, truth)
        monitor.figures(step, "synthetic", figures)
        monitor.pictures(step, "synthetic", picture_grid(truth, mask, relief, pitch_mm(self.config)))
        return figures


def pitch_mm(config: BumpConfig) -> float:
    """About what a pixel covers on the face."""
    return _CROP_MM / config.size


def _per_mm(config: BumpConfig) -> float:
    """What the network's relief map changes by for a millimetre."""
    ends = output_from_relief(torch.tensor([0.0, 1.0], dtype=torch.float64), config.gain)
    return float(ends[1] - ends[0])


def in_map(values: Tensor, config: BumpConfig | None = None) -> Tensor:
    """Maps (B, S, S) over crops in the frame of the network's maps, (B, S + 12, S + 12).

    Args:
        values: of the crop's pixels.
        config: beyond the crop is what it calls no relief; without it, 0.
    """
    beyond = 0.0 if config is None else float(output_from_relief(values.new_zeros(1), config.gain))
    return functional.pad(values, (CROP_OFFSET,) * 4, value=beyond)


@torch.no_grad()
def reliefs(network: BumpPair, image: Tensor, config: BumpConfig, batch: int = 2) -> tuple[Tensor, Tensor]:
    """What a network in evaluation mode says of uint8 crops (B, 3, S, S): masks, and relief in mm, (B, S, S) each."""
    inside = slice(CROP_OFFSET, -CROP_OFFSET)
    device = next(network.parameters()).device
    found = [network(part.to(device).float() / 255) for part in image.split(batch)]
    mask, bump = (torch.cat([maps[k][:, 0, inside, inside].float().cpu() for maps in found]) for k in (0, 1))
    return mask, relief_from_output(bump, config.gain)


def bump_figures(mask: Tensor, relief: Tensor, truth: BumpSamples) -> dict[str, float]:
    """Errors on true face pixels: `relief_figures`, and with them those that the issue's bars are in.

    Returns:
        Beside those of `relief_figures`: ``mae`` mean absolute error, mm; ``flat_mae`` that of no relief at all;
        ``normals`` mean angle between normals, degrees, and ``flat_normals``; ``mask_iou``, in [0, 1].
    """
    pitch = _CROP_MM / relief.shape[-1]
    true, face = truth.relief.float(), truth.face
    flat = torch.zeros_like(true)
    called = mask > _FACE
    return {
        "mae": float(masked_mean((relief - true).abs(), face)),
        "flat_mae": float(masked_mean(true.abs(), face)),
        "normals": _degrees(relief, true, face, pitch),
        "flat_normals": _degrees(flat, true, face, pitch),
        "mask_iou": float((called & face).sum() / (called | face).sum().clamp_min(1)),
        **relief_figures(relief, true, face, luminance(truth.image.float() / 255), pitch),
    }


def _degrees(relief: Tensor, truth: Tensor, face: Tensor, pitch: float) -> float:
    """Mean angle between normals where ``face`` is."""
    chord = (height_normals(relief, pitch) - height_normals(truth, pitch)).norm(dim=-1)
    return math.degrees(float(masked_mean(2 * torch.asin((chord / 2).clamp(max=1)), face[:, :-1, :-1])))


def picture_grid(truth: BumpSamples, mask: Tensor, relief: Tensor, pitch: float) -> Tensor:
    """Rows of crop, found and true relief as clay, found and true mask, (3, H, W) uint8."""
    grey = [(255 * values.float().clamp(0, 1)).byte()[:, None].expand(-1, 3, -1, -1) for values in (mask, truth.face)]
    columns = [truth.image, clay(relief, pitch), clay(truth.relief.float(), pitch), *grey]
    return grid(torch.cat([values[:_PICTURES] for values in columns], 3), columns=1)


def _judged(judge: BumpJudge, bump: Tensor, truth: Tensor, weight: float) -> dict[str, Tensor]:
    """The network's loss for maps that look made, and the judge's for not telling them; each teaches only its own.

    Both learn in the same step: the judge through maps that carry no gradient, the network through a judge that does
    not change.
    """
    still = {name: value.detach() for name, value in judge.named_parameters()}
    kept = {name: value.clone() for name, value in judge.named_buffers()}  # statistics are for the judge's own turn
    fooled = functional_call(judge, still | kept, (bump,))
    both = judge(torch.cat([truth, bump.detach()]))
    is_true = (torch.arange(len(both), device=both.device) < len(truth))[:, None].expand_as(both)
    return {
        "adversarial": weight * binary_loss(fooled, torch.ones_like(fooled, dtype=torch.bool)),
        "judge": binary_loss(both, is_true),
    }
