"""The part and the relief network: batches of crops, and one face of a photo from pixels to labels and relief."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.bench_face_points import demo_photo
from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.detect import detect_faces, landmarks68
from pyface3d.detect.parts import load_part_predictor
from pyface3d.detect.relief import ReliefPredictor, has_relief_network, load_relief_predictor
from pyface3d.detect.specks import without_specks
from pyface3d.face_models.landmarks import PARTS_MARGIN
from pyface3d.networks.relief import ReliefNet
from pyface3d.part_labels import FacePart

TITLE = "Part and relief network"
NOTES = """
Shipped weights; of the relief network drawn ones where none ship (its time does not depend on them). *A face*: the demo
portrait, 512², its landmarks known: cut out, looked at as it is and as a mirror image, freed from specks, brought back
to the picture. *onnxruntime* runs the same network from our ONNX export, where it is installed. Checked: a batch
against its crops one by one and against onnxruntime; that nose and eyes of the portrait are found.
"""
BATCH = 16


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    parts, relief = load_part_predictor(), _relief()
    for name, network, size in (("parts", parts.network, parts.size), ("relief", relief.network, relief.size)):
        crops = torch.rand(BATCH, 3, size, size, generator=torch.Generator().manual_seed(0))
        for count in threads:
            check, peers = _checked(name, network, crops, count)
            with torch_threads(count), torch.inference_mode():
                time = median_ms(lambda: network(crops), seconds)  # noqa: B023
                others = {peer: median_ms(call, seconds) for peer, call in peers.items()}
            yield Result(f"{name}: forward, {size}², batch {BATCH}", count, time, others, check)
    photo = demo_photo()
    points, _ = landmarks68(photo, detect_faces(photo)[0])
    check = _portrait(photo, points)
    said = parts.predict(photo, [points])[0]
    works: dict[str, Callable[[], object]] = {
        "parts: classes of a face, with mirror": lambda: parts.predict(photo, [points])[0].face_parts(*photo.shape[:2]),
        "parts: the same without mirror": lambda: parts.predict(photo, [points], mirror=False)[0].face_parts(
            *photo.shape[:2]
        ),
        "parts: specks alone": lambda: without_specks(said.probabilities, (parts.size / PARTS_MARGIN) ** 2),
        "relief: mm of a face, with mirror": lambda: relief.predict(photo, points),
    }
    for name, work in works.items():
        for count in threads:
            with torch_threads(count):
                yield Result(name, count, median_ms(work, seconds), {}, check)


@lru_cache(maxsize=1)
def _relief() -> ReliefPredictor:
    torch.manual_seed(0)
    return load_relief_predictor() if has_relief_network() else ReliefPredictor(ReliefNet())


def _checked(name: str, network: nn.Module, crops: Tensor, threads: int) -> tuple[str, dict[str, Callable[[], object]]]:
    """What was compared, and the peers."""
    with torch.inference_mode():
        together, alone = network(crops), torch.cat([network(crop[None]) for crop in crops[:2]])
    largest = together.abs().max().clamp_min(1e-3)
    off = float((together[:2] - alone).abs().max() / largest)
    if not off < 1e-4:
        raise AssertionError(f"{name} of a batch differ from those of its crops by {off} of the largest")
    check = f"batch against single crops {off:.0e}"
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        return check, {}
    import onnxruntime

    from pyface3d.networks.onnx_export import face_parts_onnx, relief_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    content = face_parts_onnx(network) if name == "parts" else relief_onnx(network, crops.shape[-1])  # type: ignore[arg-type]
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    picture = crops.numpy()
    (theirs,) = session.run(None, {"image": picture})
    apart = float(np.abs(theirs - together.numpy()).max() / largest)
    if not apart < 1e-3:
        raise AssertionError(f"{name} of onnxruntime differ by {apart} of the largest")
    return f"{check}, onnxruntime {apart:.0e}", {"onnxruntime": lambda: session.run(None, {"image": picture})}


def _portrait(photo: NDArray[np.uint8], points: NDArray[np.float32]) -> str:
    labels = load_part_predictor().predict(photo, [points])[0].face_parts(*photo.shape[:2])
    nose = labels[tuple(points[30, ::-1].astype(int))]
    eyes = np.count_nonzero(labels == FacePart.EYE)
    if nose != FacePart.NOSE or not 50 < eyes < 2000:
        raise AssertionError(f"the tip of the portrait's nose is {FacePart(nose).name}, {eyes} pixels are eyes")
    return "nose and eyes found"
