"""Is the texture around a region too fine for a proxy? Two octaves and a logistic regression; source: training/precheck.

A fill made at proxy resolution and enlarged lacks the band above the proxy's Nyquist frequency. What stands there cannot be
seen in the proxy, but spectra of photographs fall smoothly (Field, JOSA A 1987), so the finest octaves of the proxy tell
it. They are measured in the ring around the region, whose look the fill must match.
"""

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

WEIGHTS = np.array([-7.1212, 2.6997, -1.6571, 1.4162])


def texture_score(grey: U8, where: U8) -> float:
    """0..1 for the pixels `where` [H,W] > 0 of a grey picture [H,W] uint8."""
    return float(1.0 / (1.0 + np.exp(-np.clip(features(grey, where) @ WEIGHTS, -30.0, 30.0))))


def features(grey: U8, where: U8) -> NDArray[np.float64]:
    """[4]: 1, the log energies of the two finest octaves, and the greater of them."""
    weight = (where > 0).astype(np.uint8)
    signed = grey.astype(np.float32)
    one, two = cv2.GaussianBlur(signed, (0, 0), 0.8), cv2.GaussianBlur(signed, (0, 0), 1.6)
    fine, coarse = (np.log(_mean_square(*pair, weight) + 0.1) for pair in ((signed, one), (one, two)))
    return np.array([1.0, fine, coarse, max(fine, coarse)], np.float64)


def _mean_square(a: MatLike, b: MatLike, weight: U8) -> float:
    """Of a - b, where the weight is 1; in one pass, without a picture of the difference."""
    return cv2.norm(a, b, cv2.NORM_L2SQR, weight) / max(1, cv2.countNonZero(weight))
