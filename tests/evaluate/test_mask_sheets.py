"""Sheets of masks and textures: what stands where, and that a photo that fails does not end them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pyface3d.detect.parts import FacePartPredictor
from pyface3d.io.label_maps import encode_label_map
from pyface3d.io.weights import ASSETS_DIR
from pyface3d.part_labels import PART_COLOURS, FacePart

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "mask_sheets.py"
PORTRAIT = ASSETS_DIR / "demo" / "astronaut.png"


class SkinNetwork(nn.Module):
    """Skin in the middle of the square, background around."""

    def forward(self, image: Tensor) -> Tensor:
        size = image.shape[-1]
        logits = torch.zeros(len(image), len(FacePart), size, size)
        logits[:, FacePart.BACKGROUND] = 5
        logits[:, FacePart.SKIN, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 20
        return logits


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location("mask_sheets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mask_sheets", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "load_part_predictor", lambda: FacePartPredictor(SkinNetwork(), size=64))
    return module


def run(script, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["mask_sheets.py", *map(str, arguments)])
    return script.main()


def test_masks_and_their_truth(script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    photos, truth = tmp_path / "photos", tmp_path / "truth"
    photos.mkdir()
    truth.mkdir()
    portrait = Image.open(PORTRAIT).convert("RGB")
    portrait.save(photos / "a.png")
    Image.new("RGB", (64, 64)).save(photos / "b.png")
    labels = np.zeros((portrait.height, portrait.width), np.uint8)
    labels[100:200, 190:260] = FacePart.SKIN
    (truth / "a.png").write_bytes(encode_label_map(labels))
    out = tmp_path / "sheet.png"
    options = ("--truth", truth, "--truth-labels", "ours", "--size", 96, "--columns", 1)
    assert run(script, monkeypatch, "masks", photos, "-o", out, *options) == 1
    said = capsys.readouterr()
    assert "b.png: no face was found" in said.err
    assert "1 photos, mean F1" in said.out
    page = np.asarray(Image.open(out))
    assert page.shape == (96 + script.CAPTION + script.LEGEND, 4 * 96, 3)
    assert (page[48, 2 * 96 + 48] == page[48, 48]).all()  # the photo, where the face is seen
    assert (page[4, 2 * 96 + 4] == 255).all()  # white where it is not
    step = page.shape[1] // len(FacePart)
    assert tuple(page[-2, FacePart.HAIR * step + 1]) == PART_COLOURS[FacePart.HAIR]


def test_textures_before_and_after(script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    options = ("--fit", "landmarks", "--size", 96)
    assert run(script, monkeypatch, "textures", PORTRAIT, "-o", out, *options) == 0
    assert np.asarray(Image.open(out)).shape == (96 + script.CAPTION, 6 * 96, 3)


def test_nothing_to_draw(script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(script, monkeypatch, "masks", tmp_path / "none.png", "-o", tmp_path / "sheet.png") == 1
    assert not (tmp_path / "sheet.png").exists()
