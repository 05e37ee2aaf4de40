"""MTCNN's candidates, judged by our landmark network.

MTCNN alone must be strict, as buns of hair and dark round things look like faces to it; then covered faces are lost.
Here it proposes freely and the network, which was trained on covered faces and on what covers them, has a say: it looks
at every candidate at several scales and as a mirror image, and a face is what both together believe in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.face import Face
from pyface3d.detect.face_points import load_face_points
from pyface3d.detect.mtcnn import load_mtcnn

CANDIDATES = (0.0, -1.0, -2.0)
"""Least log-odds of MTCNN's three stages for a candidate."""

# Log-odds of a face: both log-odds weighted, and a constant. Fitted by logistic regression on candidates in photos of
# masked people and in pictures without faces by scripts/calibrate_detection.py.
_MTCNN_WEIGHT, _NETWORK_WEIGHT, _CONSTANT = 1.25, 1.7, -8.2


def judged_faces(image: NDArray[np.uint8], min_size: float, threshold: float, device: str = "cpu") -> list[Face]:
    """Faces that MTCNN and the landmark network together give a score of ``threshold`` or more, best first.

    Boxes and points are MTCNN's.

    Raises:
        AssetError: a network's weights are missing or damaged.
    """
    found = load_mtcnn(device).detect(image, min_size, CANDIDATES)
    nothing = 0.5  # the score is not known yet
    faces = [
        Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), nothing, points, "mtcnn")
        for box, points in zip(found.boxes, found.points)
    ]
    judged = load_face_points(device).face_log_odds(image, faces)
    scores = joint_score(found.log_odds.astype(np.float64), judged)
    order = np.argsort(-scores, kind="stable")
    return [Face(faces[k].box, float(scores[k]), faces[k].points5, "mtcnn") for k in order if scores[k] >= threshold]


def joint_score(mtcnn_log_odds: NDArray[np.float64], network_log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of a face from the log-odds of both."""
    log_odds = _MTCNN_WEIGHT * mtcnn_log_odds + _NETWORK_WEIGHT * network_log_odds + _CONSTANT
    return 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
