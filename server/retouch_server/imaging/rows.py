"""Rows of an image on their way from one stage to the next."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Span

Pixels = NDArray[np.uint8]
"""uint8, (height, width, channels)."""

_MOST_SLACK = 1.25
"""How many times a band's size the array may be that it is a part of, without being copied into a buffer."""


@dataclass(frozen=True, slots=True)
class Band:
    """A run of finished rows: `pixels` (rows, width, channels) uint8 from row `y` on. Nobody writes to it any more."""

    y: int
    pixels: Pixels

    @property
    def rows(self) -> Span:
        return Span(self.y, self.y + self.pixels.shape[0])


class RowBuffer:
    """Keeps the newest rows of a stream, so that windows that share rows can be cut from it.

    Memory: the rows between what was released and what was appended.
    """

    def __init__(self) -> None:
        self._bands: deque[Band] = deque()
        self._stop = 0

    @property
    def stop(self) -> int:
        """The first row that has not come yet."""
        return self._stop

    def append(self, band: Band) -> None:
        """Takes the next rows. Errors: ValueError when they do not follow those before."""
        if band.y != self._stop:
            raise ValueError(f"rows from {band.y} on do not follow row {self._stop}")
        owner = band.pixels.base
        if isinstance(owner, np.ndarray) and owner.nbytes > _MOST_SLACK * band.pixels.nbytes:
            band = Band(band.y, band.pixels.copy())  # a view of some rows would hold the whole strip in memory
        self._bands.append(band)
        self._stop = band.rows.stop

    def rows(self, span: Span) -> Pixels:
        """Rows `span`, (span.length, width, channels); a view where one band holds them all. Read only."""
        parts: list[Pixels] = []
        for band in self._bands:
            shared = band.rows.clip(span)
            if shared.length:
                parts.append(band.pixels[shared.shifted(-band.y).slice])
        if sum(part.shape[0] for part in parts) != span.length:
            raise ValueError(f"rows {span.start} to {span.stop} are not all here")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def release(self, before: int) -> None:
        """Forgets rows above `before`."""
        while self._bands and self._bands[0].rows.stop <= before:
            self._bands.popleft()
