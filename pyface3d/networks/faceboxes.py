"""FaceBoxes, the detector that 3DDFA_V2 takes its crops from.

Source: Zhang, Zhu, Lei, Shi, Wang, Li, "FaceBoxes: A CPU Real-time Face Detector with High Accuracy" (2017), and the
published file ``FaceBoxesProd.pth``, which users bring.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Maps the heads read: channels, stride in pixels, and anchors: side in pixels and how many a row of each cell.
_HEADS: tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...] = (
    (128, 32, ((32, 4), (64, 2), (128, 1))),
    (256, 64, ((256, 1),)),
    (256, 128, ((512, 1),)),
)
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_MEAN_BGR = (104.0, 117.0, 123.0)


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU; ``both_signs`` gives the negative part as further channels (CReLU)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, *, both_signs: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.both_signs = both_signs

    def forward(self, image: Tensor) -> Tensor:
        features = self.bn(self.conv(image))
        return functional.relu(torch.cat([features, -features], dim=1) if self.both_signs else features)


class _Inception(nn.Module):
    """Four branches of 32 channels with receptive fields of one, three (pooled), three and five."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1x1 = _Conv(128, 32, 1)
        self.branch1x1_2 = _Conv(128, 32, 1)
        self.branch3x3_reduce = _Conv(128, 24, 1)
        self.branch3x3 = _Conv(24, 32, 3, padding=1)
        self.branch3x3_reduce_2 = _Conv(128, 24, 1)
        self.branch3x3_2 = _Conv(24, 32, 3, padding=1)
        self.branch3x3_3 = _Conv(32, 32, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        pooled = functional.avg_pool2d(features, 3, stride=1, padding=1)
        wide = self.branch3x3_3(self.branch3x3_2(self.branch3x3_reduce_2(features)))
        middle = self.branch3x3(self.branch3x3_reduce(features))
        return torch.cat([self.branch1x1(features), self.branch1x1_2(pooled), middle, wide], dim=1)


class FaceBoxes(nn.Module):
    """Boxes and scores of every anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _Conv(3, 24, 7, 4, 3, both_signs=True)
        self.conv2 = _Conv(48, 64, 5, 2, 2, both_signs=True)
        self.inception1, self.inception2, self.inception3 = _Inception(), _Inception(), _Inception()
        self.conv3_1, self.conv3_2 = _Conv(128, 128, 1), _Conv(128, 256, 3, 2, 1)
        self.conv4_1, self.conv4_2 = _Conv(256, 128, 1), _Conv(128, 256, 3, 2, 1)
        counts = [sum(row * row for _, row in anchors) for _, _, anchors in _HEADS]
        channels = [head[0] for head in _HEADS]
        self.loc = nn.ModuleList(nn.Conv2d(c, 4 * n, 3, padding=1) for c, n in zip(channels, counts, strict=True))
        self.conf = nn.ModuleList(nn.Conv2d(c, 2 * n, 3, padding=1) for c, n in zip(channels, counts, strict=True))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) px (x0, y0, x1, y1) and probabilities (N,) of one picture (1, 3, H, W), BGR of 0…255."""
        height, width = image.shape[2:]
        features = image - image.new_tensor(_MEAN_BGR)[:, None, None]
        features = functional.max_pool2d(self.conv1(features), 3, 2, 1)
        features = functional.max_pool2d(self.conv2(features), 3, 2, 1)
        first = self.inception3(self.inception2(self.inception1(features)))
        second = self.conv3_2(self.conv3_1(first))
        third = self.conv4_2(self.conv4_1(second))
        offsets, scores = [], []
        for features, loc, conf in zip((first, second, third), self.loc, self.conf, strict=True):
            offsets.append(loc(features).permute(0, 2, 3, 1).reshape(-1, 4))
            scores.append(conf(features).permute(0, 2, 3, 1).reshape(-1, 2))
        return decode_boxes(torch.cat(offsets), anchors_of(height, width).to(image)), torch.softmax(
            torch.cat(scores), dim=1
        )[:, 1]


def anchors_of(height: int, width: int) -> Tensor:
    """Anchors of a picture: centre and side px, (N, 3), in the order of the network's outputs.

    Small anchors stand several to a cell, at even fractions of it from its corner; single ones in its middle.
    """
    rows = []
    for _, stride, kinds in _HEADS:
        cells_y, cells_x = -(-height // stride), -(-width // stride)
        inside = []  # (x, y, side) within one cell, in cells and px
        for side, count in kinds:
            steps = [k / count for k in range(count)] if count > 1 else [0.5]
            inside += [(x, y, float(side)) for y in steps for x in steps]
        cell = torch.tensor(inside, dtype=torch.float32)
        y, x = torch.meshgrid(torch.arange(cells_y), torch.arange(cells_x), indexing="ij")
        corner = torch.stack([x, y], dim=-1).reshape(-1, 1, 2).float()
        centre = (corner + cell[:, :2]) * stride
        rows.append(torch.cat([centre, cell[:, 2:].expand(len(centre), -1, 1)], dim=2).reshape(-1, 3))
    return torch.cat(rows)


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (N, 4) px of the network's offsets (N, 4) from anchors (N, 3)."""
    side = anchors[:, 2:]
    centre = anchors[:, :2] + offsets[:, :2] * _CENTRE_VARIANCE * side
    half = side * torch.exp(offsets[:, 2:] * _SIZE_VARIANCE) / 2
    return torch.cat([centre - half, centre + half], dim=1)
