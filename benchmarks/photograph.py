"""The one photograph that ships, at its own size or as large as a benchmark needs it. Credit: data/CREDITS.md."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PATH = Path(__file__).parent / "data" / "hands_on_laptop.webp"
WHAT = "the shipped photograph, repeated and mirrored"

Pixels = NDArray[np.uint8]


@cache
def photograph() -> Pixels:
    """(1066, 1600, 3) uint8 RGB. Read only."""
    with Image.open(PATH) as image:
        pixels = np.asarray(image.convert("RGB"))
    pixels.flags.writeable = False
    return pixels


def enlarged(height: int, width: int) -> Pixels:
    """(height, width, 3): the photograph repeated, every other time mirrored, so that no edge is where two copies meet."""
    photo = photograph()
    rows, columns = _mirrored(height, photo.shape[0]), _mirrored(width, photo.shape[1])
    return photo[rows[:, None], columns[None, :]]


def _mirrored(length: int, period: int) -> NDArray[np.intp]:
    at = np.arange(length) % (2 * period)
    return np.minimum(at, 2 * period - 1 - at)
