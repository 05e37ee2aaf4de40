"""The models and weights that ship with the package: what they are, where they come from, whether they are intact.

examples:
  pyface3d assets list
  pyface3d assets show head
  pyface3d assets verify
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from pyface3d.cli import EXIT_FAILED, EXIT_OK
from pyface3d.errors import AssetError


@dataclass(frozen=True)
class ListAssets:
    """Name, size and licence of each."""

    def run(self) -> int:
        from pyface3d.io.weights import list_assets

        rows = []
        for asset in list_assets():
            size = f"{asset.path.stat().st_size / 2**20:.1f} MB" if asset.path.is_file() else "missing"
            rows.append((asset.card.name, size, asset.card.licence, asset.card.description))
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(3)]
        for name, size, licence, description in rows:
            print(f"{name:{widths[0]}}  {size:>{widths[1]}}  {licence:{widths[2]}}  {description}")
        return EXIT_OK


@dataclass(frozen=True)
class ShowAsset:
    """The whole card of one."""

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """As in the list."""

    def run(self) -> int:
        from pyface3d.io.records import encode_json
        from pyface3d.io.weights import find_asset

        asset = find_asset(self.name)
        print(encode_json({"file": str(asset.path), **asdict(asset.card)}).decode(), end="")
        return EXIT_OK


@dataclass(frozen=True)
class VerifyAssets:
    """Compare every file with the checksum in its card; exit code 1 if one differs."""

    def run(self) -> int:
        from pyface3d.io.weights import list_assets

        code = EXIT_OK
        for asset in list_assets():
            try:
                asset.verify()
                print(f"ok       {asset.card.name}")
            except AssetError as error:
                print(f"damaged  {asset.card.name}: {error}")
                code = EXIT_FAILED
        return code


Command = (
    Annotated[ListAssets, subcommand("list")]
    | Annotated[ShowAsset, subcommand("show")]
    | Annotated[VerifyAssets, subcommand("verify")]
)
