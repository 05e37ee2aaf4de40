"""Look at a GLB, PLY or OBJ file in the browser.

Writes one HTML page that holds the file and a viewer (no network needed) and opens it: drag to turn the head, move its
expressions with sliders, switch between texture, clay and what was seen in the photo.

examples:
  pyface3d view out/photo.glb
  pyface3d view out/photo_foundation_frontal.ply -o page.html --no-browser
"""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from pyface3d.cli import EXIT_OK


@dataclass(frozen=True)
class Command:
    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """A .glb, .ply or .obj file."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="PAGE", help_behavior_hint="(default: beside FILE)")] = None
    """Where to write the page."""
    no_browser: bool = False
    """Only write the page."""

    def run(self) -> int:
        from pyface3d.app.viewer import viewer_page
        from pyface3d.io.atomic import atomic_file

        page = viewer_page(self.file).encode()
        out = self.out or self.file.with_suffix(".html")
        with atomic_file(out) as stream:
            stream.write(page)
        print(out)
        if not self.no_browser and _has_screen():
            webbrowser.open(out.resolve().as_uri())
        return EXIT_OK


def _has_screen() -> bool:
    """Whether a browser could show up; without one ``webbrowser`` may start a text browser and wait for its user."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
