"""What the landmark network learns, and how it is measured meanwhile."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyface3d.networks.face_points import NUM_LANDMARKS, FacePoints
from pyface3d.train.monitor import Monitor
from pyface3d.train.points.changes import Changes, change_samples
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.points.head_tables import HeadTables
from pyface3d.train.points.measures import answers, photo_measures, sample_measures
from pyface3d.train.points.objective import loss_parts
from pyface3d.train.points.photos import PhotoSet
from pyface3d.train.points.pictures import picture_grid
from pyface3d.train.points.samples import Samples, render_samples

_PICTURES = 32


class PointsTask:
    """Landmarks and what else the network says of a crop; a `pyface3d.train.loop.Task`.

    Args:
        config: of the run.
        tables: of the head model.
        device: of the network.
        validation: fixed synthetic samples, on the CPU.
        photos: annotated photos to look at, never to learn from.
    """

    render = staticmethod(render_samples)

    def __init__(
        self,
        config: PointsConfig,
        tables: HeadTables,
        device: torch.device | str,
        validation: Samples,
        photos: PhotoSet | None = None,
    ) -> None:
        self.config, self.tables = config, tables.to(device)
        self.changes = Changes() if config.occluders else Changes(covered=0.0)
        self._validation, self._photos = validation, photos

    def loss_parts(
        self, network: FacePoints, samples: Samples, rng: np.random.Generator, step: int
    ) -> dict[str, Tensor]:
        image, truth = change_samples(samples, self.tables.mirror, rng, self.changes)
        out = network(image.contiguous(memory_format=torch.channels_last))
        return loss_parts(out, truth, self.tables.gram, self.config, step)

    def validate(self, network: FacePoints, step: int, monitor: Monitor) -> dict[str, float]:
        truth, photos = self._validation, self._photos
        out = answers(network, truth.image)
        figures = sample_measures(out, truth, self.tables.gram.cpu())
        monitor.figures(step, "synthetic", figures)
        some = slice(_PICTURES)
        monitor.pictures(step, "synthetic", picture_grid(truth.image[some], out.points[some], truth.points[some]))
        if photos is not None:
            out = answers(network, photos.image)
            measured = photo_measures(out, photos.points)
            monitor.figures(step, "photos", measured)
            monitor.pictures(step, "photos", picture_grid(photos.image[some], out.points[some], photos.points[some]))
            figures |= {f"photos_{name}": value for name, value in measured.items()}
        return figures


def start_network(network: FacePoints, samples: Samples, tables: HeadTables) -> None:
    """Set what the network holds beside its weights: the mean shape it predicts offsets from, the mirrored points."""
    network.start_from(samples.points[samples.is_face].mean(0))
    network.dense_mirror.copy_(tables.mirror.points[NUM_LANDMARKS:] - NUM_LANDMARKS)
