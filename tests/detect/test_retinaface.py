"""RetinaFace: sizes and anchors of the published networks, decoding by hand, and real weights of InsightFace's variant.

The published files are not at hand. InsightFace's ``mnet025_v2`` has the same second and third stage, pyramid, context
modules and heads: its weights go into ours here, and what its own graph answers is the oracle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pyface3d.cli import main
from pyface3d.detect.faces import detect_faces
from pyface3d.detect.retinaface import RetinaFaceDetector, letterbox, load_retinaface, read_answers, read_retinaface
from pyface3d.errors import AssetError
from pyface3d.io.images import read_image
from pyface3d.networks import create_network
from pyface3d.networks.retinaface import RetinaFace, anchors_of


def small_network(seed: int = 0) -> RetinaFace:
    torch.manual_seed(seed)
    network = create_network("retinaface_mobilenet025").eval()
    assert isinstance(network, RetinaFace)
    return network


def test_sizes_and_names_are_the_published_ones() -> None:
    """426,608 and 27,293,600 parameters; a few names of each part as the files have them."""
    with torch.device("meta"):
        networks = {name: create_network(f"retinaface_{name}") for name in ("mobilenet025", "resnet50")}
    counts = {name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()}
    assert counts == {"mobilenet025": 426_608, "resnet50": 27_293_600}
    shapes = {name: {key: tuple(v.shape) for key, v in net.state_dict().items()} for name, net in networks.items()}
    for name, key, shape in [
        ("mobilenet025", "body.stage1.0.0.weight", (8, 3, 3, 3)),
        ("mobilenet025", "body.stage1.1.3.weight", (16, 8, 1, 1)),
        ("mobilenet025", "body.stage2.0.0.weight", (64, 1, 3, 3)),
        ("mobilenet025", "body.stage3.1.4.running_var", (256,)),
        ("mobilenet025", "fpn.output1.0.weight", (64, 64, 1, 1)),
        ("mobilenet025", "ssh1.conv7x7_3.0.weight", (16, 16, 3, 3)),
        ("mobilenet025", "LandmarkHead.2.conv1x1.weight", (20, 64, 1, 1)),
        ("resnet50", "body.layer4.0.downsample.0.weight", (2048, 1024, 1, 1)),
        ("resnet50", "fpn.merge2.0.weight", (256, 256, 3, 3)),
        ("resnet50", "ssh3.conv5X5_1.1.bias", (64,)),
        ("resnet50", "ClassHead.0.conv1x1.bias", (4,)),
    ]:
        assert shapes[name][key] == shape, key


def test_anchors() -> None:
    """4,200 for 320 px, by three loops; sizes that are no multiple of the strides have cells for the rest."""
    assert len(anchors_of(320, 320)) == 4200
    expected = []
    for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for row in range(-(-50 // stride)):
            for column in range(-(-70 // stride)):
                expected += [((column + 0.5) * stride, (row + 0.5) * stride, side) for side in sides]
    assert anchors_of(50, 70).tolist() == [list(anchor) for anchor in expected]


def test_decoding_by_hand() -> None:
    """All answers are biases: every anchor then has the same offsets, whose meaning is worked out here."""
    network = small_network()
    for heads, bias in (
        (network.ClassHead, [0.0, 1.0]),
        (network.BboxHead, [1.0, -2.0, 0.5, 1.0]),
        (network.LandmarkHead, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
    ):
        for head in heads:
            nn.init.zeros_(head.conv1x1.weight)
            head.conv1x1.bias.data = torch.tensor(bias).repeat(2)
    with torch.inference_mode():
        boxes, scores, points = network(torch.rand(2, 3, 64, 96) * 255)
    anchors = anchors_of(64, 96)
    assert boxes.shape == (2, len(anchors), 4)
    torch.testing.assert_close(scores, torch.full_like(scores, float(torch.sigmoid(torch.tensor(1.0)))))
    x, y, side = anchors.unbind(1)
    for image in range(2):
        middle_x, middle_y = x + 0.1 * side, y - 0.2 * side
        wide, high = side * np.exp(0.2 * 0.5), side * np.exp(0.2 * 1.0)
        expected = [middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2]
        torch.testing.assert_close(boxes[image], torch.stack(expected, dim=1), rtol=1e-5, atol=1e-3)
        for number in range(5):
            found = torch.stack([x + 0.2 * number * side, y + (0.2 * number + 0.1) * side], dim=1)
            torch.testing.assert_close(points[image, :, number], found, rtol=1e-5, atol=1e-3)


class Recording(nn.Module):
    """Answers with one face of known place, and keeps what it was shown."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.seen = image[0].permute(1, 2, 0).numpy()
        boxes = torch.tensor([[[64.0, 32, 192, 160], [66.0, 34, 194, 162], [300.0, 300, 340, 340]]])
        points = torch.arange(10.0).reshape(1, 1, 5, 2).repeat(1, 3, 1, 1) * 32
        return boxes, torch.tensor([[0.9, 0.8, 0.3]]), points


def test_pictures_keep_their_proportions_and_channels() -> None:
    network = Recording()
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :160] = (200, 10, 30)
    (face,) = RetinaFaceDetector(network).faces(image, 20, 0.5)  # type: ignore[arg-type]
    assert network.seen.shape == (480, 640, 3)
    assert network.seen[100, 100].tolist() == [30, 10, 200]  # blue first
    assert face.box == pytest.approx((32, 16, 96, 80)) and face.score == pytest.approx(0.9)
    np.testing.assert_allclose(face.points5, np.arange(10).reshape(5, 2) * 16)
    assert face.detector == "retinaface"
    tall = np.full((500, 90, 3), 255, np.uint8)
    RetinaFaceDetector(network).faces(tall, 20, 0.5)  # type: ignore[arg-type]
    assert network.seen.shape == (640, 128, 3)
    np.testing.assert_array_equal(network.seen[300, 125], (104, 117, 123))  # which the network takes off
    assert len(RetinaFaceDetector(network).faces(image, 20, 0.2)) == 2  # type: ignore[arg-type]
    assert RetinaFaceDetector(network).faces(image, 90, 0.5) == []  # type: ignore[arg-type]
    assert RetinaFaceDetector(network).faces(image, 20, 0.95) == []  # type: ignore[arg-type]
    assert letterbox(8000, 6000, 20).scale == pytest.approx(0.8)  # small faces, when asked for, stay visible


def test_published_files_are_found_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_retinaface.cache_clear()
    monkeypatch.delenv("PYFACE3D_MODELS", raising=False)
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(AssetError, match=r"Resnet50_Final\.pth or mobilenet0\.25_Final\.pth.*PYFACE3D_MODELS"):
        detect_faces(image, "retinaface")
    network = small_network(1)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}  # as parallel training writes it
    torch.save(state, tmp_path / "mobilenet0.25_Final.pth")
    monkeypatch.setenv("PYFACE3D_MODELS", str(tmp_path))
    detect_faces(image, "retinaface")
    loaded = load_retinaface("cpu")._network
    picture = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        for ours, theirs in zip(loaded(picture), network(picture)):
            torch.testing.assert_close(ours, theirs)
    converted = tmp_path / "converted"
    flags = ["--licence", "MIT"]
    assert main(["convert", "checkpoint", str(tmp_path / "mobilenet0.25_Final.pth"), str(converted), *flags]) == 0
    again = read_retinaface(converted / "retinaface_mobilenet025.safetensors")
    assert torch.equal(again._network.fpn.output1[0].weight, network.fpn.output1[0].weight)
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(AssetError, match="retinaface"):
        read_retinaface(tmp_path / "other.pth")
    with pytest.raises(AssetError, match="does not exist"):
        read_retinaface(tmp_path / "none.pth")
    load_retinaface.cache_clear()


_FEATURES = ("conv_6_relu", "conv_12_relu", "conv_final_relu")
_SHIFT = {8: 4.0, 16: 0.0, 32: -8.0}  # of InsightFace's anchors against ours: theirs stand at 8 + stride * cell

_POINT_SPREAD = 0.2  # what the points' offsets of this model are multiplied by


class InsightFace:
    """Its graph with the trunk's maps as further outputs, and its weights in our network."""

    def __init__(self, path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        onnxruntime = pytest.importorskip("onnxruntime")
        model = onnx.load(str(path))
        for name in _FEATURES:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        self.arrays = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.network = RetinaFace().eval()
        self.last = nn.Sequential(nn.Conv2d(256, 256, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU()).eval()
        for module in self.network.modules():
            if isinstance(module, nn.LeakyReLU):
                module.negative_slope = 0.0  # InsightFace's do not leak
        self._trunk()
        self._pyramid()
        self._heads()

    def _put(self, conv: Any, norm: Any, name: str, norm_name: str, epsilon: float) -> None:
        conv.weight.data = torch.from_numpy(self.arrays[f"{name}_weight"].copy())
        bias = self.arrays.get(f"{name}_bias", np.float32(0))
        norm.weight.data = torch.from_numpy(self.arrays[f"{norm_name}_gamma"].copy())
        norm.bias.data = torch.from_numpy(self.arrays[f"{norm_name}_beta"].copy())
        norm.running_mean.data = torch.from_numpy(self.arrays[f"{norm_name}_moving_mean"] - bias)
        norm.running_var.data = torch.from_numpy(self.arrays[f"{norm_name}_moving_var"].copy())
        norm.eps = epsilon

    def _trunk(self) -> None:
        body = self.network.body
        blocks = [*body.get_submodule("stage2").children(), *body.get_submodule("stage3").children()]
        for number, block in enumerate(blocks, 7):
            for at, kind in ((0, "_dw"), (3, "")):
                name = f"conv_{number}{kind}"
                self._put(block[at], block[at + 1], f"{name}_conv2d", f"{name}_batchnorm", 1e-3)
        self._put(self.last[0], self.last[1], "conv_final_conv2d", "conv_final_batchnorm", 1e-3)

    def _pyramid(self) -> None:
        fpn = self.network.fpn
        for part, name in (
            (fpn.output1, "rf_c1_red_conv"),
            (fpn.output2, "rf_c2_lateral"),
            (fpn.output3, "rf_c3_lateral"),
            (fpn.merge1, "rf_c1_aggr"),
            (fpn.merge2, "rf_c2_aggr"),
        ):
            self._put(part[0], part[1], name, f"{name}_bn", 2e-5)
        for context, stride in ((self.network.ssh1, 8), (self.network.ssh2, 16), (self.network.ssh3, 32)):
            for part, name in (
                (context.conv3X3, "conv1"),
                (context.conv5X5_1, "context_conv1"),
                (context.conv5X5_2, "context_conv2"),
                (context.conv7X7_2, "context_conv3_1"),
                (context.conv7x7_3, "context_conv3_2"),
            ):
                self._put(part[0], part[1], f"rf_head_stride{stride}_{name}", f"rf_head_stride{stride}_{name}_bn", 2e-5)

    def _heads(self) -> None:
        """Rows change places (their larger anchor comes first, their classes before their anchors); offsets are of
        other variances and from anchors that stand elsewhere."""
        for level, stride in enumerate((8, 16, 32)):
            sides = (16, 32) if stride == 8 else (64, 128) if stride == 16 else (256, 512)
            shift = np.array([_SHIFT[stride] / side for side in sides], np.float32)
            for heads, name, size in (
                (self.network.ClassHead, "cls_score", 2),
                (self.network.BboxHead, "bbox_pred", 4),
                (self.network.LandmarkHead, "landmark_pred", 10),
            ):
                weight = self.arrays[f"face_rpn_{name}_stride{stride}_weight"]
                bias = self.arrays[f"face_rpn_{name}_stride{stride}_bias"]
                if size == 2:
                    order = [2 * kind + (1 - anchor) for anchor in range(2) for kind in range(2)]
                    scale, moved = np.ones(4, np.float32), np.zeros(4, np.float32)
                else:
                    order = [(1 - anchor) * size + k for anchor in range(2) for k in range(size)]
                    per = [10.0, 10.0, 5.0, 5.0] if size == 4 else [10.0 * _POINT_SPREAD] * 10
                    scale = np.array(per * 2, np.float32)
                    kept = np.array([1, 1, 0, 0] if size == 4 else [1] * 10, np.float32)
                    moved = np.concatenate([10 * shift[anchor] * kept for anchor in range(2)])
                conv = heads[level].conv1x1
                conv.weight.data = torch.from_numpy(weight[order] * scale[:, None, None, None])
                conv.bias.data = torch.from_numpy((bias[order] * scale + moved).astype(np.float32))

    def theirs(self, pixels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Its maps, and its own decoding: boxes, scores, points, first pixel's middle at 0.5."""
        names = [output.name for output in self.session.get_outputs()]
        data = pixels.transpose(2, 0, 1)[None].astype(np.float32)
        found = dict(zip(names, self.session.run(None, {"data": data})))
        boxes, scores, points = [], [], []
        for stride, base in ((8, (32, 16)), (16, (128, 64)), (32, (512, 256))):
            cls = found[f"face_rpn_cls_prob_reshape_stride{stride}"][0]
            box = found[f"face_rpn_bbox_pred_stride{stride}"][0]
            five = found[f"face_rpn_landmark_pred_stride{stride}"][0]
            for row in range(cls.shape[1]):
                for column in range(cls.shape[2]):
                    for anchor, side in enumerate(base):
                        x, y = column * stride + 7.5 + 0.5, row * stride + 7.5 + 0.5
                        dx, dy, dw, dh = box[4 * anchor : 4 * anchor + 4, row, column]
                        middle = x + dx * side, y + dy * side
                        half = np.exp(dw) * side / 2, np.exp(dh) * side / 2
                        boxes.append(
                            [middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]]
                        )
                        scores.append(cls[2 + anchor, row, column])
                        deltas = five[10 * anchor : 10 * anchor + 10, row, column].reshape(5, 2)
                        points.append(_POINT_SPREAD * deltas * side + (x, y))
        return found, np.array(boxes, np.float32), np.array(scores, np.float32), np.array(points, np.float32)


@pytest.fixture(scope="module")
def insightface(shared_data: Path) -> InsightFace:
    path = shared_data / "weights_small" / "retinaface_mnet025_v2.onnx"
    if not path.is_file():
        pytest.skip("the test data has no retinaface_mnet025_v2.onnx")
    return InsightFace(path)


@pytest.mark.parametrize("number", [0, 4, 7])
def test_real_weights_give_what_their_own_graph_gives(insightface: InsightFace, shared_data: Path, number: int) -> None:
    with np.load(shared_data / "aflw2000_3d" / "landmarks.npz") as known:
        name, truth = str(known["names"][number]), known["pts3d68"][number][:2].T + 0.5
    image = read_image(shared_data / "aflw2000_3d" / f"{name}.jpg")
    crop = letterbox(image.shape[1], image.shape[0])
    assert (crop.width, crop.height) == (640, 640)
    found, boxes, scores, points = insightface.theirs(crop.warp(image))
    network = insightface.network
    with torch.inference_mode():
        fine = torch.from_numpy(found["conv_6_relu"])
        middle = network.body.get_submodule("stage2")(fine)
        torch.testing.assert_close(middle, torch.from_numpy(found["conv_12_relu"]), rtol=1e-4, atol=1e-4)
        coarse = insightface.last(network.body.get_submodule("stage3")(middle))
        torch.testing.assert_close(coarse, torch.from_numpy(found["conv_final_relu"]), rtol=1e-4, atol=1e-4)
        ours = [answer[0].numpy() for answer in network.answers((fine, middle, coarse), 640, 640)]
    likely = scores > 0.02  # elsewhere offsets mean nothing
    assert likely.sum() > 3
    # Ours list the smaller anchor of a cell first, theirs the larger.
    swapped = np.arange(len(scores)).reshape(-1, 2)[:, ::-1].ravel()
    np.testing.assert_allclose(ours[1][swapped], scores, atol=1e-4)
    np.testing.assert_allclose(ours[0][swapped][likely], boxes[likely], atol=0.05)
    np.testing.assert_allclose(ours[2][swapped][likely], points[likely], atol=0.05)

    best = read_answers(crop, *ours, min_size=20, threshold=0.5)[0]
    low, high = truth.min(axis=0), truth.max(axis=0)
    assert low[0] < best.center[0] < high[0] and low[1] < best.center[1] < high[1]
    eyes = np.stack([truth[36:42].mean(axis=0), truth[42:48].mean(axis=0)])
    expected = np.concatenate([eyes, truth[[30, 48, 54]]])
    assert np.linalg.norm(best.points5 - expected, axis=1).mean() < 0.06 * np.sqrt(np.prod(high - low))
