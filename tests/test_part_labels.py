"""The numbers of the classes are a file format: maps on disk hold them."""

from __future__ import annotations

import subprocess
import sys

from pyface3d.part_labels import VISIBLE_FACE, FacePart


def test_numbers_are_those_that_files_hold():
    assert {part.name: int(part) for part in FacePart} == {
        "BACKGROUND": 0, "SKIN": 1, "BROW": 2, "EYE": 3, "NOSE": 4, "LIP": 5, "MOUTH": 6, "HAIR": 7, "GLASSES": 8,
        "OCCLUDER": 9, "NECK": 10, "EAR": 11,
    }  # fmt: skip


def test_visible_face_is_what_is_skin_or_lies_in_it():
    assert [int(part) for part in VISIBLE_FACE] == [1, 2, 3, 4, 5, 6]


def test_needs_no_torch():
    code = "import sys, pyface3d.part_labels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
