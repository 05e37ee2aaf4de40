"""From a photo to coefficients, relief and mask by the published networks' architecture, and through its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pyface3d.detect.crops import extreme3d_crop
from pyface3d.errors import AssetError, InputError
from pyface3d.networks import create_network
from pyface3d.networks.extreme3d import BumpNet, ShapeRegressor
from pyface3d.systems.extreme3d.geometry_only import read_case
from pyface3d.systems.extreme3d.predict import Extreme3dNetworks, predict_case, read_networks, write_case


class _Bump(BumpNet):
    """Answers with the picture itself: its red channel as the mask, its green as the relief, in the maps' frame."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = image
        padded = nn.functional.pad(image, (6, 6, 6, 6), value=-1.0)
        return (padded[:, :1] + 1) / 2, padded[:, 1:2]


class _Shape(ShapeRegressor):
    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return torch.arange(198.0)[None] / 100


@pytest.fixture(scope="module")
def answering() -> Extreme3dNetworks:
    with torch.device("meta"):
        bump, shape = _Bump(), _Shape()
    return Extreme3dNetworks(bump.to_empty(device="cpu"), shape.to_empty(device="cpu"))


def picture_and_landmarks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    return image, rng.uniform((300, 250), (500, 430), (68, 2))


def test_relief_lies_over_the_crop(answering: Extreme3dNetworks) -> None:
    """What the network says of the map's pixel (x + 6, y + 6) is of the crop's (x, y); levels and mm as specified."""
    image, landmarks = picture_and_landmarks()
    case, crop = predict_case("face", image, landmarks, answering)
    np.testing.assert_array_equal(crop.matrix, extreme3d_crop(landmarks).matrix)
    green = case.image[..., 1].astype(float)  # 0…255 is -1…1 is levels 0…255
    np.testing.assert_allclose(case.relief.mm.numpy(), (green - 127) / 12 * 1.25, atol=1e-4)
    np.testing.assert_array_equal(case.relief.mask.numpy(), case.image[..., 0])
    np.testing.assert_allclose(crop.to_image(case.landmarks.numpy()), landmarks, atol=1e-9)
    assert float(answering.bump.seen.min()) >= -1 and float(answering.bump.seen.max()) <= 1
    assert case.alpha is not None and case.alpha.tolist() == pytest.approx([k / 100 for k in range(99)])
    texture = answering.coefficients(case.image)[1]
    assert texture.tolist() == pytest.approx([(99 + k) / 100 for k in range(99)])
    assert answering.shape is not None and answering.shape.seen.shape == (1, 3, 224, 224)
    assert float(answering.shape.seen.max()) > 200


def test_relief_for_any_head(answering: Extreme3dNetworks) -> None:
    """Outside of the mask there is none; the frame is the crop's."""
    image, landmarks = picture_and_landmarks()
    case, crop = predict_case("face", image, landmarks, answering)
    found = answering.predict(image, landmarks)
    np.testing.assert_array_equal(found.crop.matrix, crop.matrix)
    assert found.relief.dtype == np.float32
    inside = case.relief.mask.numpy() > 127
    assert 0.1 < inside.mean() < 0.9 and not found.relief[~inside].any()
    np.testing.assert_allclose(found.relief[inside], case.relief.mm.numpy()[inside], atol=1e-5)


def test_files_of_the_published_program(answering: Extreme3dNetworks, tmp_path: Path) -> None:
    case, _ = predict_case("face", *picture_and_landmarks(), answering)
    write_case(tmp_path, case)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == {
        *("imgs/face.png", "imgs/face.pts", "shape/face.ply.alpha", "bump/face_bump.png", "bump/face_mask.png")
    }
    lines = (tmp_path / "imgs" / "face.pts").read_text().splitlines()
    assert len(lines) == 68
    assert [float(word) for word in lines[0].split()] == pytest.approx((case.landmarks[0] - 0.5).tolist())
    back = read_case(tmp_path, "face")
    np.testing.assert_array_equal(back.image, case.image)
    np.testing.assert_allclose(back.landmarks.numpy(), case.landmarks.numpy(), atol=1e-3)
    np.testing.assert_array_equal(back.relief.mask.numpy(), case.relief.mask.numpy())
    assert float((back.relief.mm - case.relief.mm).abs().max()) <= 0.053
    assert back.alpha is not None and back.alpha.tolist() == pytest.approx(case.alpha.tolist())


def test_networks_from_a_folder(tmp_path: Path) -> None:
    """The published file is enough for relief; without the shape network the message says what to get."""
    with pytest.raises(AssetError, match=r"holds no weights of the bump network: get ckpt_109_grad\.pth\.tar"):
        read_networks(tmp_path)
    torch.manual_seed(0)
    state = {f"Gnet.{key}": value for key, value in create_network("extreme3d_bump_generator").state_dict().items()}
    torch.save(state, tmp_path / "ckpt_109_grad.pth.tar", _use_new_zipfile_serialization=False)
    networks = read_networks(tmp_path)
    assert not networks.bump.training and networks.shape is None
    crop = np.zeros((500, 500, 3), np.uint8)
    with pytest.raises(AssetError, match=r"shape_model\.pth"):
        networks.coefficients(crop)
    with pytest.raises(InputError, match=r"crop must be uint8 \(500, 500, 3\), got uint8 \(4, 4, 3\)"):
        networks.relief(crop[:4, :4])
