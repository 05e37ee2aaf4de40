"""Specks: islands too small for their class become what is around them, everything else stays to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyface3d.detect.specks import LEAST, PAIRED, decided, without_specks
from pyface3d.part_labels import VISIBLE_FACE, FacePart

SIZE, AREA = 48, 1000.0  # so that 0.006 are 6 pixels


def sure(labels: np.ndarray, by: float = 0.8) -> np.ndarray:
    """Probabilities that say ``labels`` with ``by``, the rest spread evenly."""
    rest = np.full((len(FacePart), *labels.shape), (1 - by) / (len(FacePart) - 1), np.float32)
    np.put_along_axis(rest, labels[None].astype(np.int64), by, 0)
    return rest


def scene(part: FacePart, around: FacePart, side: int) -> np.ndarray:
    labels = np.full((SIZE, SIZE), around, np.uint8)
    labels[10 : 10 + side, 20 : 20 + side] = part
    return labels


@pytest.mark.parametrize("part", LEAST)
@pytest.mark.parametrize("around", [FacePart.NECK, FacePart.MOUTH])
def test_small_islands_go_and_large_ones_stay(part, around):
    least = LEAST[part] * AREA
    small, large = int(np.sqrt(least) - 0.01), int(np.ceil(np.sqrt(least)))
    if small:
        said = sure(scene(part, around, small))
        cleaned = without_specks(said, AREA)
        assert (decided(cleaned) == around).all()
        np.testing.assert_allclose(cleaned.sum(0), 1, rtol=1e-5)
        assert said[part, 10, 20] == np.float32(0.8)  # the question is not changed
    said = sure(scene(part, around, large))
    assert without_specks(said, AREA) is said


def test_a_speck_of_skin_on_a_mask_and_of_glasses_on_skin():
    labels = scene(FacePart.OCCLUDER, FacePart.SKIN, 20)
    labels[15:17, 25:27] = FacePart.SKIN  # a print on the mask
    labels[40:43, 5:8] = FacePart.GLASSES  # a bag under an eye
    found = decided(without_specks(sure(labels), AREA))
    wanted = labels.copy()
    wanted[15:17, 25:27], wanted[40:43, 5:8] = FacePart.OCCLUDER, FacePart.SKIN
    np.testing.assert_array_equal(found, wanted)


def test_a_lens_vouches_for_its_pair():
    labels = scene(FacePart.GLASSES, FacePart.SKIN, 6)  # 36 px, 30 are needed
    labels[10:13, 30:33] = FacePart.GLASSES  # 9 px of the other lens, 6 are needed then
    labels[30:32, 5:7] = FacePart.GLASSES  # 4 px
    found = decided(without_specks(sure(labels), AREA))
    labels[30:32, 5:7] = FacePart.SKIN
    np.testing.assert_array_equal(found, labels)
    labels[10:16, 20:26] = FacePart.SKIN
    assert (decided(without_specks(sure(labels), AREA)) == FacePart.SKIN).all()


def test_an_island_gets_what_its_border_says():
    """Left half of the border skin, right half neck: the mean, without the island's own class."""
    labels = np.full((SIZE, SIZE), FacePart.SKIN, np.uint8)
    labels[:, 24:] = FacePart.NECK
    labels[20:22, 23:25] = FacePart.OCCLUDER
    said = sure(labels, 0.7)
    cleaned = without_specks(said, 2 * AREA)
    ring = np.zeros_like(labels, bool)
    ring[19:23, 22:26] = True
    ring[20:22, 23:25] = False
    mean = said[:, ring].astype(np.float64).mean(1)
    mean[FacePart.OCCLUDER] = 0
    np.testing.assert_allclose(cleaned[:, 20, 23], mean / mean.sum(), rtol=1e-5)
    np.testing.assert_array_equal(cleaned[:, labels != FacePart.OCCLUDER], said[:, labels != FacePart.OCCLUDER])


def test_a_picture_of_one_class_stays():
    said = sure(np.full((SIZE, SIZE), FacePart.GLASSES, np.uint8))
    assert without_specks(said, 1e9) is said


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(1.0, 2000.0))
def test_by_a_slow_twin(seed, area):
    """Islands by flood fill over coarse random maps, pixel by pixel."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet(np.ones(len(FacePart)) * 0.15, (16, 16)).transpose(2, 0, 1).astype(np.float32)
    labels, cleaned = decided(said), without_specks(said, area)
    done = np.zeros(labels.shape, bool)
    islands = []
    for start in np.ndindex(labels.shape):
        if done[start]:
            continue
        part, island, border = labels[start], {start}, set()
        edge = [start]
        while edge:
            row, column = edge.pop()
            for a in range(max(row - 1, 0), min(row + 2, 16)):
                for b in range(max(column - 1, 0), min(column + 2, 16)):
                    if labels[a, b] != part:
                        border.add((a, b))
                    elif (a, b) not in island:
                        island.add((a, b))
                        edge.append((a, b))
        for spot in island:
            done[spot] = True
        islands.append((FacePart(part), island, sorted(border)))
    for part, island, border in islands:
        needed = LEAST.get(part, 0) * area
        if any(other == part and len(one) >= needed for other, one, _ in islands):
            needed *= PAIRED.get(part, 1)
        for spot in island:
            if len(island) >= needed or not border:
                np.testing.assert_array_equal(cleaned[(slice(None), *spot)], said[(slice(None), *spot)])
            else:
                mean = np.mean([said[(slice(None), *one)] for one in border], axis=0, dtype=np.float64)
                mean[part] = 0
                np.testing.assert_allclose(cleaned[(slice(None), *spot)], mean / max(mean.sum(), 1e-6), atol=1e-5)


def test_classes_are_decided_face_first():
    """Skin 0.3 and nose 0.25 against hair 0.4: the face is seen, and of it most likely skin."""
    said = np.zeros((len(FacePart), 1, 1), np.float32)
    said[FacePart.SKIN], said[FacePart.NOSE], said[FacePart.HAIR], said[FacePart.EAR] = 0.3, 0.25, 0.4, 0.05
    assert decided(said)[0, 0] == FacePart.SKIN
    said[FacePart.NOSE] = 0.1
    assert decided(said)[0, 0] == FacePart.HAIR and FacePart.HAIR not in VISIBLE_FACE
