"""Synthetic photos of faces with exact labels; torch and numpy suffice. See docs/synthetic.md."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyface3d.data.synthetic.assets import load_assets
    from pyface3d.data.synthetic.engine import FaceBatch, SyntheticFaces

__all__ = ["FaceBatch", "SyntheticFaces", "load_assets"]


def __getattr__(name: str) -> Any:
    """The engine loads on first use: its stages are modules of this package, and each may be used alone."""
    if name == "load_assets":
        from pyface3d.data.synthetic.assets import load_assets

        return load_assets
    if name in __all__:
        from pyface3d.data.synthetic import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
