"""3DDFA_V2 and its detector: tensors as published, crops and pixels as the original's, files read without trust."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyface3d.detect.face import Face
from pyface3d.detect.tddfa import Tddfa, TddfaBasis, read_tddfa
from pyface3d.errors import AssetError, InputError
from pyface3d.io.pickles import read_pickled_arrays
from pyface3d.networks.faceboxes import FaceBoxes, anchors_of, decode_boxes
from pyface3d.networks.tddfa import TddfaNet

NOWHERE = np.full((5, 2), np.nan, np.float32)


def published(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """A state dict with the names of the published files."""
    state = {prefix + key.replace("fc.", "fc_param."): value for key, value in network.state_dict().items()}
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


class _Constant(nn.Module):
    """Answers with the position of the brightest spot of the crop as the shift of the pose."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None

    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        weight = (image[0].mean(dim=0) + 0.9).clamp_min(0)
        index = torch.arange(120.0)
        x, y = ((weight.sum(dim=d) * index).sum() / weight.sum() for d in (0, 1))
        answer = torch.zeros(1, 62)
        answer[0, 3], answer[0, 7] = x + 1, 120 - y
        return answer


def a_basis(scale: float = 1.0) -> TddfaBasis:
    """Landmark k lies k units right and 2 k up; one shape moves all to the right."""
    steps = np.arange(68.0)[:, None] * (1.0, 2.0, 0.0)
    shapes, expressions = np.zeros((68, 3, 40)), np.zeros((68, 3, 10))
    shapes[:, 0, 5], expressions[:, 1, 3] = 1.0, 1.0
    mean, std = np.zeros(62), np.ones(62)
    mean[[0, 5, 10]] = scale
    mean[12 + 5], mean[52 + 3] = 3.0, 7.0
    return TddfaBasis(steps, shapes, expressions, mean, std)


@pytest.mark.parametrize(("box", "spot"), [((60, 70, 136, 146), (90, 100)), ((-40, 20, 112, 172), (12, 60))])
def test_points_come_back_to_the_picture(box: tuple[float, ...], spot: tuple[int, int]) -> None:
    """A spot in the picture, seen in the crop and answered as the shift, is where the first landmark comes back."""
    picture = np.zeros((200, 240, 3), np.uint8)
    x, y = spot
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    network = _Constant()
    basis = a_basis()
    points = Tddfa(network, basis).landmarks(picture, Face(tuple(map(float, box)), 1.0, NOWHERE, "mtcnn"))
    side = int((box[2] - box[0] + box[3] - box[1]) / 2 * 1.58)
    scale = side / 120
    # Three and seven units of shape and expression to the right and up; half a pixel is what the original's rounding
    # of the crop and its resizing leave open.
    expected = np.array([x + 0.5 + 3 * scale, y + 0.5 - 7 * scale])
    np.testing.assert_allclose(points[0], expected, atol=0.5 + 0.5 * scale)
    np.testing.assert_allclose(points - points[0], np.arange(68)[:, None] * (scale, -2 * scale), rtol=1e-4, atol=1e-3)
    assert network.seen is not None and float(network.seen.max()) <= 1 and float(network.seen.min()) >= -1


def test_channels_arrive_as_bgr() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[..., 0] = 255  # red
    network = _Constant()
    Tddfa(network, a_basis()).landmarks(picture, Face((10.0, 10.0, 60.0, 60.0), 1.0, NOWHERE, "mtcnn"))
    assert network.seen is not None
    middle = network.seen[0, :, 60, 60]
    torch.testing.assert_close(middle, torch.tensor([-127.5, -127.5, 127.5]) / 128)


def test_anchors() -> None:
    anchors = anchors_of(65, 100)
    assert anchors.shape == (21 * 3 * 4 + 2 * 2 + 1, 3)
    np.testing.assert_allclose(anchors[:5], [[0, 0, 32], [8, 0, 32], [16, 0, 32], [24, 0, 32], [0, 8, 32]])
    np.testing.assert_allclose(anchors[16:21], [[0, 0, 64], [16, 0, 64], [0, 16, 64], [16, 16, 64], [16, 16, 128]])
    np.testing.assert_allclose(anchors[21], [32, 0, 32])  # cells run along the row
    np.testing.assert_allclose(anchors[-5:-1], [[32, 32, 256], [96, 32, 256], [32, 96, 256], [96, 96, 256]])
    np.testing.assert_allclose(anchors[-1], [64, 64, 512])
    boxes = decode_boxes(torch.tensor([[1.0, -2.0, 0.0, 5 * np.log(2)]]), torch.tensor([[50.0, 60.0, 40.0]]))
    np.testing.assert_allclose(boxes, [[34, 12, 74, 92]], rtol=1e-5)


def test_detection_of_a_network_that_likes_one_anchor() -> None:
    network = FaceBoxes().eval()
    for head in (*network.loc, *network.conf):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    for head in network.conf:
        head.bias.data[0::2] = 10.0
    network.conf[1].bias.data[:] = torch.tensor([0.0, 3.0])
    picture = np.zeros((60, 60, 3), np.uint8)
    (face,) = Tddfa(TddfaNet(), a_basis(), network).detect(picture)
    np.testing.assert_allclose(face.box, (32 - 128, 32 - 128, 32 + 128, 32 + 128), atol=1e-3)
    assert face.score == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-5)
    # Larger than the detector's limit: boxes come back in pixels of the picture.
    (first, *_) = Tddfa(TddfaNet(), a_basis(), network).detect(np.zeros((1440, 60, 3), np.uint8))
    assert first.box[2] - first.box[0] == pytest.approx(512, rel=0.01)
    with pytest.raises(AssetError, match="FaceBoxesProd"):
        Tddfa(TddfaNet(), a_basis()).detect(picture)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of the published layout with small made-up content."""
    torch.manual_seed(1)
    rng = np.random.default_rng(0)
    (tmp_path / "weights").mkdir()
    torch.save({"epoch": 3, "state_dict": published(TddfaNet(), "module.")}, tmp_path / "weights" / "mb05_120x120.pth")
    count = 3 * 90
    basis = {
        "u": rng.normal(size=(count, 1)).astype(np.float32),
        "w_shp": rng.normal(size=(count, 60)).astype(np.float32),
        "w_exp": rng.normal(size=(count, 29)).astype(np.float32),
        "keypoints": np.arange(204)[::-1].copy(),
        "tri": np.zeros((5, 3), np.int32),
    }
    pose = np.zeros(62, np.float32)
    pose[[0, 3, 5, 7, 10]] = 20, 60, 20, 60, 20  # upright, in the crop's middle
    (tmp_path / "bfm_noneck_v3.pkl").write_bytes(pickle.dumps(basis, protocol=2))
    small = np.full(62, 1e-3, np.float32)
    (tmp_path / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps({"mean": pose, "std": small}))
    return tmp_path


def test_files(folder: Path) -> None:
    system = read_tddfa(folder)
    assert not system.has_detector
    picture = np.random.default_rng(1).integers(0, 256, (150, 150, 3), dtype=np.uint8)
    points = system.landmarks(picture, Face((40.0, 40.0, 110.0, 110.0), 1.0, NOWHERE, "mtcnn"))
    assert points.shape == (68, 2) and points.dtype == np.float32
    basis = read_pickled_arrays(folder / "bfm_noneck_v3.pkl")
    mean = basis["u"][np.arange(204)[::-1], 0].reshape(68, 3)
    scale, left = int(70 * 1.58) / 120, 75 - int(70 * 1.58) / 2
    expected = left + (20 * mean[:, 0] + 60 - 1) * scale + 0.5
    assert np.abs(points[:, 0] - expected).max() < 0.5  # the shapes' mean is zero, their spread a thousandth
    with pytest.raises(InputError, match=r"face\.box"):
        system.landmarks(picture, Face((5.0, 5.0, 5.0, 5.0), 1.0, NOWHERE, "mtcnn"))


def test_missing_and_wrong_files_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "bfm_noneck_v3.pkl").rename(folder / "aside")
    with pytest.raises(AssetError, match=r"bfm_noneck_v3\.pkl"):
        read_tddfa(folder)
    with pytest.raises(AssetError, match="no folder"):
        read_tddfa(folder / "nowhere")
    (folder / "bfm_noneck_v3.pkl").write_bytes(pickle.dumps({"u": np.zeros(3)}))
    with pytest.raises(InputError, match="it needs u, w_shp"):
        read_tddfa(folder)
