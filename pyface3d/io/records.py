"""JSON for people and programs, and the versions that results depend on; no torch."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyface3d


def encode_json(value: Any) -> bytes:
    """Indented UTF-8 JSON; lists of plain values stay on one line each.

    Raises:
        ValueError: ``value`` holds NaN or infinity, which JSON has no word for.
    """
    return (_indented(value) + "\n").encode()


def versions() -> dict[str, str]:
    """Of this package and what its numbers depend on."""
    found = {"pyface3d": pyface3d.__version__}
    for package in ("torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # installed by means that leave no metadata
            found[package] = "unknown"
    return found


def _indented(value: Any, indent: str = "") -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(str(key), ensure_ascii=False)}: {_indented(value[key], inner)}" for key in value]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(entry, dict | list | tuple) for entry in value):
        rows = [inner + _indented(entry, inner) for entry in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
