"""Weights with which two neighbours share the zone that both cover, one ramp for each level of a pyramid."""

import numpy as np
from numpy.typing import NDArray

TRANSITION = 4
"""Nodes of its level that a fine level takes from one neighbour to the other: an octave's wavelength or two."""
COARSEST = 8
"""Nodes across the zone that the coarsest level has at least; a zone of fewer than 15 px has one level only."""

Ramp = NDArray[np.float32]


def ramps(n: int) -> tuple[Ramp, ...]:
    """Rising weights of the later neighbour across `n` px, finest level first; the earlier one has 1 - these.

    Level k has ⌈n / 2^k⌉ nodes, 2^k px apart from the first pixel on. Fine levels change sides near the middle, the coarsest
    over the whole zone. With more than one level the weights are exactly 0 at the two first nodes and 1 at those that the last
    pixel rests on, so that a blend leaves the zone's outermost lines as they are.

    >>> [ramp.tolist() for ramp in ramps(4)]
    [[0.125, 0.375, 0.625, 0.875]]
    >>> [len(ramp) for ramp in ramps(64)]
    [64, 32, 16, 8]
    """
    last = 0
    while -(-n // 2 ** (last + 1)) >= COARSEST:
        last += 1
    if not last:
        return (((np.arange(n) + 0.5) / max(n, 1)).astype(np.float32),)
    middle = (n - 1) / 2
    # From an odd number of nodes, the last one of the level below is also made of the last but one here.
    end = (-(-n // 2**last) - 1 - bool(n % 2**last)) * 2**last
    widths = [TRANSITION * 2**level for level in range(last)] + [2 * min(middle - 2**last, end - middle)]
    return tuple(_rising(n, level, middle, width) for level, width in enumerate(widths))


def _rising(n: int, level: int, middle: float, width: float) -> Ramp:
    at = np.arange(0, n, 2**level, dtype=np.float32)
    return np.clip(0.5 + (at - middle) / width, 0, 1, dtype=np.float32)
