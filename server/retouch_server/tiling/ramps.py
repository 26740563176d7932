"""Weights with which two neighbours share their overlap."""

import numpy as np
from numpy.typing import NDArray

ONE = 256
"""The sum of the two neighbours' weights at each pixel: fixed point, so that equal pixels blend to themselves exactly."""


def ramp(n: int) -> NDArray[np.uint16]:
    """Rising weights of the later neighbour across an overlap of `n` px, in 1/256; ramp(n) + ramp(n)[::-1] == 256.

    >>> ramp(4)
    array([ 32,  96, 160, 224], dtype=uint16)
    """
    half = (np.arange(n // 2) * 2 + 1) * ONE // (2 * n) if n else np.zeros(0)
    middle = np.full(n % 2, ONE // 2)
    return np.concatenate([half, middle, ONE - half[::-1]]).astype(np.uint16)
