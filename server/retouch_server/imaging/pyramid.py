"""Pyramids (Burt & Adelson, "A multiresolution spline with application to image mosaics", 1983)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""float32, (height, width, channels)."""


def weighted(field: Field, shares: Sequence[NDArray[np.float32]], axis: int) -> Field:
    """The sum of the levels of `field`'s Gaussian pyramid, each times its share, expanded: the shape of `field`.

    shares: for each level, finest first, one for each node along `axis`; level k has ⌈n / 2^k⌉ nodes. A field of 0 stays 0.
    Works in place, for the sake of the time that fresh memory takes: `field` is the result.
    """
    height, width, channels = field.shape
    here = shares[0][:, None] if axis == 0 else np.repeat(shares[0], channels)
    lines = field.reshape(height, -1)
    if len(shares) == 1:
        lines *= here
        return field
    coarse = np.asarray(cv2.pyrDown(field), np.float32)
    above = weighted(coarse.reshape(*coarse.shape[:2], channels), shares[1:], axis)
    lines *= here
    lines += np.asarray(cv2.pyrUp(above, dstsize=(width, height)), np.float32).reshape(lines.shape)
    return field
