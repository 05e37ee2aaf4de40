"""ONNX: the exported model answers as torch does."""

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.networks.face_parts import FaceParts
from pyface3d.networks.face_points import FacePoints, FacePointsOutput
from pyface3d.networks.relief import ReliefNet

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from pyface3d.networks.onnx_export import face_parts_onnx, face_points_onnx, relief_onnx  # noqa: E402


@pytest.mark.filterwarnings("ignore")  # the tracing exporter warns of every Python number
def test_onnxruntime_gives_the_same_answers_for_any_batch():
    torch.manual_seed(0)
    network = FacePoints(size=64, features=32)
    torch.nn.init.normal_(network.outputs.weight, std=0.3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the next batch, so that answers differ from crop to crop
    network(torch.rand(8, 3, 64, 64) * torch.rand(8, 3, 1, 1))
    network.eval()
    session = ort.InferenceSession(face_points_onnx(network), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == list(FacePointsOutput._fields)
    for batch in (1, 5):
        image = torch.rand(batch, 3, 64, 64) * torch.rand(batch, 3, 1, 1)
        with torch.no_grad():
            expected = network(image)
        found = session.run(None, {"image": image.numpy()})
        for name, value, wanted in zip(FacePointsOutput._fields, found, expected):
            assert value.shape == tuple(wanted.shape), name
            np.testing.assert_allclose(value, wanted.numpy(), atol=1e-4, rtol=0, err_msg=name)
    assert np.ptp(found[0], axis=0).max() > 1e-3


@pytest.mark.filterwarnings("ignore")
def test_part_network_answers_alike_for_any_batch_and_size():
    torch.manual_seed(0)
    network = FaceParts(widths=(8, 8, 8, 8, 8))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network(torch.rand(8, 3, 64, 64) * torch.rand(8, 3, 1, 1))
    network.eval()
    session = ort.InferenceSession(face_parts_onnx(network), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 64, 64), (3, 3, 96, 32), (2, 3, 160, 192)):
        image = torch.rand(shape)
        with torch.no_grad():
            expected = network(image)
        (found,) = session.run(["parts"], {"image": image.numpy()})
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=0)
    assert np.ptp(found) > 1e-2


@pytest.mark.filterwarnings("ignore")
def test_relief_in_millimetres_is_the_same_in_onnxruntime():
    torch.manual_seed(0)
    network = ReliefNet((8, 12, 16, 24))
    torch.nn.init.normal_(network.last.weight, std=0.25)
    network(torch.rand(4, 3, 64, 64) * torch.rand(4, 3, 1, 1))
    network.eval()
    session = ort.InferenceSession(relief_onnx(network, 64), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        image = torch.rand(batch, 3, 64, 64)
        with torch.no_grad():
            expected = network(image).numpy()
        (found,) = session.run(["relief"], {"image": image.numpy()})
        assert np.ptp(expected) > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_a_network_in_training_is_refused():
    with pytest.raises(InputError, match="evaluation mode"):
        face_points_onnx(FacePoints(size=32, features=8))
