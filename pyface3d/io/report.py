"""The report of a run: ``report.json`` for programs, ``report.html`` as a contact sheet that opens offline."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyface3d.io.staging import staged_files


@dataclass(frozen=True)
class Row:
    """What became of one input.

    Attributes:
        input: as given.
        stem: beginning of the names of its files.
        status: ``"ok"``, ``"no face"`` or ``"failed"``.
        error: why it failed, one sentence.
        note: what a user should know of a success, one sentence.
        details: traceback of an error that nobody foresaw.
        faces: reconstructed.
        files: names inside the output folder.
        pictures: for each face, paths of thumbnails by what they show.
        quality: for each face, the figures of `Reconstruction.quality`.
        seconds: spent on it, over all threads.
        resumed: its files were there already.
    """

    input: str
    stem: str
    status: str
    error: str | None = None
    note: str | None = None
    details: str | None = None
    faces: int = 0
    files: list[str] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)
    quality: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    resumed: bool = False

    @property
    def ok(self) -> bool:
        return self.status == "ok"


@dataclass
class Report:
    """The rows of a run so far; ``finished`` when there will be no more."""

    total: int
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    rows: list[Row] = field(default_factory=list)
    finished: bool = False
    begun: float = field(default_factory=time.monotonic)
    seconds_to_write: float = 0.0

    @property
    def succeeded(self) -> int:
        return sum(row.ok for row in self.rows)

    @property
    def failed(self) -> int:
        return len(self.rows) - self.succeeded

    def as_json(self) -> dict[str, Any]:
        """The content of ``report.json``."""
        return {
            "finished": self.finished,
            "inputs": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "seconds": round(time.monotonic() - self.begun, 2),
            "versions": dict(self.versions),
            "options": dict(self.options),
            "images": [
                {key: value for key, value in asdict(row).items() if key != "details" or value is not None}
                for row in self.rows
            ],
        }


def write_report(folder: Path, report: Report) -> None:
    """Write ``report.html`` and ``report.json`` to ``folder``.

    Raises:
        OutputError: they cannot be written.
    """
    begin = time.monotonic()
    content = report.as_json()
    with staged_files(folder) as files:
        files.write_bytes("report.html", html_page(content).encode())
        files.write_bytes(
            "report.json", (json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n").encode()
        )
    report.seconds_to_write = time.monotonic() - begin


def html_page(content: Mapping[str, Any]) -> str:
    """The contact sheet of a `Report.as_json`; pictures are links relative to the output folder."""
    failures = [row for row in content["images"] if row["status"] != "ok"]
    state = "" if content["finished"] else " The run has not finished."
    summary = f"{content['succeeded']} of {content['inputs']} inputs succeeded, {content['failed']} failed."
    parts = [
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>pyface3d report</title>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f"<header><h1>pyface3d report</h1><p>{_text(summary)} {content['seconds']:.1f} s.{state}</p></header>",
    ]
    if failures:
        parts.append("<section class=failures><h2>What failed, and why</h2><ul>")
        parts += [
            f"<li><a href='#{_anchor(row)}'>{_text(row['input'])}</a>: {_text(row['error'])}</li>" for row in failures
        ]
        parts.append("</ul></section>")
    parts.append("<main>")
    parts += [_card(row) for row in content["images"]]
    settings = " · ".join(f"{key} {_value(value)}" for key, value in content["options"].items())
    made = " · ".join(f"{name} {version}" for name, version in content["versions"].items())
    parts.append(f"</main><footer><p>{_text(settings)}</p><p>{_text(made)}</p></footer></body></html>\n")
    return "\n".join(parts)


def _card(row: Mapping[str, Any]) -> str:
    ok = row["status"] == "ok"
    notes = [f"{row['faces']} face{'s' if row['faces'] != 1 else ''}"] if ok else []
    notes.append("made by an earlier run" if row["resumed"] else f"{row['seconds']:.1f} s")
    parts = [
        f"<article id='{_anchor(row)}' class='{'ok' if ok else 'failed'}'>",
        f"<h3>{_text(row['input'])} <small>{_text(row['status'])} · {_text(' · '.join(notes))}</small></h3>",
    ]
    if row["error"]:
        parts.append(f"<p class=error>{_text(row['error'])}</p>")
    if row["note"]:
        parts.append(f"<p class=quality>{_text(row['note'])}</p>")
    for pictures in row["pictures"]:
        figures = (
            f"<figure><img loading=lazy src='{quote(path)}' alt='{_text(what)}'>"
            f"<figcaption>{_text(what)}</figcaption></figure>"
            for what, path in pictures.items()
        )
        parts.append(f"<div class=strip>{''.join(figures)}</div>")
    for quality in row["quality"]:
        figures = (f"{_text(name.replace('_', ' '))} {value:g}" for name, value in quality.items())
        parts.append(f"<p class=quality>{' · '.join(figures)}</p>")
    if row["files"]:
        links = (f"<a href='{quote(name)}'>{_text(name)}</a>" for name in row["files"])
        parts.append(f"<details><summary>{len(row['files'])} files</summary><p>{' · '.join(links)}</p></details>")
    if row.get("details"):
        parts.append(f"<details><summary>traceback</summary><pre>{_text(row['details'])}</pre></details>")
    parts.append("</article>")
    return "".join(parts)


def _anchor(row: Mapping[str, Any]) -> str:
    return "i-" + quote(row["stem"])


def _text(value: str) -> str:
    return html.escape(str(value), quote=True)


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --paper: #f4f4f2; --card: #fff; --line: #dddad4;
  --bad: #b3261e; --good: #2e7d4f; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceae6; --soft: #a3a09a; --paper: #17181a; --card: #212326;
  --line: #383a3e; --bad: #ff8a80; --good: #7fd1a0; } }
body { margin: 0 auto; max-width: 1680px; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .4rem; }
h3 { font-size: .95rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
small, footer { color: var(--soft); font-weight: 400; }
header p { margin: .2rem 0 1.2rem; color: var(--soft); }
article, .failures { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem;
  margin-bottom: 1rem; }
article { border-left: 4px solid var(--good); } article.failed, .failures { border-left: 4px solid var(--bad); }
.failures ul { margin: 0; padding-left: 1.2rem; } .failures li { overflow-wrap: anywhere; }
.error { color: var(--bad); margin: 0 0 .6rem; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .6rem;
  margin-bottom: .6rem; }
figure { margin: 0; max-width: 256px; }
figure img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff;
  border-radius: 4px; }
figcaption { color: var(--soft); font-size: .8rem; text-align: center; }
details { font-size: .85rem; color: var(--soft); } details p, pre { overflow-wrap: anywhere; white-space: pre-wrap; }
a { color: inherit; } .quality { color: var(--soft); font-size: .85rem; margin: 0 0 .4rem; }
"""
