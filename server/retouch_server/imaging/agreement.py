"""Whether an enlargement, averaged down again, is still the picture that it was made of; and what to do where it is not.

That is the one thing about invented texture that can be known without the truth. Averages over `scale` × `scale` pixels undo no
particular camera or shrinking, so that faithful enlargements disagree a little, too, where there is much detail: `CELL_PX` and
the policy's threshold leave room for them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.blend import composite
from retouch_server.imaging.rows import Pixels

CELL_PX = 64
"""Side, in input pixels, of what is judged at once. Over 32 px even the photograph that was shrunk is at times 28 dB from what
it was shrunk to; over a whole window a face gone wrong would be lost among the rest."""


def strayed(result: Pixels, source: Pixels, least_db: float) -> NDArray[np.bool_] | None:
    """Cells in which `result` (h · scale, w · scale, channels) averaged down is less than `least_db` (PSNR) from `source`.

    Alpha does not count. Cells of about CELL_PX partition the source, (rows, columns); None where all agree.
    """
    height, width, channels = source.shape
    small = cv2.resize(result, (width, height), interpolation=cv2.INTER_AREA).reshape(source.shape)
    off = np.square(np.asarray(cv2.subtract(small, source, dtype=cv2.CV_32F)).reshape(source.shape))
    cells = cv2.resize(off, (_cells(width), _cells(height)), interpolation=cv2.INTER_AREA)
    mean = cells.reshape(_cells(height), _cells(width), channels)[:, :, :3].mean(axis=2)
    found = mean > 255**2 / 10 ** (least_db / 10)
    return found if found.any() else None


def replaced(result: Pixels, other: Pixels, cells: NDArray[np.bool_]) -> Pixels:
    """`other` in `cells`, `result` beyond the cells around them, and a fade between; all (h, w, channels)."""
    grown = cv2.dilate(cells.astype(np.uint8) * np.uint8(255), np.ones((3, 3), np.uint8))
    alpha = cv2.resize(grown, result.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return composite(result, other, np.asarray(alpha, np.uint8))


def _cells(length: int) -> int:
    return max(1, round(length / CELL_PX))
