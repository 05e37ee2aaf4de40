"""From a published file to a safetensors file with a card, and to a network, from Python and from the command line."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyface3d.cli import main
from pyface3d.convert.checkpoints import convert_checkpoint, load_network
from pyface3d.errors import AssetError, InputError
from pyface3d.io.weights import card_of, read_weights
from pyface3d.networks import create_network
from pyface3d.networks.originals import own_shapes


@pytest.fixture(autouse=True)
def _threads(threads_put_back: None) -> None:
    """Commands here run in this process."""


def weights(name: str, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return create_network(name).state_dict()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two networks, and things that are none."""
    path = tmp_path_factory.mktemp("published") / "model.tar"
    content = {
        "D_detail": weights("deca_d_detail"),
        "flow": {f"module.{key}": value for key, value in weights("spynet").items()},
        "global_step": 4,
    }
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def test_every_network_gets_a_file_and_a_card(several: Path, tmp_path: Path) -> None:
    done = convert_checkpoint(several, tmp_path)
    assert [(one.entry, asset.path.name) for one, asset in done] == [
        ("D_detail", "deca_d_detail.safetensors"),
        ("flow", "spynet.safetensors"),
    ]
    card = card_of(tmp_path / "spynet.safetensors")
    assert card is not None and "not stated by who converted it" in card.licence
    assert card.details["network"] == "spynet" and card.details["entry"] == "flow"
    assert card.details["original_sha256"] == hashlib.sha256(several.read_bytes()).hexdigest()
    assert "model.tar" in card.source
    for one, asset in done:
        expected = weights(one.match.name)
        found = read_weights(asset.path)
        assert set(found) == set(expected)
        network = load_network(asset.path)
        assert not network.training
        for key, value in network.state_dict().items():
            if "num_batches" not in key:
                assert torch.equal(value, weights(one.match.name)[key]) and torch.equal(found[key], value)


def test_a_converted_network_answers_as_the_published(several: Path, tmp_path: Path) -> None:
    convert_checkpoint(several, tmp_path / "flow.safetensors", "spynet", licence="my own")
    assert json.loads((tmp_path / "flow.card.json").read_text())["licence"] == "my own"
    first, second = torch.rand(2, 1, 3, 40, 33)
    expected = load_network(several, "spynet")(first, second)
    assert expected.shape == (1, 2, 40, 33)
    assert torch.equal(load_network(tmp_path / "flow.safetensors")(first, second), expected)


def test_what_cannot_be_converted(several: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"several networks: deca_d_detail \(D_detail\), spynet \(flow\)"):
        convert_checkpoint(several, tmp_path / "one.safetensors")
    with pytest.raises(InputError, match="several networks"):
        load_network(several)
    with pytest.raises(InputError, match="no published weights are known of 'resnet'"):
        convert_checkpoint(several, tmp_path, "resnet")
    with pytest.raises(AssetError, match=r"does not hold the weights of faceboxes; closest is faceboxes .* missing"):
        convert_checkpoint(several, tmp_path, "faceboxes")
    partial = {key: value for key, value in weights("spynet").items() if not key.startswith("basic_module.5.")}
    torch.save(partial, tmp_path / "partial.pth")
    with pytest.raises(AssetError, match=r"closest is spynet .*: 10 missing: basic_module\.5\.basic_module\.0"):
        convert_checkpoint(tmp_path / "partial.pth", tmp_path)
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(AssetError, match=r"no network that pyface3d knows .* its keys are a\.weight"):
        convert_checkpoint(tmp_path / "other.pth", tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_converted_file_that_changed_is_not_used(several: Path, tmp_path: Path) -> None:
    convert_checkpoint(several, tmp_path, "spynet")
    path = tmp_path / "spynet.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssetError, match=r"spynet\.safetensors has SHA-256"):
        load_network(path)


def test_the_mean_that_lies_beside_the_weights(tmp_path: Path) -> None:
    """The shape network's file is nothing without shape_mean.npz."""
    path = tmp_path / "shape_model.pth"
    shapes = {key: shape for key, shape in own_shapes("extreme3d_shape").items() if key != "mean"}
    torch.save({key: torch.zeros(shape) for key, shape in shapes.items()}, path)
    with pytest.raises(AssetError, match=r"needs shape_mean\.npz"):
        convert_checkpoint(path, tmp_path / "out")
    for bad in (np.zeros((5, 5)), np.array(["text"])):
        np.savez(tmp_path / "shape_mean.npz", bad)
        with pytest.raises(InputError, match="arr_0"):
            convert_checkpoint(path, tmp_path / "out")
    (tmp_path / "shape_mean.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"shape_mean\.npz is not an \.npz file"):
        convert_checkpoint(path, tmp_path / "out")
    mean = np.random.default_rng(0).uniform(0, 255, (3, 224, 224))
    for array in (mean, mean[None], np.array([90.0, 100.0, 130.0])):
        np.savez(tmp_path / "shape_mean.npz", array)
        convert_checkpoint(path, tmp_path / "out")
        found = read_weights(tmp_path / "out" / "extreme3d_shape.safetensors")["mean"]
        expected = array if array.ndim > 1 else array[:, None, None]
        np.testing.assert_allclose(found.numpy(), np.broadcast_to(expected, (1, 3, 224, 224))[0], rtol=1e-6)


def test_the_command(several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "checkpoint", str(several), str(tmp_path / "out"), "--licence", "mine"]) == 0
    text = capsys.readouterr().out
    assert "spynet: 60 tensors" in text and "not weights, left out: global_step" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{name}{suffix}" for name in ("spynet", "deca_d_detail") for suffix in (".safetensors", ".card.json")
    }
    assert main(["convert", "inspect", str(several)]) == 0
    text = capsys.readouterr().out
    assert "is deca_d_detail: all keys fit" in text and "not weights: global_step" in text
    missing = tmp_path / "nowhere.pth"
    assert main(["convert", "checkpoint", str(missing), str(tmp_path)]) == 1
    assert f"cannot read {missing}" in capsys.readouterr().err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "licence"), [("bought it\n", "bought it"), ("\n", "not stated"), ("", "not stated")]
)
def test_terms_are_asked_for_at_a_terminal(
    several: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, licence: str
) -> None:
    screen = _Terminal()
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    monkeypatch.setattr("sys.stderr", screen)
    assert main(["convert", "checkpoint", str(several), str(tmp_path), "--network", "spynet"]) == 0
    card = card_of(tmp_path / "spynet.safetensors")
    assert card is not None and licence in card.licence
    assert "Under which terms do you have model.tar?" in screen.getvalue()
