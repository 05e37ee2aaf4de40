"""Weights come back bit for bit, and only when they are the ones of their card."""

import json
from pathlib import Path

import pytest
import torch

from pyface3d.errors import AssetError
from pyface3d.io.weights import Card, find_asset, list_assets, load_weights, write_weights


def card(name: str = "small") -> Card:
    return Card(name, "A small thing.", "CC0-1.0", "made up here", "tests/io/test_weights.py", details={"size": 2})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor([1, 2], dtype=torch.int16)}
    write_weights(tmp_path / "small.safetensors", tensors, card())
    return tmp_path


def test_round_trip(folder: Path) -> None:
    weights = load_weights("small", folder)
    torch.testing.assert_close(weights["a"], torch.arange(6.0).reshape(2, 3).T, rtol=0, atol=0)
    assert weights["b"].dtype == torch.int16
    (asset,) = list_assets(folder)
    assert asset.card.licence == "CC0-1.0"
    assert asset.card.details == {"size": 2}
    assert len(asset.card.sha256) == 64


def test_unknown_names_list_the_known(folder: Path) -> None:
    for name in ("large", "../small", "small.safetensors"):
        with pytest.raises(AssetError, match="this installation has: small"):
            find_asset(name, folder)


def test_a_changed_file_is_not_used(folder: Path) -> None:
    path = folder / "small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(AssetError, match="damaged or was changed"):
        load_weights("small", folder)
    path.unlink()
    with pytest.raises(AssetError, match="cannot read"):
        load_weights("small", folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 3}', "[" * 100_000])
def test_damaged_cards(folder: Path, content: str) -> None:
    (folder / "small.card.json").write_text(content)
    with pytest.raises(AssetError, match=r"is not a card|is the card of"):
        find_asset("small", folder)


def test_a_card_under_another_name(folder: Path) -> None:
    (folder / "small.card.json").rename(folder / "other.card.json")
    with pytest.raises(AssetError, match="the card of 'small'"):
        list_assets(folder)


def test_a_file_that_is_no_safetensors(folder: Path) -> None:
    import hashlib

    (folder / "small.safetensors").write_bytes(b"not tensors")
    fields = json.loads((folder / "small.card.json").read_text())
    fields["sha256"] = hashlib.sha256(b"not tensors").hexdigest()
    (folder / "small.card.json").write_text(json.dumps(fields))
    with pytest.raises(AssetError, match="not a safetensors file"):
        load_weights("small", folder)


def test_the_name_must_be_the_cards(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"small\.safetensors"):
        write_weights(tmp_path / "other.safetensors", {}, card())


def test_shipped_assets_are_whole() -> None:
    assets = list_assets()
    assert "mtcnn" in [asset.card.name for asset in assets]
    for asset in assets:
        asset.verify()
        assert asset.card.licence
        assert asset.card.source
