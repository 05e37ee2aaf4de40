"""Optical flow from coarse to fine.

Source: Ranjan, Black, "Optical Flow Estimation using a Spatial Pyramid Network" (2017), in the form and with the file
that BasicVSR (2021) and its successors share.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 6
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 7, 1, 3)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv(features)
        return out


class _Level(nn.Module):
    """What is to be added to the flow of the level below."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (8, 32, 64, 32, 16, 2)
        self.basic_module = nn.Sequential(*(_Conv(a, b) for a, b in pairwise(sizes)))

    def forward(self, features: Tensor) -> Tensor:
        for number, layer in enumerate(self.basic_module):
            features = layer(functional.relu(features) if number else features)
        return features


class SpyNet(nn.Module):
    """Flow (B, 2, H, W) px, x first, of two pictures (B, 3, H, W), RGB of 0…1: ``warp(second, flow)`` is the first."""

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(_Level() for _ in range(_LEVELS))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[2:]
        whole = (-(-height // 32) * 32, -(-width // 32) * 32)
        mean, deviation = (first.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        pyramids = []
        for image in (first, second):
            levels = [functional.interpolate((image - mean) / deviation, size=whole, mode="bilinear")]
            for _ in range(_LEVELS - 1):
                levels.append(functional.avg_pool2d(levels[-1], 2))
            pyramids.append(levels[::-1])
        flow = first.new_zeros(len(first), 2, *pyramids[0][0].shape[2:])
        for level, target, source in zip(self.basic_module, *pyramids, strict=True):
            if flow.shape != target.shape[:1] + (2,) + target.shape[2:]:
                flow = 2 * functional.interpolate(flow, size=target.shape[2:], mode="bilinear", align_corners=True)
            flow = flow + level(torch.cat([target, warp(source, flow), flow], dim=1))
        flow = functional.interpolate(flow, size=(height, width), mode="bilinear")
        return flow * flow.new_tensor([width / whole[1], height / whole[0]])[:, None, None]


def warp(image: Tensor, flow: Tensor, outside: str = "border") -> Tensor:
    """``image`` (B, C, H, W) looked up where ``flow`` (B, 2, H, W) px points to.

    ``outside``: "border" goes on with the edge, "zeros" is nothing.
    """
    height, width = image.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=image.device, dtype=image.dtype),
        torch.arange(width, device=image.device, dtype=image.dtype),
        indexing="ij",
    )
    places = torch.stack([(x + flow[:, 0]) / max(width - 1, 1), (y + flow[:, 1]) / max(height - 1, 1)], dim=-1)
    return functional.grid_sample(image, 2 * places - 1, mode="bilinear", padding_mode=outside, align_corners=True)
