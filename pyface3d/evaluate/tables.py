"""Result tables: the same rows as text for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A titled table with notes.

    Attributes:
        title: what was measured, on what.
        rows: one mapping from heading (with its unit) to cell per row; None or NaN where a figure does not exist.
        notes: what a reader must know to trust the figures (seeds, fallbacks, terms).
        decimals: of the figures in the text.
    """

    title: str
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = ()
    decimals: int = 2

    @property
    def columns(self) -> list[str]:
        """All headings, in the order in which the rows bring them up."""
        return list(dict.fromkeys(heading for row in self.rows for heading in row))

    def text(self) -> str:
        """Aligned columns, figures to the right, a dash for what does not exist."""
        columns, rows = self.columns, self._cells()
        cells = [[_shown(cell, self.decimals) for cell in row] for row in rows]
        widths = [max(len(text) for text in column) for column in zip(columns, *cells)]
        figures = [not any(isinstance(cell, str) for cell in column) for column in zip(*rows)]

        def line(fields: list[str]) -> str:
            padded = (text.rjust(n) if right else text.ljust(n) for text, n, right in zip(fields, widths, figures))
            return "  ".join(padded).rstrip()

        rule = "  ".join("-" * width for width in widths)
        body = [line(columns), rule, *(line(row) for row in cells)]
        return "\n".join([self.title, *body, *(f"note: {note}" for note in self.notes)])

    def csv(self) -> str:
        """Headings and rows; full precision, empty where a figure does not exist; title and notes are left out."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(["" if _missing(cell) else cell for cell in row] for row in self._cells())
        return stream.getvalue()

    def json(self) -> str:
        """One object: title, rows as objects by heading (null where a figure does not exist), notes."""
        rows = [
            {column: None if _missing(cell) else cell for column, cell in zip(self.columns, row)}
            for row in self._cells()
        ]
        content = {"title": self.title, "rows": rows, "notes": list(self.notes)}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def _cells(self) -> list[list[Cell]]:
        return [[row.get(column) for column in self.columns] for row in self.rows]


def _missing(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _shown(cell: Cell, decimals: int) -> str:
    if _missing(cell):
        return "-"
    return f"{cell:.{decimals}f}" if isinstance(cell, float) else str(cell)
