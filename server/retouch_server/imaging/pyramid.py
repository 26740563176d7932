"""Laplacian pyramids (Burt & Adelson, "A multiresolution spline with application to image mosaics", 1983)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""float32, (height, width, channels)."""


def weighted(field: Field, weights: Sequence[NDArray[np.float32]], axis: int) -> Field:
    """The sum of the levels of `field`'s Laplacian pyramid, each times its weights: the shape of `field`.

    weights: for each level, finest first, one for each node along `axis`; level k has ⌈n / 2^k⌉ nodes. The levels of a
    pyramid sum to what it was built from, so weights of 1 give `field` back; a field of 0 stays 0.
    """
    height, width, channels = field.shape
    here = weights[0][:, None] if axis == 0 else np.repeat(weights[0], channels)
    if len(weights) == 1:
        return (field.reshape(height, -1) * here).reshape(field.shape)
    coarse = np.asarray(cv2.pyrDown(field), np.float32)
    detail = np.asarray(cv2.subtract(field, cv2.pyrUp(coarse, dstsize=(width, height))), np.float32)
    lines = detail.reshape(height, -1)
    lines *= here
    below = weighted(coarse.reshape(*coarse.shape[:2], channels), weights[1:], axis)
    total = cv2.add(detail, cv2.pyrUp(below, dstsize=(width, height)))
    return np.asarray(total, np.float32).reshape(field.shape)
