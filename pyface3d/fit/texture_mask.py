"""The photo's own face: for every pixel, whether it may colour the head.

A mask of what is seen, by the part network or by hand, decides where there is one (`known_face_mask`). Without any,
colours do (`face_mask`): they know nothing of what a hand is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.fit.skin import (
    COLOR_VOLUME,
    LOG_FLOOR,
    Floats,
    Mask,
    SkinStatistics,
    learn_colors,
    learn_skin,
    smooth_along_edges,
)
from pyface3d.fit.texture_areas import FaceAreas
from pyface3d.fit.texture_view import FaceView

_LEARN = 8_000  # pixels that skin is learnt from; more change nothing
_FACE_LOG_ODDS = 1.5  # before any colour is seen: a pixel the fit puts on the face shows the face about 4 times in 5
_MISFIT_LOG_ODDS = -2.5  # for skin that the photometric fit gave up: it knows shape and light better than colour
_CLAMP = 6.0  # on log odds, so that no pixel outvotes its neighbourhood
_SMOOTH = 0.012  # of the face's size: window of the edge-aware smoothing
_RING = 0.035  # of the face's size: how far around an eye, a brow or the mouth skin must be seen
_OPENING = 0.06  # of the face's size: how far around a place in the mouth lips are looked for
_SPECK = 0.0006  # of the face's area (size²): smaller specks of either kind are turned
_EYE_SHARE = 0.75  # of a hole that lies on an eye: an eye of unusual colour, for lenses reach further
_ISLAND = 0.006  # of the face's area: a piece of face smaller than this is a lookalike
# How much wider than skin the colours of other parts of a face spread: red-green, blue-green, brightness.
_SLACK = {
    "lips": (3.0, 3.0, 2.5),
    "hollows": (1.4, 1.4, 1.8),
    "brows": (2.2, 2.2, 4.5),
    "lids": (2.0, 2.0, 3.5),
    "nostrils": (2.0, 2.0, 4.0),
    "eyes": (3.0, 3.0, 4.0),
    "mouth": (4.0, 3.0, 5.0),
}
_CORE_LOG_ODDS = 1.0  # more, from the brows to the chin, where hair is rare
_SHADOW = 0.8  # added to the spread of brightness below the skin's: cast shadows
_BEARD_SLACK = (2.5, 2.5, 3.5)
_BEARD_LIPS = (2.0, 1.8, 1.6)
_BEARD_NEEDS = 0.6  # of nose and of lips seen, before dark pixels of the jaw may be a beard
_MASKED_NOSE, _MASKED_LIPS = 0.7, 0.4  # of nose and lips seen; with less, the whole lower face is taken for hidden
_MASKED_LOG_ODDS = 6.0
_RIM_LOG_ODDS = 1.5  # against skin at the hairline and the temples
_ROUGH_SCALE = 0.008  # of the face's size
_LENS, _FRAME = 0.10, 0.03  # of the face's size: reach of a lens from the eye, and of its frame from the lens
_LIKE_SKIN = 2.5  # σ, without regard to the light's direction
_LEAST_EYE = 12  # pixels of an eye to judge it by
_LEAST = 30  # pixels to learn skin from


@dataclass(frozen=True)
class FaceMask:
    """What of the photo is face.

    Attributes:
        probability: that a pixel shows this face, (h, w), in [0, 1].
        mask: the decision, without specks, (h, w) bool.
        skin: the person's skin in this light; None where nothing could be learnt.
    """

    probability: Tensor
    mask: Tensor
    skin: SkinStatistics | None


def face_mask(
    view: FaceView,
    areas: FaceAreas,
    albedo: Tensor,
    *,
    inliers: Tensor | None = None,
) -> FaceMask:
    """Tell the face from what hides it, by the colour of the skin, the misfit and what stands around each part.

    Args:
        albedo: what the model shows in every pixel, linear RGB, (h, w, 3).
        inliers: pixels the photometric fit explains, in the working crop, (h, w) bool; evidence like any other.
    """
    covered = view.covered.numpy()
    log_image, log_ratio, normals = _compared(view, albedo)
    names = ("core", "nose", "rim", "scalp", "beard", "lower", "forehead", *_SLACK)
    drawn = view.draw(torch.stack([getattr(areas, name).float() for name in names], 1)).numpy()
    area = {name: drawn[..., index] for index, name in enumerate(names)}
    seed = area["core"] * (view.cosine.numpy() > 0.35) * covered
    if inliers is not None:
        seed = seed * np.where(inliers.numpy(), 1.0, 0.6).astype(np.float32)
    chosen = _learnt_from(seed)
    if len(chosen) < _LEAST:
        return _nothing(covered)
    skin = learn_skin(log_ratio.reshape(-1, 3)[chosen], normals.reshape(-1, 3)[chosen], seed.ravel()[chosen])

    distance = skin.distance(log_ratio, normals)
    inside = {name: area[name] > 0.5 for name in _SLACK}
    special = np.logical_or.reduce([where for name, where in inside.items() if name != "hollows"])
    plain = covered & ~special
    slack = np.ones_like(distance)
    slack[..., 2] += _SHADOW * area["core"] * (1 - area["rim"]) * (1 - area["forehead"]) * (distance[..., 2] < 0)
    for name, wider in _SLACK.items():
        slack[inside[name]] = wider
    likelihood = skin.log_likelihood(distance, slack)
    prior = _FACE_LOG_ODDS + area["core"] * (1 - area["forehead"]) * _CORE_LOG_ODDS
    prior -= area["rim"] * (_RIM_LOG_ODDS + _roughness_odds(log_image.mean(-1), seed, view.size_px))
    # Necks, hands, other people and bald heads are skin too: only what skin does not explain tells hair and cloth.
    tone = np.log(albedo.numpy().reshape(-1, 3)[chosen] + LOG_FLOOR).mean(0) + skin.even
    unknown = np.float32(-np.log(COLOR_VOLUME))
    unlike = np.linalg.norm(skin.in_sigma(log_image - tone), axis=-1) > _LIKE_SKIN
    behind = log_image[~_within(view.covered.numpy(), 0.02 * view.size_px) & unlike]
    scalp = log_image[covered & (area["scalp"] > 0.5) & unlike]
    # Hair has the colour of brows, and what is behind may have that of lips: only plain skin is compared with them.
    other: Floats = np.where(special, unknown, learn_colors((behind, 0.25), (scalp, 0.35))(log_image))
    odds: Floats = likelihood + prior - other
    # What was found to hide the face hides it elsewhere too, where its colour alone might pass.
    hiding = log_image[plain & (odds < -1)]
    if len(hiding) > _ISLAND * view.size_px**2:
        other = np.where(special, unknown, learn_colors((behind, 0.2), (scalp, 0.3), (hiding, 0.25))(log_image))
        odds = likelihood + prior - other
    # A beard is dark and only nearly skin-coloured; so are masks, scarves and microphones, which hide nose or mouth.
    nose = _share(odds > 0, area["nose"] > 0.5)
    on_lips = inside["lips"]
    lip_likelihood = skin.log_likelihood(distance[on_lips], np.asarray(_BEARD_LIPS, np.float32))
    lips = float((lip_likelihood + prior[on_lips] > other[on_lips]).mean()) if on_lips.any() else 0.0
    bearded = plain & (area["beard"] > 0.5) & (distance[..., 2] < 0)
    if min(nose, lips) > _BEARD_NEEDS:
        beard = skin.log_likelihood(distance[bearded], np.asarray(_BEARD_SLACK, np.float32))
        odds[bearded] = np.maximum(odds[bearded], beard + prior[bearded] - other[bearded])
    elif nose < _MASKED_NOSE and lips < _MASKED_LIPS:
        odds -= area["lower"] * _MASKED_LOG_ODDS
    if inliers is not None:
        # The model does not know how this person's brows lie and how the eyes are made up.
        odds += np.where(inliers.numpy() | special | inside["hollows"], 0, _MISFIT_LOG_ODDS)
    odds = np.asarray(np.clip(odds, -_CLAMP, _CLAMP), np.float32)
    # Skin must be seen around an eye, a brow or a mouth before their own odd colours are believed.
    unsupported = odds
    around = _mean_over(_sigmoid(odds), plain, _RING * view.size_px)
    odds = np.where(plain, odds, np.minimum(odds, _support(around)))
    # In the middle of an open mouth no skin is near; there, the lips must be seen.
    mouth = inside["mouth"] & covered
    around = _mean_over(_sigmoid(odds), covered & ~mouth, _OPENING * view.size_px)
    odds = np.where(mouth, np.minimum(unsupported, _support(around)), odds)
    odds = np.where(covered, odds, np.float32(-_CLAMP))
    radius = max(1, round(_SMOOTH * view.size_px))
    odds = smooth_along_edges(odds, log_image.mean(-1).astype(np.float32), radius, 0.05)
    probability = _sigmoid(odds) * covered
    eyes = area["lids"] + area["eyes"] > 0.5
    mask = without_specks(probability > 0.5, view.size_px**2, covered, eyes | inside["brows"])
    mask &= ~_around_glasses(mask, eyes, view.size_px)
    return FaceMask(torch.from_numpy(probability), torch.from_numpy(mask), skin)


def known_face_mask(view: FaceView, areas: FaceAreas, albedo: Tensor, seen: Tensor) -> FaceMask:
    """The face where something better than colour has said what is seen of it.

    Args:
        albedo: what the model shows in every pixel, linear RGB, (h, w, 3).
        seen: probability that a pixel shows the face, in the working crop, (h, w). Its edges are drawn to those of
            the photo, as a mask comes from fewer pixels than the photo has.
    """
    covered, known = view.covered.numpy(), seen.numpy()
    log_image, log_ratio, normals = _compared(view, albedo)
    # In log odds that the clamp has made flat, an edge is a step, and stays in its place.
    odds = np.clip(np.log(np.maximum(known, 1e-6) / np.maximum(1 - known, 1e-6)), -_CLAMP, _CLAMP).astype(np.float32)
    radius = max(1, round(_SMOOTH * view.size_px))
    odds = smooth_along_edges(odds, log_image.mean(-1).astype(np.float32), radius, 0.05)
    probability = _sigmoid(odds) * covered * (known > 0)
    mask = without_specks(probability > 0.5, view.size_px**2, covered & (known > 0), np.zeros_like(covered))
    seed = view.draw(areas.core[:, None])[..., 0].numpy() * (view.cosine.numpy() > 0.35) * mask
    chosen = _learnt_from(seed)
    if len(chosen) < _LEAST:
        return _nothing(covered)
    skin = learn_skin(log_ratio.reshape(-1, 3)[chosen], normals.reshape(-1, 3)[chosen], seed.ravel()[chosen])
    return FaceMask(torch.from_numpy(probability), torch.from_numpy(mask), skin)


def _compared(view: FaceView, albedo: Tensor) -> tuple[Floats, Floats, Floats]:
    """Logarithms of the photo and of its ratio to the albedo, and normals, (h, w, 3) each."""
    log_image = np.log(view.image.numpy() + LOG_FLOOR)
    log_ratio = log_image - np.log(albedo.numpy() + LOG_FLOOR)
    return log_image, log_ratio, torch.nn.functional.normalize(view.draw(view.normals), dim=-1).numpy()


def _learnt_from(seed: Floats) -> NDArray[np.intp]:
    """Flat numbers of the pixels that skin is learnt from, evenly spread."""
    chosen = np.flatnonzero(seed.ravel() > 0.05)
    return chosen[:: max(1, len(chosen) // _LEARN)]


def _nothing(covered: Mask) -> FaceMask:
    empty = torch.zeros(covered.shape)
    return FaceMask(empty, empty.bool(), None)


def _support(around: Floats) -> Floats:
    """The most that log odds may be where the mean probability of what stands around is ``around``."""
    return np.clip((around - 0.4) * 4 * _CLAMP, -_CLAMP, _CLAMP)


def _roughness_odds(brightness: Floats, seed: Floats, size_px: float) -> Floats:
    """How much rougher than this person's skin each pixel's neighbourhood is, as log odds against skin, (h, w).

    Strands of hair are rough at the scale of wrinkles; so the skin of the same face is the measure.
    """
    import cv2

    sigma = max(0.7, _ROUGH_SCALE * size_px)
    fine = brightness - cv2.GaussianBlur(brightness, (0, 0), sigma)
    rough = np.log(np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * sigma)) + 0.01)
    typical, spread = np.quantile(rough[seed > 0.5], [0.5, 0.85]) if (seed > 0.5).any() else (rough.max(), rough.max())
    above = np.maximum(rough - typical, 0) / max(spread - typical, 0.2)
    return np.minimum(0.5 * above**2, _CLAMP).astype(np.float32)


def _around_glasses(mask: Mask, eyes: Mask, size_px: float) -> Mask:
    """Pixels near an eye that is hidden: the frames of dark glasses, which may be as skin-coloured as gold is."""
    import cv2

    near = np.zeros_like(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(eyes.astype(np.uint8))
    each = [labels == label for label in range(1, len(stats)) if stats[label, cv2.CC_STAT_AREA] >= _LEAST_EYE]
    shares = [_share(mask, eye) for eye in each]
    for eye, share in zip(each, shares):
        # Glasses that hide one eye hide the other, though light may fall through there.
        if share < (0.92 if min(shares) < 0.3 else 0.5):
            lens = _within(eye, 0.4 * _LENS * size_px) | (~mask & _within(eye, _LENS * size_px))
            near |= _within(lens, _FRAME * size_px)
    return near


def without_specks(mask: Mask, face_area: float, covered: Mask, eyes: Mask) -> Mask:
    """Turn holes and islands too small to be an occluder or a face (``face_area`` in px²), and holes that are just an
    eye or a brow (``eyes``)."""
    import cv2

    result = mask.copy()
    for value, least in ((False, _SPECK), (True, _ISLAND)):
        wanted = (result == value) & covered
        _, labels, stats, _ = cv2.connectedComponentsWithStats(wanted.astype(np.uint8), connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] < least * face_area
        if not value:
            small |= np.bincount(labels[eyes], minlength=len(stats)) > _EYE_SHARE * stats[:, cv2.CC_STAT_AREA]
        small[0] = False
        result[small[labels]] = not value
    return result & covered


def _within(mask: Mask, margin: float) -> Mask:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(margin)) + 1,) * 2)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _mean_over(values: Floats, where: Mask, radius: float) -> Floats:
    """Mean of ``values`` over the pixels ``where`` within about ``radius``; 0 where there is none."""
    import cv2

    window = (2 * max(1, round(radius)) + 1,) * 2
    total = cv2.blur(where.astype(np.float32), window)
    return np.asarray(cv2.blur(np.where(where, values, 0).astype(np.float32), window) / np.maximum(total, 1e-6))


def _sigmoid(odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def _share(values: Mask, where: Mask) -> float:
    return float(values[where].mean()) if where.any() else 0.0
