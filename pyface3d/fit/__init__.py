"""Fitting a face model to photos: landmarks first, then pixels, with priors that keep it on people."""

from pyface3d.fit.landmarks import fit_landmarks
from pyface3d.fit.photometric import fit_photometric, render_fit
from pyface3d.fit.plausibility import Plausibility, check_plausibility
from pyface3d.fit.results import DenseLandmarks, FaceFit, LandmarkFit, PhotometricFit
from pyface3d.fit.texture import Texture, build_texture

__all__ = [
    "DenseLandmarks",
    "FaceFit",
    "LandmarkFit",
    "PhotometricFit",
    "Plausibility",
    "Texture",
    "build_texture",
    "check_plausibility",
    "fit_landmarks",
    "fit_photometric",
    "render_fit",
]
