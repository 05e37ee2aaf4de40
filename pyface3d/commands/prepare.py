"""Preparation steps: what other programs, and training, want to have beside the photos.

examples:
  pyface3d prepare landmarks photos/ -o points                            points/a.npy, points/a_landmarks.png
  pyface3d prepare landmarks photos/ -o points --formats pts,csv          iBUG files, and one landmarks.csv of all
  pyface3d prepare landmarks photos/ -o points --backend tddfa --tddfa 3DDFA_V2/
  pyface3d prepare align photos/ -o data/ori_img --meta five_points.txt   crops of 224 px, occlusion-robust system
  pyface3d prepare align photos/ -o data/ori_img --landmarks-out data/landmarks     by our network's landmarks
  pyface3d prepare occlude data/ori_img --landmarks data/landmarks -o data       data/occluded, data/masks
  pyface3d prepare split data -o sets                                     sets/train, sets/val
"""

from __future__ import annotations

from typing import Annotated

from tyro.conf import subcommand

from pyface3d.commands.prepare_landmarks import Landmarks
from pyface3d.commands.prepare_training import Align, Occlude, Split

Command = (
    Annotated[Landmarks, subcommand("landmarks")]
    | Annotated[Align, subcommand("align")]
    | Annotated[Occlude, subcommand("occlude")]
    | Annotated[Split, subcommand("split")]
)
