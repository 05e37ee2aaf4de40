"""MTCNN's cascade over an image pyramid.

Differences from the published cascade, each measured in docs/detection.md: crops are cut with bilinear sampling from
the pyramid level of their size instead of area means of the full picture; the world outside the picture is mid-grey
and windows may reach half over the border, so that faces cut by it are found; scores of the last stage are averaged
over the crop, its mirror image and slightly larger and smaller crops.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pyface3d.detect.boxes import shift_corners, square_boxes, suppress_overlaps
from pyface3d.detect.face import Face
from pyface3d.io.weights import load_weights
from pyface3d.networks.mtcnn import MtcnnNetworks, OutputNet, ProposalNet, RefineNet, mtcnn_networks, normalise

_PYRAMID_STEP = 0.709  # the published one: areas halve
_MAX_PROPOSALS = 2000  # a picture of leaves can propose a window at every pixel
_MIRRORED_POINTS = (1, 0, 2, 4, 3)
# Least log-odds of the first two stages. Published are probabilities of 0.6 and 0.7; at 0.5 many more covered faces
# reach the last stage, which is the one that tells them from the rest.
_EARLY_THRESHOLDS = (0.0, 0.0)


@dataclass(frozen=True)
class Candidates:
    """Boxes that passed the last stage: (N, 4) px, log-odds (N,) averaged over looks, points (N, 5, 2) px."""

    boxes: NDArray[np.float32]
    log_odds: NDArray[np.float32]
    points: NDArray[np.float32]


class Pyramid:
    """One picture at falling sizes, ready for the networks; beyond the border it is 0.

    Level k is ``scales[k]`` times (x, y) the size of the picture.
    """

    def __init__(self, image: NDArray[np.uint8], finest: float, device: torch.device) -> None:
        height, width = image.shape[:2]
        self.device = device
        self.scales: list[tuple[float, float]] = []
        self._images: list[NDArray[Any]] = []
        self._levels: dict[int, Tensor] = {}
        scale = min(finest, 1.0)
        while max(height, width) * scale >= 6:
            size = max(round(width * scale), 1), max(round(height * scale), 1)
            # Two levels up is twice as large: averaging that is averaging the picture, at a fraction of the time.
            source = self._images[-2] if len(self._images) > 1 else image
            same = size == source.shape[1::-1]
            self._images.append(source if same else cv2.resize(source, size, interpolation=cv2.INTER_AREA))
            self.scales.append((size[0] / width, size[1] / height))
            scale *= _PYRAMID_STEP

    def level(self, index: int) -> Tensor:
        """Level ``index``, (1, 3, h, w), normalised; made on first use, for no picture needs all of them."""
        if index not in self._levels:
            pixels = torch.tensor(self._images[index], device=self.device)
            self._levels[index] = normalise(pixels).permute(2, 0, 1)[None]
        return self._levels[index]

    def crops(self, boxes: NDArray[np.float32], size: int) -> Tensor:
        """Square crops (N, 3, size, size) of boxes (N, 4) px, each from the coarsest level not coarser than it."""
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3).max(axis=1)
        # On level k a box is sides * scale wide; wanted is at least `size`, with 10 % grace before going a level finer.
        scales = np.array([scale[0] for scale in self.scales])
        fits = sides[:, None] * scales[None] >= 0.9 * size
        chosen = np.maximum(fits.sum(axis=1) - 1, 0)  # scales fall, so the fitting levels come first
        out = torch.empty(len(boxes), 3, size, size, device=self.device)
        steps = (torch.arange(size, dtype=torch.float32) + 0.5) / size
        for level in np.unique(chosen):
            picked = np.flatnonzero(chosen == level)
            corners = torch.from_numpy(boxes[picked].astype(np.float32))
            image = self.level(int(level))
            scale_x, scale_y = self.scales[level]
            x = (corners[:, :1] + (corners[:, 2:3] - corners[:, :1]) * steps) * (2 * scale_x / image.shape[3]) - 1
            y = (corners[:, 1:2] + (corners[:, 3:4] - corners[:, 1:2]) * steps) * (2 * scale_y / image.shape[2]) - 1
            grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1)
            # One long strip of crops: grid_sample then needs no copy of the picture per crop.
            strip = functional.grid_sample(image, grid.reshape(1, -1, size, 2).to(image.device), align_corners=False)
            out[torch.from_numpy(picked)] = strip.view(3, len(picked), size, size).transpose(0, 1)
        return out


class Mtcnn:
    """The detector: networks and thresholds; no state from picture to picture."""

    def __init__(self, networks: MtcnnNetworks, device: torch.device) -> None:
        proposal, refine, output = networks
        # Pixels arrive with their channels together; keeping them so saves a third of the first stage's time.
        proposal = proposal.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks = MtcnnNetworks(proposal, refine.to(device), output.to(device))
        self.device = device

    @torch.inference_mode()
    def detect(
        self,
        image: NDArray[np.uint8],
        min_size: float,
        thresholds: tuple[float, float, float],
        looks: tuple[tuple[float, bool], ...] = ((1.0, False), (1.0, True)),
    ) -> Candidates:
        """Candidates of all three stages.

        Args:
            image: (H, W, 3) sRGB.
            min_size: side in pixels of the smallest face sought.
            thresholds: least log-odds of the three stages; the last one applies to the mean over the looks.
            looks: (scale of the crop, mirrored) of every look of the last stage.
        """
        pyramid = Pyramid(image, OutputNet.SIZE / min_size, self.device)
        boxes = self._propose(pyramid, min_size, thresholds[0])
        boxes = self._refine(pyramid, boxes, thresholds[1])
        return self._output(pyramid, boxes, thresholds[2], looks)

    def _propose(self, pyramid: Pyramid, min_size: float, threshold: float) -> NDArray[np.float32]:
        window, stride = ProposalNet.WINDOW, ProposalNet.STRIDE
        pad = window // 2
        boxes, scores = [], []
        for index, (scale_x, scale_y) in enumerate(pyramid.scales):
            if scale_x * min_size > 1.25 * window:
                continue  # faces of this size are smaller than sought
            log_odds, offsets = self.networks.proposal(functional.pad(pyramid.level(index), (pad,) * 4))
            rows, columns = torch.nonzero(log_odds[0] > threshold, as_tuple=True)
            score = log_odds[0, rows, columns].cpu().numpy()
            corner = np.stack([columns.cpu().numpy(), rows.cpu().numpy()], axis=1) * float(stride) - pad
            windows = np.concatenate([corner, corner + window], axis=1) / [scale_x, scale_y, scale_x, scale_y]
            box = shift_corners(windows, offsets[0, :, rows, columns].T.cpu().numpy())
            best = np.argsort(-score, kind="stable")[:_MAX_PROPOSALS]
            kept = best[suppress_overlaps(box[best], score[best], 0.5)]
            boxes.append(box[kept])
            scores.append(score[kept])
        if not boxes:
            return np.zeros((0, 4), np.float32)
        box, score = np.concatenate(boxes), np.concatenate(scores)
        best = np.argsort(-score, kind="stable")[:_MAX_PROPOSALS]
        return square_boxes(box[best][suppress_overlaps(box[best], score[best], 0.7)]).astype(np.float32)

    def _refine(self, pyramid: Pyramid, boxes: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
        if not len(boxes):
            return boxes
        log_odds, offsets = (out.cpu().numpy() for out in self.networks.refine(pyramid.crops(boxes, RefineNet.SIZE)))
        passed = np.flatnonzero(log_odds > threshold)
        kept = passed[suppress_overlaps(boxes[passed], log_odds[passed], 0.7)]
        return square_boxes(shift_corners(boxes[kept], offsets[kept])).astype(np.float32)

    def _output(
        self, pyramid: Pyramid, boxes: NDArray[np.float32], threshold: float, looks: tuple[tuple[float, bool], ...]
    ) -> Candidates:
        if not len(boxes):
            return Candidates(boxes, np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
        total = np.zeros(len(boxes), np.float32)
        corners = np.zeros_like(boxes)
        points = np.zeros((len(boxes), 5, 2), np.float32)
        for scale, mirrored in looks:
            centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
            looked = np.concatenate([centre - half, centre + half], axis=1)
            crops = pyramid.crops(looked, OutputNet.SIZE)
            out = self.networks.output(crops.flip(3) if mirrored else crops)
            log_odds, offsets, fractions = (value.cpu().numpy() for value in out)
            if mirrored:
                offsets = offsets[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
                fractions = fractions[:, _MIRRORED_POINTS] * np.array([-1, 1], np.float32) + np.array(
                    [1, 0], np.float32
                )
            total += log_odds / len(looks)
            corners += shift_corners(looked, offsets) / len(looks)
            points += (looked[:, None, :2] + fractions * (2 * half)[:, None]) / len(looks)
        passed = np.flatnonzero(total > threshold)
        # Overlap of the smaller: a face found twice at two sizes is one face.
        kept = passed[suppress_overlaps(corners[passed], total[passed], 0.7, of_smaller=True)]
        return Candidates(corners[kept], total[kept], points[kept])

    def faces(self, image: NDArray[np.uint8], min_size: float, threshold: float) -> list[Face]:
        """Faces of score ``threshold`` or more (the last stage's probability), best first."""
        least = float(np.log(threshold / (1 - threshold)))
        found = self.detect(image, min_size, (*_EARLY_THRESHOLDS, least))
        scores = 1 / (1 + np.exp(-found.log_odds.astype(np.float64)))
        return [
            Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(score), points, "mtcnn")
            for box, score, points in zip(found.boxes, scores, found.points)
        ]


@lru_cache(maxsize=4)
def load_mtcnn(device: str = "cpu") -> Mtcnn:
    """The detector with its shipped weights, loaded once per device.

    Raises:
        AssetError: the weights are missing or damaged.
    """
    return Mtcnn(mtcnn_networks(load_weights("mtcnn")), torch.device(device))
