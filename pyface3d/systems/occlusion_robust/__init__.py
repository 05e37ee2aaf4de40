"""Occlusion-robust regression of a face's coefficients: what the vector means, the face it stands for, the alignment.

Source: Ju, Lee, Hong, Kim, "Complete Face Recovery GAN" (WACV 2022), whose regressor it is, and Deng et al. (CVPRW
2019), whose model, camera and light it uses. `FaceDecoder` works with any linear face model.
"""

from pyface3d.systems.occlusion_robust.alignment import FivePointAlignment, published_rows
from pyface3d.systems.occlusion_robust.coefficients import CoefficientLayout, FaceCoefficients
from pyface3d.systems.occlusion_robust.face import FaceDecoder, PosedFace, camera, published_landmarks, shade

__all__ = [
    "CoefficientLayout",
    "FaceCoefficients",
    "FaceDecoder",
    "FivePointAlignment",
    "PosedFace",
    "camera",
    "published_landmarks",
    "published_rows",
    "shade",
]
