"""Fitting a face model to photos: landmarks first, then pixels, with priors that keep it on people."""

from pyface3d.fit.landmarks import fit_landmarks
from pyface3d.fit.photometric import fit_photometric, render_fit
from pyface3d.fit.plausibility import Plausibility, check_plausibility
from pyface3d.fit.results import FaceFit, LandmarkFit, PhotometricFit

__all__ = [
    "FaceFit",
    "LandmarkFit",
    "PhotometricFit",
    "Plausibility",
    "check_plausibility",
    "fit_landmarks",
    "fit_photometric",
    "render_fit",
]
