"""Weights with which two neighbours share the zone that both cover, for each level of a pyramid."""

from functools import cache

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
    last = _levels(n)
    if not last:
        return (((np.arange(n) + 0.5) / max(n, 1)).astype(np.float32),)
    middle = (n - 1) / 2
    # From an odd number of nodes, the last one of the level below is also made of the last but one here.
    end = (-(-n // 2**last) - 1 - bool(n % 2**last)) * 2**last
    coarsest = _rising(n, last, middle, 2 * min(middle - 2**last, end - middle))
    return *(expanded(each, -(-n // 2**k)) for k, each in enumerate(_parents(n))), coarsest


@cache
def shares(n: int) -> tuple[Ramp, ...]:
    """What of each level of a Gaussian pyramid is the later neighbour's, so that a Laplacian one's levels have `ramps(n)`.

    A Laplacian level is w · (G - expand(G')), which is w · G - expand(w' · G') where w expands from w': so each level of the
    Gaussian pyramid counts with its own weights less those of the level below. Read only.
    """
    own = ramps(n)
    return own[0], *(each - below for each, below in zip(own[1:], _parents(n), strict=True))


def expanded(coarse: Ramp, n: int) -> Ramp:
    """`coarse` on a grid twice as fine, of `n` nodes, as a pyramid expands (Burt & Adelson 1983, with a = 3/8)."""
    padded = np.concatenate([coarse[:1], coarse, coarse[-1:]])
    even = (padded[:-2] + 6 * padded[1:-1] + padded[2:]) / 8
    odd = (padded[1:-1] + padded[2:]) / 2
    return np.stack([even, odd], axis=1).ravel()[:n].astype(np.float32)


def _levels(n: int) -> int:
    last = 0
    while -(-n // 2 ** (last + 1)) >= COARSEST:
        last += 1
    return last


def _parents(n: int) -> list[Ramp]:
    """Of each level but the coarsest, the weights at the nodes of the level above it."""
    return [_rising(n, level + 1, (n - 1) / 2, TRANSITION * 2**level) for level in range(_levels(n))]


def _rising(n: int, level: int, middle: float, width: float) -> Ramp:
    at = np.arange(0, n, 2**level, dtype=np.float32)
    return np.clip(0.5 + (at - middle) / width, 0, 1, dtype=np.float32)
