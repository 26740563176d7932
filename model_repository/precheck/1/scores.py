"""Two cheap judgements of a masked region, from the proxy alone: is it text, is its texture too fine for a proxy?

Classical features and two logistic regressions; the weights were fitted by ../calibrate.py (see the model card for what
they reach on photographs that were not fitted). Numpy and OpenCV only, deterministic, some 10 ms for 1024 x 683 pixels.

text_score: overlay text is flat inside, sharp at its edges, thin, and of one polarity. Epshtein et al., "Detecting Text
in Natural Scenes with Stroke Width Transform" (CVPR 2010) use the same facts; here morphological top-hats stand in for
the stroke width, because they cost 1 ms.
texture_score: a fill made at proxy resolution and enlarged lacks the band above the proxy's Nyquist frequency. What stands
there cannot be seen in the proxy, but spectra of photographs fall smoothly (Field, JOSA A 1987), so the two finest octaves
of the proxy tell it. They are measured in the ring around the region, whose look the fill must match.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

cv2.setNumThreads(1)

RING_PX = 12
STRONG_GRADIENT = 60.0
FLAT_GRADIENT = 8.0

TEXT_WEIGHTS = np.array(
    [-6.8063, 0.744, -0.0113, -2.6932, 11.0665, 3.2614, 2.1653, -1.1794, -7.4214, -0.6861, -0.2489, 1.1212, 13.1362]
)
TEXTURE_WEIGHTS = np.array([-7.9744, 2.2379, -1.3071, 1.5223])


def scores(image: U8, mask: U8) -> F32:
    """[2] float32 in 0..1: (text_score, texture_score) of the region mask > 0 in `image`.

    image [H,W,3] uint8 RGB, mask [H,W,1] uint8, any size from 1 x 1. An empty mask scores (0, 0): nothing is judged.
    """
    region = mask[..., 0] > 0
    if not region.any():
        return np.zeros(2, np.float32)
    window = _window(region)
    grey, region = cv2.cvtColor(np.ascontiguousarray(image[window]), cv2.COLOR_RGB2GRAY), region[window]
    text = _logistic(text_features(grey, region), TEXT_WEIGHTS)
    texture = _logistic(texture_features(grey, _ring(region)), TEXTURE_WEIGHTS)
    return np.array([text, texture], np.float32)


def _window(region: Bools) -> tuple[slice, slice]:
    """The region's bounding box grown by the ring."""
    spans: list[slice] = []
    for axis, size in ((1, region.shape[0]), (0, region.shape[1])):
        taken = np.flatnonzero(region.any(axis))
        spans.append(slice(max(0, int(taken[0]) - RING_PX), min(size, int(taken[-1]) + 1 + RING_PX)))
    return spans[0], spans[1]


def _ring(region: Bools) -> Bools:
    """The pixels within RING_PX of the region but 2 px off it, or the region itself where it leaves no ring."""
    flags = region.astype(np.uint8)
    wide = cv2.dilate(flags, np.ones((2 * RING_PX + 1,) * 2, np.uint8))
    near = cv2.dilate(flags, np.ones((5, 5), np.uint8))
    ring = (wide > 0) & (near == 0)
    return ring if ring.sum() >= 64 else region


def text_features(grey: U8, region: Bools) -> NDArray[np.float64]:
    """[13]: 1 and what is known of the grey picture [H,W] inside `region`; see the comments."""
    weight = region.astype(np.uint8)
    gradient = _gradient(grey)
    mean, energy = _mean(gradient, weight), _mean(np.square(gradient), weight)
    strong = _mean((gradient > STRONG_GRADIENT).view(np.uint8), weight)
    flat = _mean((gradient < FLAT_GRADIENT).view(np.uint8), weight)
    features = [1.0, np.log1p(mean), np.log1p(energy), mean / np.sqrt(energy + 1.0), strong, flat]
    for scale in (1, 2):
        small = grey if scale == 1 else _half(grey)
        inside = weight if scale == 1 else _half(weight * 255) // 128
        features += _hats(small, inside)
    return np.array([*features, strong * flat], np.float64)


def _hats(grey: U8, weight: U8) -> list[float]:
    """Thin bright and thin dark structure: how much, how one-sided, how much of it is strong."""
    square = np.ones((9, 9), np.uint8)
    top = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, square)
    black = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, square)
    bright, dark = _mean(top, weight), _mean(black, weight)
    more = top if bright >= dark else black
    strong = _mean((more > STRONG_GRADIENT).view(np.uint8), weight)
    return [np.log1p(max(bright, dark)), abs(bright - dark) / (bright + dark + 2.0), strong]


def texture_features(grey: U8, where: Bools) -> NDArray[np.float64]:
    """[4]: 1, the log energies of the two finest octaves, and the fall from the coarser to the finer."""
    weight = where.astype(np.uint8)
    signed = grey.astype(np.float32)
    one, two = cv2.GaussianBlur(signed, (0, 0), 0.8), cv2.GaussianBlur(signed, (0, 0), 1.6)
    fine = np.log(_mean(np.square(signed - one), weight) + 0.1)
    coarse = np.log(_mean(np.square(one - two), weight) + 0.1)
    return np.array([1.0, fine, coarse, max(fine, coarse)], np.float64)


def _gradient(grey: U8) -> F32:
    """The larger of the absolute horizontal and vertical difference over 2 px, in levels."""
    dx = cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=1)
    dy = cv2.Sobel(grey, cv2.CV_16S, 0, 1, ksize=1)
    return cv2.max(cv2.convertScaleAbs(dx), cv2.convertScaleAbs(dy)).astype(np.float32)


def _half(picture: U8) -> U8:
    height, width = picture.shape
    return cv2.resize(picture, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)


def _mean(values: NDArray[np.generic], weight: U8) -> float:
    return float(cv2.mean(values, weight)[0])


def _logistic(features: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(features @ weights, -30.0, 30.0))))
