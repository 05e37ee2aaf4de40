"""Shipped weights and models: safetensors files in ``pyface3d/assets``, each with a card and a checksum.

``NAME.safetensors`` lies beside ``NAME.card.json``, which says what the file is, where its content comes from, under
which licence, which script makes it, and its SHA-256. A file whose checksum is not the card's is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyface3d.errors import AssetError
from pyface3d.io.atomic import atomic_file

if TYPE_CHECKING:
    from torch import Tensor

ASSETS_DIR = Path(__file__).resolve().parent.parent / "assets"
_CARD_SUFFIX = ".card.json"
_MAX_CARD_BYTES = 2**20


@dataclass(frozen=True)
class Card:
    """What a weight file is and what may be done with it.

    Attributes:
        name: name in the registry, which is the file's stem.
        description: one or two sentences for people.
        licence: terms of the file, in words or as an SPDX identifier.
        source: where its content comes from (packages with versions, papers).
        made_by: the script that makes it.
        sha256: checksum of the safetensors file, hexadecimal.
        details: anything else worth keeping (sizes, figures).
    """

    name: str
    description: str
    licence: str
    source: str
    made_by: str
    sha256: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asset:
    """A shipped file and its card."""

    path: Path
    card: Card

    def verify(self) -> None:
        """Compare the file with its card.

        Raises:
            AssetError: the file is missing, or is not the one that the card describes.
        """
        found = hashlib.sha256(_read(self.path)).hexdigest()
        if found != self.card.sha256:
            raise AssetError(
                f"{self.path} has SHA-256 {found[:12]}…, its card says {self.card.sha256[:12]}…: the file is damaged "
                f"or was changed; reinstall pyface3d or run {self.card.made_by} again"
            )


def list_assets(folder: Path = ASSETS_DIR) -> list[Asset]:
    """All assets of a folder, by name.

    Raises:
        AssetError: a card cannot be read.
    """
    return [_read_asset(path) for path in sorted(folder.glob("*" + _CARD_SUFFIX))]


def find_asset(name: str, folder: Path = ASSETS_DIR) -> Asset:
    """The asset called ``name``.

    Raises:
        AssetError: there is none; the message lists those that exist.
    """
    card_path = folder / (name + _CARD_SUFFIX)
    if os.sep in name or not card_path.is_file():
        known = ", ".join(asset.card.name for asset in list_assets(folder)) or "none"
        raise AssetError(f"no asset is called {name!r}; this installation has: {known}")
    return _read_asset(card_path)


def has_asset(name: str, folder: Path = ASSETS_DIR) -> bool:
    """Whether an asset of that name is installed; whether it is intact shows when it is loaded."""
    return (folder / (name + _CARD_SUFFIX)).is_file()


def card_of(path: Path) -> Card | None:
    """The card beside a safetensors file anywhere; None where there is none.

    Raises:
        AssetError: it cannot be read.
    """
    card_path = path.with_name(path.stem + _CARD_SUFFIX)
    return _read_asset(card_path).card if path.suffix == ".safetensors" and card_path.is_file() else None


def load_weights(name: str, folder: Path = ASSETS_DIR) -> dict[str, Tensor]:
    """Read a shipped weight file after checking it against its card.

    Args:
        name: name of the asset, for example ``"mtcnn"``.
        folder: where to look; the package's own assets unless told.

    Returns:
        Tensors on the CPU by key, as stored.

    Raises:
        AssetError: the file is missing, damaged, or not the one of its card.
    """
    asset = find_asset(name, folder)
    asset.verify()
    return read_weights(asset.path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors on the CPU by key of a safetensors file that need not be an asset: no card, no checksum.

    Raises:
        AssetError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(_read(path))
    except SafetensorError as error:
        raise AssetError(f"{path} is not a safetensors file ({error}); reinstall pyface3d or name another") from error


def write_weights(path: Path, tensors: dict[str, Tensor], card: Card) -> Asset:
    """Write tensors and their card; the card gets the file's checksum.

    Args:
        path: ``…/NAME.safetensors``; the card goes beside it.
        tensors: what to store, any device and layout.
        card: its ``sha256`` is filled in here.

    Returns:
        The asset as written.

    Raises:
        OutputError: one of the two cannot be written.
        ValueError: the file's stem is not the card's name.
    """
    from safetensors.torch import save

    if path.name != card.name + ".safetensors":
        raise ValueError(f"path must be named {card.name}.safetensors after its card, got {path.name}")
    content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    fields = asdict(card) | {"sha256": hashlib.sha256(content).hexdigest()}
    with atomic_file(path) as stream:
        stream.write(content)
    with atomic_file(path.with_name(card.name + _CARD_SUFFIX)) as stream:
        stream.write((json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode())
    return Asset(path, Card(**fields))


def _read_asset(card_path: Path) -> Asset:
    content = _read(card_path)
    if len(content) > _MAX_CARD_BYTES:
        raise AssetError(f"{card_path} is larger than a card can be; reinstall pyface3d")
    try:
        card = Card(**json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise AssetError(f"{card_path} is not a card ({error}); reinstall pyface3d") from error
    if card.name + _CARD_SUFFIX != card_path.name:
        raise AssetError(f"{card_path} is the card of {card.name!r}; rename it or reinstall pyface3d")
    return Asset(card_path.with_name(card.name + ".safetensors"), card)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AssetError(f"cannot read {path}: {error.strerror or error}; reinstall pyface3d") from error
