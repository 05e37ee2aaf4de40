"""Find the pose of a head from its silhouette alone: the mask of a rasterised mesh, made differentiable by antialias.

    python examples/fit_silhouette.py --out fit_silhouette --steps 300

The target is a rendered mask, so that the pose is known; the fit starts turned by 25 degrees and 9 cm off. Writes
target.png, start.png and end.png; in the last two white is hit, red is missing and blue is too much.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from tqdm import trange

from pyface3d import load_face_model
from pyface3d.geometry import FRONTAL, Camera, rotation_from_axis_angle
from pyface3d.io.images import write_png
from pyface3d.ops import antialias, rasterize

MODEL = load_face_model("head")
VERTS = MODEL.vertices(torch.zeros(1, MODEL.identity_dim), torch.zeros(1, MODEL.expression_dim))
TRUTH = torch.tensor([[0.22, 0.35, -0.10]]), torch.tensor([[22.0, -16.0, 830.0]])  # rotation vector; mm
START = torch.tensor([[-0.05, 0.05, 0.05]]), torch.tensor([[-20.0, 12.0, 900.0]])


def silhouette(turn: Tensor, shift: Tensor, pixels: int, smooth: bool = True) -> Tensor:
    """Coverage (1, H, W, 1) of the head by rotation vector (1, 3) and position in mm (1, 3)."""
    rotation = rotation_from_axis_angle(turn) @ torch.tensor(FRONTAL)
    verts = VERTS @ rotation.mT + shift[:, None]
    verts_image = Camera.centered(torch.tensor([2.3 * pixels]), pixels, pixels).project(verts)
    fragments = rasterize(verts_image, MODEL.topology, pixels, pixels)
    mask = fragments.mask[..., None].float()
    return antialias(mask, fragments, verts_image, MODEL.topology) if smooth else mask


def misfit(turn: Tensor, shift: Tensor, target: Tensor) -> tuple[float, float, float]:
    """Intersection over union of the silhouettes, degrees and mm between a pose and the true one."""
    mask = silhouette(turn, shift, target.shape[1])
    overlap = torch.minimum(mask, target).sum() / torch.maximum(mask, target).sum()
    between = rotation_from_axis_angle(turn).mT @ rotation_from_axis_angle(TRUTH[0])
    cosine = (between.diagonal(0, 1, 2).sum() - 1) / 2
    return overlap.item(), torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).item(), (shift - TRUTH[1]).norm().item()


def fit(target: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Adam on rotation and position at once, the steps smaller and smaller."""
    turn, shift = (value.clone().requires_grad_() for value in START)
    optimizer = torch.optim.Adam([{"params": [turn], "lr": 0.02}, {"params": [shift], "lr": 2.0}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in (bar := trange(steps)):
        loss = (silhouette(turn, shift, target.shape[1]) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix_str(f"loss {loss.item():.5f}")
    return turn.detach(), shift.detach()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("fit_silhouette"))
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    target = silhouette(*TRUTH, 192)
    for name, pose in (("target", TRUTH), ("start", START), ("end", fit(target, options.steps))):
        mask = silhouette(*pose, 192)
        picture = torch.cat([target, torch.minimum(mask, target), mask], -1)[0]  # red, green, blue
        write_png(options.out / f"{name}.png", (255 * picture).round().to(torch.uint8).numpy())
        print("{}: overlap {:.3f}, {:.1f} degrees and {:.1f} mm off".format(name, *misfit(*pose, target)))
