"""How the public networks are fed and read; the networks themselves where the test data has them."""

from pathlib import Path

import numpy as np
import pytest

from pyface3d.errors import AssetError
from pyface3d.evaluate.annotated_faces import evenly, read_annotated_faces
from pyface3d.evaluate.landmark_errors import point_errors
from pyface3d.evaluate.onnx_peers import (
    OPENSEEFACE_FILE,
    OPENSEEFACE_IBUG68,
    RFB_FILE,
    OpenSeeFace,
    UltraLight,
    open_onnx,
)
from pyface3d.io.images import read_image


def test_the_scheme_lacks_the_inner_mouth_corners_only() -> None:
    assert len(OPENSEEFACE_IBUG68) == 66
    assert set(range(68)) - set(OPENSEEFACE_IBUG68.tolist()) == {60, 64}


def test_heat_maps_are_read_at_their_peaks() -> None:
    maps = np.zeros((3, 66, 28, 28), np.float32)
    maps[1:] = 0.5  # the sigmoid of no offset
    maps[0, :, 4, 9] = 1
    maps[0, 7] = 0
    maps[0, 7, 27, 0] = 1
    offset = 2 / 223  # two pixels to the right
    maps[2, 7, 27, 0] = 1 / (1 + np.exp(-16 * offset))
    points = OpenSeeFace.read_maps(maps.reshape(198, 28, 28))
    np.testing.assert_allclose(points[0], (9 / 27 * 223 + 0.5, 4 / 27 * 223 + 0.5), atol=1e-3)
    np.testing.assert_allclose(points[7], (2.5, 223.5), atol=1e-3)


@pytest.mark.parametrize("size", [(640, 480), (300, 900), (1200, 200)])
def test_letterbox_keeps_proportions_and_the_whole_picture(size: tuple[int, int]) -> None:
    crop = UltraLight.letterbox(*size)
    corners = crop.to_crop(np.array([(0, 0), size], np.float64))
    assert corners.min() >= -1e-9
    assert (corners[1] <= (320 + 1e-9, 240 + 1e-9)).all()
    across, down = corners[1] - corners[0]
    assert across / down == pytest.approx(size[0] / size[1])
    np.testing.assert_allclose(corners.mean(axis=0), (160, 120))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(AssetError, match="--peer-weights"):
        open_onnx(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(AssetError, match="not a network"):
        open_onnx(tmp_path / "broken.onnx")


def test_every_mapped_landmark_is_the_nearest_one(shared_data: Path) -> None:
    """On annotated faces, each of OpenSeeFace's points comes nearer to its own landmark than to any other."""
    pytest.importorskip("onnxruntime")
    network = OpenSeeFace(shared_data / "weights_small" / OPENSEEFACE_FILE)
    misses, errors = [], []
    for face in evenly(read_annotated_faces(shared_data / "landmarks_300w"), 30):
        low, high = face.points.min(axis=0), face.points.max(axis=0)
        found = network.landmarks68(read_image(face.path), (*low.tolist(), *high.tolist()))
        errors.append(np.nanmean(point_errors(found, face.points)))
        eyes = np.linalg.norm(face.points[45] - face.points[36])
        misses.append(np.linalg.norm(found[:, None] - face.points[None], axis=-1) / eyes)
    assert np.median(errors) < 8
    typical = np.median(misses, axis=0)
    have = np.delete(np.arange(68), [60, 64])
    # Upper and lower lip lie within 5 % of each other when the mouth is shut; the rest must be unmistakable.
    clear = have[have < 48]
    np.testing.assert_array_equal(typical[clear].argmin(axis=1), clear)
    assert (typical[have].min(axis=1) > typical[have, have] - 0.05).all()


def test_the_detector_finds_a_face_and_nothing_in_grey(shared_data: Path) -> None:
    pytest.importorskip("onnxruntime")
    image = pytest.importorskip("skimage.data").astronaut()
    detector = UltraLight(shared_data / "weights_small" / RFB_FILE)
    (face,) = detector.detect(image)
    assert 180 < face.center[0] < 270 and 60 < face.center[1] < 175
    assert 80 < face.size < 180
    assert detector.detect(np.full((200, 300, 3), 90, np.uint8)) == []
