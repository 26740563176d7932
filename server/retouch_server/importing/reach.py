"""How far a pixel's influence reaches, measured.

Everything beyond a line is exchanged for something else, picture and mask; whatever changes on the near side was reached. That
is just what a tile's window does to its core: what lies beyond the window is not there. A strip along each of two sides, of two
pictures, looks at every distance hundreds of times, so that 8 bits show influences far below one level: some values are always
about to tip.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retouch_server.importing.pictures import discs, noise, photograph_like
from retouch_server.importing.source import U8, Source

STRIP = 4
"""The exchanged strip is this part of the window: reaches up to the rest of it can be told."""
FAINT_SHARE = 1e-3
"""Of the values at a distance: where fewer change by more than one level, nobody will see it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """In px of the input. receptive_field_px: None when it goes right through the window of side_px.

    faint_px: from there on less than FAINT_SHARE of the values change by more than one level.
    """

    side_px: int
    receptive_field_px: int | None
    faint_px: int


def measure(source: Source, side_px: int, told: Callable[[str], None]) -> Reach:
    """Runs the source six times on windows of `side_px`."""
    edge = side_px // STRIP
    changed = np.zeros(side_px - edge, bool)
    strong = np.zeros(side_px - edge)
    for number, picture in enumerate((noise, photograph_like)):
        told(f"measuring the receptive field within {side_px} px: picture {number + 1} of 2")
        image, mask = picture(side_px, side_px, 4), discs(side_px, side_px) if source.takes_mask else None
        before = source.run(image, mask)
        for turn in (2 * number, 2 * number + 1):  # a strip on the left and above, then on the right and below
            after = source.run(*_exchanged(image, mask, edge, turn))
            levels = np.abs(before.astype(np.int16) - after)
            far, above = _by_distance(np.rot90(levels, turn), edge, source.scale)
            changed |= far
            strong = np.maximum(strong, above)
    reach = int(np.flatnonzero(changed)[-1]) + 1 if changed.any() else 0
    faint = np.flatnonzero(strong > FAINT_SHARE)
    faint_px = int(faint[-1]) + 1 if faint.size else 0
    # In the last of the window a network that halves sees less; what comes this far goes on.
    is_bounded = reach < len(changed) - source.needs.least_multiple()
    return Reach(side_px, reach if is_bounded else None, faint_px)


def _exchanged(image: U8, mask: U8 | None, edge: int, turn: int) -> tuple[U8, U8 | None]:
    """The first `edge` columns, after `turn` quarter turns, are those of another picture and mask."""
    turned = np.rot90(image, turn).copy()
    turned[:, :edge] = noise(turned.shape[0], edge, 5)
    other = None
    if mask is not None:
        other = np.rot90(mask, turn).copy()
        other[:, :edge] = 255 - other[:, :edge]
        other = np.ascontiguousarray(np.rot90(other, -turn))
    return np.ascontiguousarray(np.rot90(turned, -turn)), other


def _by_distance(levels: NDArray[np.int16], edge: int, scale: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """For each column of the input beyond the edge: whether any value changed, and the share that did by more than a level."""
    far = levels[:, edge * scale :]
    columns = far.reshape(far.shape[0], -1, scale, far.shape[2])
    return np.asarray((columns > 0).any(axis=(0, 2, 3))), np.asarray((columns > 1).mean(axis=(0, 2, 3)))
