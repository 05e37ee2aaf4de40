"""Landmarks of photos as files: what is written, what is told, and the whole command with another system's files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pyface3d.cli import main
from pyface3d.detect.landmark_files import read_landmark_list, read_landmarks
from pyface3d.errors import InputError
from pyface3d.io.images import read_image, write_png
from pyface3d.io.weights import ASSETS_DIR
from pyface3d.networks.tddfa import TddfaNet
from pyface3d.systems.inputs import expand_inputs
from pyface3d.systems.landmark_run import drawn_landmarks, landmark_backend, write_photo_landmarks

POINTS = np.random.default_rng(0).uniform(20, 80, (68, 2)).astype(np.float32)


def two_faces(image: np.ndarray) -> list[np.ndarray]:
    return [] if image.mean() < 10 else [POINTS, POINTS + 5]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    write_png(folder / "a.png", np.full((100, 120, 3), 200, np.uint8))
    write_png(folder / "b.png", np.zeros((100, 120, 3), np.uint8))
    (folder / "c.png").write_bytes(b"no picture")
    return folder


def test_files_and_failures(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = list(
        write_photo_landmarks(expand_inputs([photos]), out, two_faces, formats=["npy", "pts", "csv"], max_faces=2)
    )
    assert [(row.photo.stem, row.faces) for row in rows] == [("a", 2), ("b", 0), ("c", 0)]
    assert rows[0].error is None and "no face" in rows[1].error and "c.png" in rows[2].error
    names = {path.name for path in out.iterdir()}
    lists = {"landmarks.csv", "landmarks_fail.txt", "landmarks.jsonl"}
    assert names == {"a.npy", "a_face2.npy", "a.pts", "a_face2.pts", "a_landmarks.png", *lists}
    assert (out / "landmarks_fail.txt").read_text().split() == [str(photos / name) for name in ("b.png", "c.png")]
    for name in ("a.npy", "a.pts"):
        np.testing.assert_allclose(read_landmarks(out / name), POINTS, atol=1e-3)
    np.testing.assert_allclose(read_landmark_list(out / "landmarks.csv")["a.png"], POINTS, atol=1e-3)
    assert read_image(out / "a_landmarks.png").shape == (100, 120, 3)


def test_a_run_goes_on_where_it_stopped(photos: Path, tmp_path: Path) -> None:
    for name in "defg":
        write_png(photos / f"{name}.png", np.full((100, 120, 3), 150, np.uint8))
    inputs, formats = expand_inputs([photos]), ["npy", "csv"]
    list(write_photo_landmarks(inputs, tmp_path / "whole", two_faces, formats=formats, max_faces=2))
    looked: list[int] = []

    def counting(image: np.ndarray) -> list[np.ndarray]:
        looked.append(1)
        return two_faces(image)

    cut = tmp_path / "cut"
    run = write_photo_landmarks(inputs, cut, counting, formats=formats, max_faces=2)
    for _ in range(5):
        next(run)
    run.close()
    assert not (cut / "landmarks.csv").exists() and len(looked) == 4  # a, b, d, e; c is no picture
    (cut / "d_face2.npy").unlink()
    done = list(write_photo_landmarks(inputs, cut, counting, formats=formats, max_faces=2, resume=True))
    assert [one.photo.stem for one in done if one.resumed] == ["a", "e"] and len(looked) == 4 + 4  # b, d, f, g
    for path in (tmp_path / "whole").iterdir():
        if path.suffix != ".jsonl":
            assert (cut / path.name).read_bytes() == path.read_bytes(), path.name
    with pytest.raises(InputError, match=r"other settings \(max_faces\)"):
        list(write_photo_landmarks(inputs, cut, counting, formats=formats, resume=True))


def test_overlays_show_the_points_where_they_are() -> None:
    picture = np.zeros((2000, 1500, 3), np.uint8)
    points = np.stack([np.linspace(300, 1200, 68), np.linspace(1700, 200, 68)], axis=1)
    drawn = drawn_landmarks(picture, [points])
    assert drawn.shape == (1280, 960, 3) and not picture.any()
    for x, y in points * 0.64:
        assert drawn[int(y), int(x)].max() > 200
    assert (drawn.max(axis=2) > 0).mean() < 0.05


def test_backends_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="network, dlib, tddfa"):
        landmark_backend("psychic")
    with pytest.raises(InputError, match="--tddfa FOLDER"):
        landmark_backend("tddfa")
    with pytest.raises(InputError, match="npy, pts, csv"):
        list(write_photo_landmarks([], tmp_path, two_faces, formats=["xml"]))


def test_command_with_the_files_of_3ddfa(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its regressor with weights that always answer the mean: upright, in the crop's middle."""
    folder, out = tmp_path / "3ddfa", tmp_path / "out"
    folder.mkdir()
    network = TddfaNet()
    torch.nn.init.zeros_(network.fc.weight)
    torch.nn.init.zeros_(network.fc.bias)
    torch.save({"state_dict": network.state_dict()}, folder / "mb05_120x120.pth")
    rng = np.random.default_rng(0)
    spread = rng.uniform(-30, 30, (204, 1)).astype(np.float32)
    basis = {"u": spread, "w_shp": np.zeros((204, 40)), "w_exp": np.zeros((204, 10)), "keypoints": np.arange(204)}
    (folder / "bfm_noneck_v3.pkl").write_bytes(pickle.dumps(basis))
    mean = np.zeros(62)
    mean[[0, 3, 5, 7, 10]] = 1, 60, 1, 60, 1
    (folder / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps({"mean": mean, "std": np.ones(62)}))
    photo = ASSETS_DIR / "demo" / "astronaut.png"
    command = ["prepare", "landmarks", str(photo), "-o", str(out), "--backend", "tddfa", "--device", "cpu"]
    assert main(command) == 2
    assert "--tddfa" in capsys.readouterr().err
    assert main([*command, "--tddfa", str(folder)]) == 0
    points = read_landmarks(out / "astronaut.npy")
    middle = points.mean(axis=0)
    assert np.linalg.norm(middle - (225, 130)) < 30, "on the face"
    shape = (points - middle) / (points - middle).std()
    wanted = spread.reshape(68, 3)[:, :2] * (1, -1)
    wanted = (wanted - wanted.mean(axis=0)) / wanted.std()
    np.testing.assert_allclose(shape, wanted, atol=0.05)
    assert (out / "astronaut_landmarks.png").is_file()
    assert main(["prepare", "landmarks", str(tmp_path / "none.png"), *command[3:], "--tddfa", str(folder)]) == 1
