"""What the commands that go through many files share: a bar, what failed, tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from tyro.conf import arg

from pyface3d.cli import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from pyface3d.evaluate.tables import Table

T = TypeVar("T")

Json = Annotated[Path | None, arg(metavar="OUT")]


def show(table: Table, json: Path | None, csv: Path | None) -> int:
    """Print a table, and write it where asked."""
    from pyface3d.io.atomic import atomic_file

    print(table.text())
    for path, content in ((json, table.json), (csv, table.csv)):
        if path is not None:
            with atomic_file(path) as stream:
                stream.write(content().encode())
    return EXIT_OK


def names_of(text: str) -> list[str]:
    """The names of a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def progress(pictures: Iterable[T], total: int) -> Iterable[T]:
    """A bar over a loop; silent where standard error is no terminal."""
    from tqdm import tqdm

    bar: Any = tqdm(pictures, total=total, unit="picture", disable=None, file=sys.stderr)
    return bar


def complain(error: str | None, name: str) -> int:
    """Say what failed above the bar; 1 where anything did."""
    if error is None:
        return 0
    from tqdm import tqdm

    tqdm.write(f"failed: {error if name in error else f'{name}: {error}'}", file=sys.stderr)
    return 1


def finish(total: int, failed: int, resumed: int, out: Path) -> int:
    """Say how a run went; its exit code."""
    earlier = f" ({resumed} of them by an earlier run)" if resumed else ""
    print(f"{total - failed} of {total} succeeded{earlier}; see {out}")
    return EXIT_FAILED if failed else EXIT_OK
