"""The table of ops: every ``*_cases.py`` beside this file brings its ``CASES``."""

from importlib import import_module
from pathlib import Path

from op_case import OpCase

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*_cases.py") if path.stem != "op_cases")
CASES: list[OpCase] = [case for name in _MODULES for case in import_module(name).CASES]
