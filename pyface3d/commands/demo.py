"""Reconstruct a bundled portrait, and the same portrait half hidden behind a scarf.

Shows the whole path on a machine with nothing but this package: detection, fit, texture, meshes, report. The portrait
is NASA's of the astronaut Eileen Collins (public domain).

examples:
  pyface3d demo
  pyface3d demo -o somewhere --fit landmarks
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

PHOTOS = ("astronaut.png", "astronaut_scarf.png")


@dataclass(frozen=True)
class Command:
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("out/demo")
    """Folder for the results; made when missing."""
    fit: Literal["none", "landmarks", "full"] = "full"
    """How much to fit: nothing but the pose, pose and shape to landmarks, or also the pixels."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it works."""

    def run(self) -> int:
        from pyface3d.commands.reconstruct import Command as Reconstruct
        from pyface3d.io.weights import ASSETS_DIR

        photos = [str(ASSETS_DIR / "demo" / name) for name in PHOTOS]
        code = Reconstruct(tuple(photos), out=self.out, fit=self.fit, device=self.device, formats="ply,obj,glb").run()
        clean, hidden = (Path(name).stem for name in PHOTOS)
        print(f"""
what to open:
  {self.out / "report.html"}
      both photos with overlay, clay and textured views
  {self.out / clean}.glb
      the textured head with 52 named expressions, for Blender, three.js, Unity …; to look at it here:
      pyface3d view {self.out / clean}.glb
  {self.out / hidden}.glb
      the same face from the photo with the scarf; 'pyface3d view' can show what was seen and what was filled in
  {self.out / clean}_foundation_frontal.ply
      the mesh in mm with colour, source and confidence per vertex""")
        return code
