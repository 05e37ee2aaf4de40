"""What is seen of a face steers the whole reconstruction: by a network, by hand, or by colours alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from part_network import disc_predictor
from PIL import Image

from pyface3d.cli import main
from pyface3d.detect import parts
from pyface3d.errors import InputError
from pyface3d.io.images import read_image
from pyface3d.io.weights import ASSETS_DIR
from pyface3d.systems import sight
from pyface3d.systems.fit import _find, _looked_at, at_pixels, reconstruct

PORTRAIT = ASSETS_DIR / "demo" / "astronaut.png"


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_image(PORTRAIT)


@pytest.fixture(scope="module")
def clear(portrait: np.ndarray):
    """From landmarks and colours."""
    (face,) = reconstruct(portrait, fit="landmarks", occlusion="colours")
    return face


@pytest.fixture(scope="module")
def left_hidden(portrait: np.ndarray, clear):
    """Told that everything left of the nose is hidden."""
    mask = np.zeros(portrait.shape[:2], bool)
    mask[:, int(clear.landmarks[30, 0]) :] = True
    (face,) = reconstruct(portrait, fit="full", visible=mask)
    return mask, face


def test_a_given_mask_is_believed(clear, left_hidden) -> None:
    mask, face = left_hidden
    assert face.occlusion_from == "given"
    np.testing.assert_array_equal(face.occlusion_mask.numpy(), mask)
    spots = face.camera.project(face.verts_aligned[None])[0, :, :2]
    hidden = ~at_pixels(torch.from_numpy(mask), spots)
    assert not (face.source[hidden] == 1).any()
    skin = face.model.regions["face"]
    assert (face.source[skin & hidden] == 2).float().mean() > 0.3  # the other side's photo
    assert (face.source[skin & ~hidden] == 1).float().mean() > 0.4
    assert (clear.source[skin & hidden] == 1).float().mean() > 0.3
    assert face.record()["occlusion"] == {"from": "given"}


def test_the_hidden_half_does_not_change_the_seen_one(clear, left_hidden) -> None:
    _, face = left_hidden
    moved = (face.verts_aligned - clear.verts_aligned).norm(dim=-1)
    assert moved[face.model.regions["face"]].median() / clear.verts_aligned[:, 2].mean() < 0.05


def test_the_network_decides_where_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray, clear, tmp_path: Path
) -> None:
    monkeypatch.setattr(sight, "load_part_predictor", disc_predictor)
    (face,) = reconstruct(portrait, fit="landmarks", occlusion="network")
    assert face.occlusion_from == "network" and "parts" in face.timings
    nose, chin = face.landmarks[30].long(), (face.landmarks[8] - torch.tensor([0.0, 4.0])).long()
    assert face.occlusion_mask[nose[1], nose[0]] and not face.occlusion_mask[chin[1], chin[0]]
    mouth = face.model.regions["mouth"]
    assert (face.source[mouth] == 1).float().mean() < 0.1 < (clear.source[mouth] == 1).float().mean()
    face.export(tmp_path, "a", formats=("ply",))
    written = np.asarray(Image.open(tmp_path / "a_occlusion.png"))
    np.testing.assert_array_equal(written > 127, face.occlusion_mask.numpy())


def test_what_a_user_drew_hides_too(monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray) -> None:
    """A mask of what hides the face takes away from what the network sees, and adds nothing."""
    monkeypatch.setattr(sight, "load_part_predictor", disc_predictor)
    (seen,) = reconstruct(portrait, fit="landmarks", occlusion="network")
    hidden = np.zeros(portrait.shape[:2], bool)
    hidden[:, : int(seen.landmarks[30, 0])] = True
    (face,) = reconstruct(portrait, fit="landmarks", occlusion="network", hidden=hidden)
    np.testing.assert_array_equal(face.occlusion_mask.numpy(), seen.occlusion_mask.numpy() & ~hidden)
    (alone,) = reconstruct(portrait, fit="landmarks", occlusion="colours", hidden=hidden)
    np.testing.assert_array_equal(alone.occlusion_mask.numpy(), ~hidden)
    for bad in (hidden[1:], hidden.astype(np.uint8)):
        with pytest.raises(InputError, match="hidden must be bool"):
            reconstruct(portrait, fit="landmarks", occlusion="colours", hidden=bad)


def test_hidden_landmarks_count_less(monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray, clear) -> None:
    """The hand lies over chin and lower lip: their deviations double; eyes and nose keep theirs."""
    monkeypatch.setattr(sight, "load_part_predictor", disc_predictor)
    (found,) = _find(portrait, clear.landmarks.numpy(), "network", "network", 1, "cpu")
    told = _looked_at(portrait, found, "network", None, None, "cpu")
    ratio = told.sigma / found.sigma
    np.testing.assert_allclose(ratio[[7, 8, 9, 56, 57, 58]], 2, rtol=0.05)
    np.testing.assert_allclose(ratio[[*range(36, 48), 27, 28]], 1, rtol=0.02)
    assert _looked_at(portrait, found, "colours", None, None, "cpu") is found


def test_a_model_without_chart(portrait: np.ndarray, clear, shared_data: Path) -> None:
    mask = np.zeros(portrait.shape[:2], bool)
    mask[:, int(clear.landmarks[30, 0]) :] = True
    path = str(shared_data / "ict_facekit" / "ict_facekit_light.npz")
    (face,) = reconstruct(portrait, model=path, fit="landmarks", visible=mask)
    spots = face.camera.project(face.verts_aligned[None])[0, :, :2]
    assert (face.source == 1).any()
    assert not (face.source[~at_pixels(torch.from_numpy(mask), spots)] == 1).any()


def test_at_pixels_by_hand() -> None:
    mask = torch.tensor([[True, False], [False, True]])
    spots = torch.tensor([[0.5, 0.5], [1.9, 0.1], [1.0, 1.0], [-0.1, 0.5], [0.5, 2.0]])
    assert at_pixels(mask, spots).tolist() == [True, False, True, False, False]


def test_what_cannot_be_used_is_said(portrait: np.ndarray) -> None:
    with pytest.raises(InputError, match="occlusion must be one of network, colours"):
        reconstruct(portrait, occlusion="hope")
    with pytest.raises(InputError, match="picture's shape"):
        reconstruct(portrait, visible=np.ones((3, 3), bool))
    with pytest.raises(InputError, match="bool or probabilities"):
        reconstruct(portrait, visible=np.ones(portrait.shape[:2], int))
    with pytest.raises(InputError, match="from 0 to 1"):
        reconstruct(portrait, visible=np.full(portrait.shape[:2], np.nan))


def test_without_weights_colours_decide_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], threads_put_back: None
) -> None:
    monkeypatch.setattr(parts, "ASSET", "none_of_that_name")
    assert sight.resolved_occlusion(None) == "colours"
    out = str(tmp_path / "out")
    arguments = ["reconstruct", str(PORTRAIT), "-o", out, "--fit", "landmarks", "--formats", "ply", "--pictures", "no"]
    assert main(arguments) == 0
    assert "weights (face_parts) are not installed" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "astronaut.json").read_text())
    assert record["occlusion"] == {"from": "colours"}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["options"]["occlusion"] == "colours"
    assert main([*arguments, "--occlusion", "colours"]) == 0
    assert "not installed" not in capsys.readouterr().err
