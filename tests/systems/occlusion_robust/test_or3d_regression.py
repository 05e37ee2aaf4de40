"""The regressor's features and picture scales, a photo there and back, and its row in the NME table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_bfm_front import front_arrays, write_front
from torch import Tensor

from pyface3d.detect.crops import align_five_points, alignment_points
from pyface3d.errors import AssetError, InputError
from pyface3d.evaluate.nme import evaluate_nme
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.io.images import write_png
from pyface3d.networks import create_network
from pyface3d.networks.or3d import Or3dRegressor, regressor_input
from pyface3d.systems.occlusion_robust import FaceDecoder
from pyface3d.systems.occlusion_robust.regression import FaceRegression, load_regressor, protocol_points


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_front(tmp_path_factory.mktemp("toy") / "BFM_model_front.mat", front_arrays())


@pytest.fixture(scope="module")
def decoder(model_path: Path) -> FaceDecoder:
    model = load_face_model(model_path)
    assert isinstance(model, LinearFaceModel)
    return FaceDecoder(model)


def pictures(count: int, seed: int = 0) -> Tensor:
    """Smooth crops of faces' brightness and contrast, (B, 3, 224, 224) of 0…1."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 9, generator=draw)
    fine = torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic", align_corners=False)
    return (fine + 0.03 * torch.randn(count, 3, 224, 224, generator=draw)).clamp(0, 1)


@pytest.fixture(scope="module")
def network() -> Or3dRegressor:
    """With statistics of real passes, as a trained one has."""
    torch.manual_seed(0)
    made = create_network("or3d_regressor")
    assert isinstance(made, Or3dRegressor)
    with torch.no_grad():
        for _ in range(2):
            made(pictures(3))
    return made.eval()


def test_spec_9_features(network: Or3dRegressor) -> None:
    image = pictures(1, 5)
    with torch.inference_mode():
        found = network.features(image)
        assert torch.equal(network(image), found[-1])
    shapes = [(1, 512, 28, 28), (1, 1024, 14, 14), (1, 2048, 7, 7), (1, 2048), (1, 257)]
    assert [tuple(value.shape) for value in found] == shapes
    torch.testing.assert_close(found[3], found[2].mean(dim=(2, 3)))
    assert sum(value.numel() for value in network.parameters()) == 24_034_625
    with torch.device("meta"):
        other = create_network("or3d_regressor", identity=70, expression=52, albedo=11)
    assert sum(other.heads.values()) == 70 + 52 + 11 + 33


def test_spec_10_weights_of_bytes_become_weights_of_unit_pictures(network: Or3dRegressor, tmp_path: Path) -> None:
    torch.manual_seed(1)
    baseline = create_network("or3d_regressor")
    assert isinstance(baseline, Or3dRegressor)
    with torch.no_grad():
        for _ in range(2):
            baseline(255 * pictures(3))
    baseline.eval()
    assert baseline.expects_bytes and not network.expects_bytes
    torch.save(baseline.state_dict(), tmp_path / "th_model_params.pth")
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "reg_ep1_stage1.pth")
    image = pictures(1, 7)
    imported = load_regressor(tmp_path / "th_model_params.pth")
    with torch.inference_mode():
        torch.testing.assert_close(imported(image), baseline(255 * image), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(load_regressor(tmp_path / "reg_ep1_stage1.pth")(image), network(image))
        forced = load_regressor(tmp_path / "th_model_params.pth", "unit")
        torch.testing.assert_close(forced(image), baseline(image))
    broken = network.state_dict() | {"fcZ.bias": torch.tensor([float("nan")])}
    torch.save(broken, tmp_path / "broken.pth")
    with pytest.raises(AssetError, match="not finite"):
        load_regressor(tmp_path / "broken.pth")


def test_the_network_sees_blue_first() -> None:
    crops = np.zeros((1, 224, 224, 3), np.uint8)
    crops[..., 0], crops[..., 2] = 255, 51
    assert regressor_input(crops)[0, :, 5, 5].tolist() == pytest.approx([0.2, 0.0, 1.0])


def test_heads_of_zero_give_the_mean_face(decoder: FaceDecoder) -> None:
    made = create_network("or3d_regressor").eval()
    assert isinstance(made, Or3dRegressor)
    made.begin_with_the_mean_face()
    image = np.full((300, 400, 3), 128, np.uint8)
    five = np.array([(150, 130), (250, 130), (200, 190), (160, 240), (240, 240)], float)
    found = FaceRegression(made, decoder).regress(image, five)
    assert float(found.coefficients.joined().abs().max()) == 0
    expected = decoder.decode(decoder.layout.zeros()).landmarks[0].double().numpy()
    np.testing.assert_allclose(found.alignment.crop.to_crop(found.landmarks), expected, atol=1e-4)


def test_another_model_is_refused(network: Or3dRegressor) -> None:
    model = load_face_model("head")
    assert isinstance(model, LinearFaceModel)
    with pytest.raises(InputError, match="the regressor gives 257 coefficients but the face model 'head' has"):
        FaceRegression(network, FaceDecoder(model))


def test_protocol_points_cut_the_eyes_to_whole_pixels() -> None:
    points = np.zeros((68, 2))
    points[36], points[39], points[42], points[45] = (10.2, 20.9), (21.0, 22.0), (40.0, 21.3), (49.9, 20.0)
    points[30], points[48], points[54] = (30.4, 33.3), (20.1, 44.4), (41.7, 45.5)
    expected = [(15, 21), (44, 20), (30.4, 33.3), (20.1, 44.4), (41.7, 45.5)]
    np.testing.assert_allclose(protocol_points(points + 0.5) - 0.5, expected)


class Knowing(torch.nn.Module):
    """A regressor that has been told the coefficients of each photo, which it knows by its brightness."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 1, 1)
        self.answers, self.heads = answers, {"all": 257}

    def forward(self, image: Tensor) -> Tensor:
        return self.answers[round(float(image.amax()) * 255 / 20) - 1][None]


def test_a_perfect_regressor_scores_nearly_zero(
    decoder: FaceDecoder, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truths are drawn faces seen through the alignment that the protocol will find again from their five points."""
    from pyface3d.systems.occlusion_robust import regression

    draw = torch.Generator().manual_seed(0)
    coefficients = 0.3 * torch.randn(3, 257, generator=draw)
    coefficients[:, 224:227] = torch.tensor([[0.05, 0.1, 0.0], [0.0, -0.6, 0.1], [-0.1, 0.2, -0.2]])
    coefficients[:, 254:] = 0
    truths = []
    for index, row in enumerate(coefficients):
        for _ in range(12):  # moves the face to where the alignment puts a face of these five points
            landmarks = decoder.decode(row[None]).landmarks[0].double().numpy()
            placed = align_five_points(alignment_points(landmarks), 224, 224)
            row[254:256] -= torch.from_numpy((placed.shift - 112) / 102).float()
            row[256] = 10 - (10 - row[256]) * placed.scale / 102
        truths.append(landmarks * 1.5 + (60, 40) - 0.5)
        write_png(tmp_path / "photos" / f"{index}.png", np.full((450, 450, 3), 20 * (index + 1), np.uint8))
    truth = np.stack(truths)
    folder = tmp_path / "truths"
    folder.mkdir()
    with_depth = np.concatenate([truth.transpose(0, 2, 1), np.zeros((3, 1, 68))], axis=1)
    np.save(folder / "AFLW2000-3D.pts68.npy", with_depth.astype(np.float32))
    np.save(folder / "AFLW2000-3D-new.pose.npy", np.array([0, 40, 80], np.float32))
    monkeypatch.setattr(regression, "load_regressor", lambda path: Knowing(coefficients))
    table = evaluate_nme(
        folder, images=tmp_path / "photos", methods=["mean"], regressor=tmp_path / "w.pth", model=str(model_path)
    ).table
    row = next(row for row in table.rows if row["method"] == "w, true five points")
    # What is left is the published bookkeeping: half a pixel of the crop aside and up, edges in whole pixels.
    assert 0 < row["mean %"] < 1.2
    trivial = next(row for row in table.rows if row["method"] == "mean shape, true box")
    assert trivial["mean %"] > 2 * row["mean %"]
    with pytest.raises(InputError, match="a regressor and the occluder need photos"):
        evaluate_nme(folder, regressor=tmp_path / "w.pth")
