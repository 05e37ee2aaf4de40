"""Recover pose, light and texture of a head from one picture by gradient descent: plain PyTorch over pyface3d.ops.

    python examples/fit_picture.py --out fit_picture --steps 200

The picture is a rendered head, so that the answer is known; the fit starts turned, shifted, in even light and with the
mean skin. Writes before.png and after.png (target, fit and difference side by side) into the folder.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from pyface3d import load_face_model
from pyface3d.geometry import FRONTAL, Camera, rotation_from_axis_angle
from pyface3d.io.color import linear_to_srgb
from pyface3d.io.images import write_png
from pyface3d.ops import interpolate, rasterize, render_texture, shade_spherical_harmonics, vertex_normals

MODEL = load_face_model("head")
VERTS = MODEL.vertices(torch.zeros(1, MODEL.identity_dim), torch.zeros(1, MODEL.expression_dim))
CAMERA = Camera.centered(torch.tensor([600.0]), 192, 192)


def draw(pose: Tensor, light: Tensor, texture: Tensor) -> Tensor:
    """The head by pose (1, 6: rotation vector, mm), light (1, 9, 3) and texture (1, Ht, Wt, 3): (1, H, W, 3) linear."""
    rotation = rotation_from_axis_angle(pose[:, :3]) @ torch.tensor(FRONTAL)
    verts = VERTS @ rotation.mT + pose[:, None, 3:]
    fragments = rasterize(CAMERA.project(verts), MODEL.topology, CAMERA.height, CAMERA.width)
    normals = interpolate(vertex_normals(verts, MODEL.topology), fragments, MODEL.topology)
    skin = render_texture(texture, fragments, MODEL.topology)
    lit = shade_spherical_harmonics(torch.nn.functional.normalize(normals, dim=-1), light, skin)
    return lit * (fragments.face_index >= 0)[..., None]


def secret_picture() -> Tensor:
    """What has to be explained: a turned head of some skin, lit from its upper left."""
    light = torch.zeros(1, 9, 3)
    light[0, 0], light[0, 1], light[0, 2], light[0, 3] = 2.6, -0.7, -1.6, -0.9
    colour = 1.5 * torch.randn(1, MODEL.albedo_dim, generator=torch.Generator().manual_seed(3))
    return draw(torch.tensor([[0.10, 0.35, -0.08, 6.0, -4.0, 760.0]]), light, MODEL.albedo(colour))


def fit(target: Tensor, steps: int, out: Path) -> list[float]:
    """Adam on all unknowns at once; returns the loss of every step."""
    pose = torch.tensor([[0.0, 0.20, 0.0, 0.0, 0.0, 800.0]])
    light = torch.cat([torch.full((1, 1, 3), 2.5), torch.zeros(1, 8, 3)], 1)
    turn, shift, light, colour = (
        value.requires_grad_() for value in (pose[:, :3], pose[:, 3:], light, torch.zeros(1, MODEL.albedo_dim))
    )
    rates = (turn, 0.005), (shift, 0.5), (light, 0.02), (colour, 0.03)
    optimizer = torch.optim.Adam([{"params": [value], "lr": rate} for value, rate in rates])
    losses = []
    for step in range(steps):
        picture = draw(torch.cat([turn, shift], 1), light, MODEL.albedo(colour))
        loss = (picture - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step in (0, steps - 1):
            sides = torch.cat([target, picture.detach(), (picture.detach() - target).abs()], 2)[0].clamp(0, 1)
            name = "before.png" if step == 0 else "after.png"
            write_png(out / name, (linear_to_srgb(sides) * 255).round().to(torch.uint8).numpy())
        if step % 20 == 0 or step == steps - 1:
            print(f"step {step:4d}  loss {loss.item():.5f}  turn {turn[0].tolist()}  shift {shift[0].tolist()}")
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("fit_picture"))
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    fit(secret_picture(), options.steps, options.out)
