"""One HTML page that shows one mesh file: it holds the file and our own small WebGL viewer, and needs no network."""

from __future__ import annotations

import base64
import html
import os
from importlib.resources import files
from pathlib import Path

from pyface3d.errors import InputError
from pyface3d.io.meshes import encode_glb, read_obj, read_ply
from pyface3d.io.meshes.files import read_bytes
from pyface3d.io.meshes.glb_reader import split_glb

_MAX_BYTES = 256 << 20


def viewer_page(path: str | os.PathLike[str]) -> str:
    """The HTML page for a GLB, PLY or OBJ file.

    A GLB is embedded as it is; PLY and OBJ are converted to one. A picture can be asked for behind the page's address:
    ``page.html#yaw=30&jawOpen=1&mode=2`` (angles in degrees, expressions by name, mode 0 texture … 4 confidence).

    Raises:
        InputError: the file cannot be read, or has another ending.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending == ".glb":
        data = read_bytes(path, _MAX_BYTES)
        split_glb(data, str(path))  # says what is wrong here rather than in the browser
    elif ending == ".ply":
        data = encode_glb(read_ply(path), path.stem)
    elif ending == ".obj":
        data = encode_glb(read_obj(path), path.stem)
    else:
        raise InputError(f"{path} has no ending that can be shown; give a .glb, .ply or .obj file")
    page, *scripts = (
        files("pyface3d.app").joinpath(name).read_text("utf-8") for name in ("viewer.html", "glb.js", "viewer.js")
    )
    # The file's content goes in last: nothing in it is mistaken for a place to fill.
    page = page.replace("{{script}}", "\n".join(scripts)).replace("{{title}}", html.escape(path.name))
    return page.replace("{{glb}}", base64.b64encode(data).decode("ascii"))
