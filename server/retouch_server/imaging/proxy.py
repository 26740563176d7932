"""A low-resolution stand-in for an image, made from its rows as they pass."""

import cv2
import numpy as np

from retouch_server.geometry import ceil_div
from retouch_server.imaging.rows import Pixels

MAX_SIDE_PX = 1024
LEAST_RATIO = 2.0
"""How many times smaller than the image a copy is at least that is filled in its place."""


def ratio_of(size: tuple[int, int], proxy: tuple[int, ...]) -> float:
    """How many times smaller than an image of (height, width) px the copy is that `at_most` makes of a proxy (h, w, …)."""
    return max(LEAST_RATIO, max(size) / max(proxy[:2]))


def at_most(proxy: Pixels, size: tuple[int, int]) -> Pixels:
    """`proxy` (h, w, 3), shrunk where it is more than 1 / LEAST_RATIO of the `size` (height, width) of its image."""
    height, width = (max(1, round(side / LEAST_RATIO)) for side in size)
    if max(proxy.shape[:2]) <= max(height, width):
        return proxy
    return np.asarray(cv2.resize(proxy, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


class ProxyBuilder:
    """Shrinks an image of (height, width) by an integer factor, by area averaging, row by row.

    The result has the longer side at most MAX_SIDE_PX and 3 channels (gray is repeated, alpha left out).
    """

    def __init__(self, height: int, width: int) -> None:
        self._height = height
        self._factor = ceil_div(max(height, width), MAX_SIDE_PX)
        self._columns = ceil_div(width, self._factor)
        self._waiting: list[Pixels] = []
        self._waiting_rows = 0
        self._done: list[Pixels] = []
        self._seen = 0

    def add(self, pixels: Pixels) -> None:
        """Takes the next rows, (rows, width, channels)."""
        self._waiting.append(pixels)
        self._waiting_rows += pixels.shape[0]
        self._seen += pixels.shape[0]
        whole = self._waiting_rows - self._waiting_rows % self._factor
        if self._seen == self._height:
            whole = self._waiting_rows
        if not whole:
            return
        rows = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        rest = rows[whole:]
        self._waiting, self._waiting_rows = ([rest.copy()], rest.shape[0]) if rest.shape[0] else ([], 0)
        self._done.append(self._shrink(rows[:whole]))

    def finish(self) -> Pixels:
        """The proxy, (h, w, 3), once all rows have been added."""
        return np.concatenate(self._done)

    def _shrink(self, rows: Pixels) -> Pixels:
        rgb = np.repeat(rows, 3, axis=2) if rows.shape[2] == 1 else rows[:, :, :3]
        factor = self._factor
        if factor > 1:
            below, right = -rows.shape[0] % factor, -rows.shape[1] % factor
            if below or right:  # the last cells average what is there, with the edge repeated
                rgb = cv2.copyMakeBorder(np.ascontiguousarray(rgb), 0, below, 0, right, cv2.BORDER_REPLICATE)
            size = (rgb.shape[1] // factor, rgb.shape[0] // factor)
            rgb = cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA)
        return np.asarray(rgb, np.uint8)
