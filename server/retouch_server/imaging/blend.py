"""How two neighbouring tiles become one over the zone that both cover, and how a fill meets its surroundings."""

import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.rows import Pixels
from retouch_server.tiling import ramp
from retouch_server.tiling.ramps import ONE


def blend(first: Pixels, second: Pixels, axis: int) -> Pixels:
    """Fades from `first` to `second` along `axis` (0: downwards, 1: to the right); both (h, w, channels), as the result.

    Where both are equal the result is equal too, bit for bit.
    """
    weights = ramp(first.shape[axis]).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return ((first * (ONE - weights) + second * weights + ONE // 2) >> 8).astype(np.uint8)


def composite(source: Pixels, fill: Pixels, mask: NDArray[np.uint8]) -> Pixels:
    """`fill` where `mask` is 255, `source` byte for byte where it is 0, a mixture between.

    Images (h, w, channels), mask (h, w).
    """
    alpha = mask[:, :, None].astype(np.uint16)
    return ((source * (255 - alpha) + fill * alpha + 127) // 255).astype(np.uint8)
