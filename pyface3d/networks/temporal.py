"""The temporal encoder of DECA's successor for video: features go back and forth through the clip before ResNet-50.

Source of the recurrence: Chan, Zhou, Xu, Loy, "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation
and Alignment" (2022): second-order grid propagation, flow-guided deformable alignment.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.networks.resnet import ResNet
from pyface3d.networks.spynet import SpyNet, warp
from pyface3d.ops import deform_conv2d

CHANNELS = 64
_BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
_GROUPS, _TAPS = 16, 9
_MOST_RESIDUAL = 10.0  # pixels that the alignment may look away from where the flow points
_SLOPE = 0.1


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1) for _ in range(2))
        self.bn = nn.BatchNorm2d(CHANNELS)
        for layer in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data *= 0.1

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = features + self.conv2(functional.relu(self.bn(self.conv1(features))))
        return out


def _residuals() -> nn.Sequential:
    return nn.Sequential(*(_Residual() for _ in range(5)))


def _halving() -> nn.Sequential:
    return nn.Sequential(_residuals(), nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1))


class _Backbone(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(inputs, CHANNELS, 3, 1, 1), nn.LeakyReLU(_SLOPE), _residuals())

    def forward(self, *features: Tensor) -> Tensor:
        out: Tensor = self.main(torch.cat(features, dim=1))
        return out


class _Alignment(nn.Module):
    """Features of the two frames before, brought to where their flows say, and a learnt bit further."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(CHANNELS, 2 * CHANNELS, 3, 3))
        self.bias = nn.Parameter(torch.zeros(CHANNELS))
        bound = (2 * CHANNELS * _TAPS) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        layers: list[nn.Module] = []
        for inputs in (3 * CHANNELS + 4, CHANNELS, CHANNELS):
            layers += [nn.Conv2d(inputs, CHANNELS, 3, 1, 1), nn.LeakyReLU(_SLOPE)]
        last = nn.Conv2d(CHANNELS, 3 * _GROUPS * _TAPS, 3, 1, 1)
        nn.init.zeros_(last.weight)
        self.conv_offset = nn.Sequential(*layers, last)

    def forward(self, present: Tensor, before: Tensor, earlier: Tensor, flow: Tensor, far_flow: Tensor) -> Tensor:
        """(B, 64, H, W) of ``present``, the features one and two frames before, and the flows from here to them."""
        warped = [warp(before, flow, "zeros"), present, warp(earlier, far_flow, "zeros")]
        answer = self.conv_offset(torch.cat([*warped, flow, far_flow], dim=1))
        first, second, mask = answer.chunk(3, dim=1)
        pairs = _GROUPS // 2 * _TAPS  # the first half of the groups reads ``before``, the other ``earlier``
        base = torch.cat([flow.flip(1).repeat(1, pairs, 1, 1), far_flow.flip(1).repeat(1, pairs, 1, 1)], dim=1)
        offset = _MOST_RESIDUAL * torch.tanh(torch.cat([first, second], dim=1)) + base
        both = torch.cat([before, earlier], dim=1)
        return deform_conv2d(both, offset, self.weight, self.bias, padding=1, mask=torch.sigmoid(mask))


class _Recurrence(nn.Module):
    """Four passes over the clip, each with what the passes before it left at every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.deform_align = nn.ModuleDict({name: _Alignment() for name in _BRANCHES})
        self.backbone = nn.ModuleDict({name: _Backbone((2 + k) * CHANNELS) for k, name in enumerate(_BRANCHES)})
        self.fusion = _Backbone(5 * CHANNELS)

    def forward(self, frames: list[Tensor], backward: list[Tensor], forward: list[Tensor]) -> list[Tensor]:
        """Fused features of every frame, (B, 64, H, W) each.

        ``backward[k]`` is the flow from frame k to k + 1, ``forward[k]`` from k + 1 to k, (B, 2, H, W) px.
        """
        done: list[list[Tensor]] = []
        for name in _BRANCHES:
            reverse = name.startswith("backward")
            order = range(len(frames))[::-1] if reverse else range(len(frames))
            steps = backward[::-1] if reverse else forward  # flows from each frame of the pass to the one before it
            passed: list[Tensor] = []
            for place, frame in enumerate(order):
                moved = torch.zeros_like(frames[frame])
                if place > 0:
                    moved = self._moved(name, frames[frame], passed, steps, place)
                earlier = [branch[frame] for branch in done]
                passed.append(moved + self.backbone[name](frames[frame], *earlier, moved))
            done.append(passed[::-1] if reverse else passed)
        return [self.fusion(frame, *(branch[k] for branch in done)) for k, frame in enumerate(frames)]

    def _moved(self, name: str, present: Tensor, passed: list[Tensor], steps: list[Tensor], place: int) -> Tensor:
        flow, before = steps[place - 1], passed[place - 1]
        earlier, far_flow = torch.zeros_like(before), torch.zeros_like(flow)
        if place > 1:
            earlier = passed[place - 2]
            far_flow = flow + warp(steps[place - 2], flow, "zeros")
        out: Tensor = self.deform_align[name](present, before, earlier, flow, far_flow)
        return out


class _TemporalTrunk(ResNet):
    """ResNet-50 with the recurrence in place of its first convolution, which is stored and never run."""

    def __init__(self) -> None:
        super().__init__((3, 4, 6, 3))
        self.spynet, self.rnn = SpyNet(), _Recurrence()
        self.head = nn.Conv2d(3, CHANNELS, 3, 1, 1)
        self.down1, self.down2 = _halving(), _halving()

    def forward(self, clip: Tensor) -> Tensor:
        batch, length = clip.shape[:2]
        features = self.down1(self.head(clip.flatten(0, 1))).unflatten(0, (batch, length))
        small = functional.interpolate(clip.flatten(0, 1), scale_factor=0.5, mode="bicubic")
        frames = list(small.unflatten(0, (batch, length)).unbind(1))
        backward = [self.spynet(a, b) for a, b in pairwise(frames)]
        forward = [self.spynet(b, a) for a, b in pairwise(frames)]
        fused = torch.stack(self.rnn(list(features.unbind(1)), backward, forward), dim=1)
        stem = self.relu(self.bn1(self.down2(fused.flatten(0, 1))))
        return self.stages_after(stem)[3].mean(dim=(2, 3))


class TemporalEncoder(nn.Module):
    """Codes (B T, ``outputs``) of clips (B, T, 3, 224, 224), RGB of 0…1; one frame is a clip, too."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encoder = _TemporalTrunk()
        self.layers = nn.Sequential(nn.Linear(self.encoder.channels, 1024), nn.ReLU(), nn.Linear(1024, outputs))

    def forward(self, clip: Tensor) -> Tensor:
        out: Tensor = self.layers(self.encoder(clip))
        return out
