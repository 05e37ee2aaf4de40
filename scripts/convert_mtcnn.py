"""Make ``pyface3d/assets/mtcnn.safetensors`` from the weights in the PyPI package facenet-pytorch (MIT).

    pip download --no-deps facenet-pytorch==2.6.0
    python scripts/convert_mtcnn.py facenet_pytorch-2.6.0-py3-none-any.whl

The package itself is not installed (it asks for an old torch) and none of its code runs: the three state dicts are
read out of the wheel with ``weights_only=True``.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from pyface3d.io.weights import ASSETS_DIR, Card, write_weights
from pyface3d.networks.mtcnn import mtcnn_networks

# Layers in the order of the modules in pyface3d.networks.mtcnn: their name there, their name in the original.
LAYERS = {
    "proposal": {
        **{"features.0": "conv1", "features.1": "prelu1", "features.3": "conv2", "features.4": "prelu2"},
        **{"features.5": "conv3", "features.6": "prelu3", "face": "conv4_1", "box": "conv4_2"},
    },
    "refine": {
        **{"features.0": "conv1", "features.1": "prelu1", "features.3": "conv2", "features.4": "prelu2"},
        **{"features.6": "conv3", "features.7": "prelu3", "features.9": "dense4", "features.10": "prelu4"},
        **{"face": "dense5_1", "box": "dense5_2"},
    },
    "output": {
        **{"features.0": "conv1", "features.1": "prelu1", "features.3": "conv2", "features.4": "prelu2"},
        **{"features.6": "conv3", "features.7": "prelu3", "features.9": "conv4", "features.10": "prelu4"},
        **{"features.12": "dense5", "features.13": "prelu5", "face": "dense6_1", "box": "dense6_2"},
        **{"points": "dense6_3"},
    },
}
FILES = {"proposal": "pnet.pt", "refine": "rnet.pt", "output": "onet.pt"}
# First layer behind the convolutions: the original flattens its feature map columns first (W, H, C); ours C, H, W.
FLATTENED = {("refine", "dense4"): (3, 3, 64), ("output", "dense5"): (3, 3, 128)}


def convert(wheel: Path) -> dict[str, Tensor]:
    """The wheel's weights under our names, dense layers reordered to channel-first flattening."""
    weights = {}
    with zipfile.ZipFile(wheel) as archive:
        for network, layers in LAYERS.items():
            content = archive.read(f"facenet_pytorch/data/{FILES[network]}")
            original = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            for ours, theirs in layers.items():
                for kind in ("weight", "bias"):
                    if f"{theirs}.{kind}" not in original:
                        continue  # a PReLU has no bias
                    value = original.pop(f"{theirs}.{kind}")
                    if kind == "weight" and (network, theirs) in FLATTENED:
                        width, height, channels = FLATTENED[network, theirs]
                        value = value.view(-1, width, height, channels).permute(0, 3, 2, 1).flatten(1)
                    weights[f"{network}.{ours}.{kind}"] = value
            if original:
                raise SystemExit(f"{wheel}: {FILES[network]} has unknown keys {sorted(original)}")
    mtcnn_networks(weights)  # raises when a key is missing or a shape is wrong
    return weights


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    weights = convert(Path(sys.argv[1]))
    card = Card(
        name="mtcnn",
        description="MTCNN face detector: proposal, refinement and output network; five points per face.",
        licence="MIT (facenet-pytorch, copyright 2019 Timothy Esler)",
        source="PyPI facenet-pytorch 2.6.0, data/pnet.pt, rnet.pt, onet.pt; method: Zhang et al. 2016, MTCNN",
        made_by="scripts/convert_mtcnn.py",
        details={"parameters": sum(value.numel() for value in weights.values())},
    )
    asset = write_weights(ASSETS_DIR / "mtcnn.safetensors", weights, card)
    print(f"{asset.path.name}: {asset.path.stat().st_size} bytes, sha256 {asset.card.sha256}")


if __name__ == "__main__":
    main()
