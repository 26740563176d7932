"""Regions of proxies whose answers are known.

Text: a region that holds an overlay of the text generator, against one of the same kind on the plain picture or on a hard
negative. Texture: the picture is known at full size, and is too fine where it differs from its enlarged proxy by more than
LOST_LEVELS RMS in the ring around the region.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.text import generator

U8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

LOST_LEVELS = 4.0
RING_PX = 12
SIDE_PX = 192
"""Of the piece of proxy that an item shows."""
LEAST_PX = 12
LEAST_STROKE_PX = 40
"""Strokes of fewer pixels, at the edge of the picture, are no text."""


@dataclass(frozen=True)
class Item:
    """image [H, W, 3] uint8, region [H, W] bool, and the answer: is it text, or is its texture too fine?"""

    image: U8
    region: Bools
    answer: bool


def text_item(photos: list[U8], split: str, seed: int, index: int) -> Item:
    """Item `index` of `seed`; half of them hold text."""
    rng = np.random.default_rng((seed, index))
    shown = generator.sample(photos, split, int(rng.integers(2**31)), 0, SIDE_PX, text_share=float(rng.random() < 0.5))
    if shown.strokes.sum() < LEAST_STROKE_PX:
        return Item(shown.composited, _box(rng, SIDE_PX), False)
    # A person masks the strokes with a brush, or the block with a rectangle.
    reach = int(rng.integers(3, 16))
    wide = cv2.dilate(shown.strokes.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    return Item(shown.composited, wide if rng.random() < 0.5 else shown.area | wide, True)


def texture_item(rng: np.random.Generator, photos: list[U8], ratio: float) -> Item:
    """A region of a proxy 1 : `ratio` of its picture."""
    photo = photos[int(rng.integers(len(photos)))]
    side = min(*photo.shape[:2], round(SIDE_PX * ratio))
    y, x = (int(rng.integers(size - side + 1)) for size in photo.shape[:2])
    full = np.ascontiguousarray(photo[y : y + side, x : x + side])
    small = round(side / ratio)
    proxy = cv2.resize(full, (small, small), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(proxy, (side, side), interpolation=cv2.INTER_CUBIC)
    lost = np.square(cv2.cvtColor(full, cv2.COLOR_RGB2GRAY).astype(np.float32) - cv2.cvtColor(enlarged, cv2.COLOR_RGB2GRAY))
    lost = cv2.resize(lost, (small, small), interpolation=cv2.INTER_AREA)
    region = _box(rng, small)
    around = ring(region)
    return Item(proxy, region, bool(np.sqrt(lost[around].mean()) > LOST_LEVELS))


def _box(rng: np.random.Generator, side_px: int) -> Bools:
    """A rectangle or an ellipse somewhere in a square."""
    height, width = (int(v) for v in rng.integers(LEAST_PX, max(LEAST_PX + 1, round(side_px * 0.9)), 2))
    y, x = int(rng.integers(side_px - height + 1)), int(rng.integers(side_px - width + 1))
    drawn = np.zeros((side_px, side_px), np.uint8)
    if rng.random() < 0.5:
        drawn[y : y + height, x : x + width] = 1
    else:
        cv2.ellipse(drawn, (x + width // 2, y + height // 2), (width // 2, height // 2), 0, 0, 360, 1, -1)
    return drawn > 0


def ring(region: Bools) -> Bools:
    """The pixels within RING_PX of the region but 2 px off it, or the region itself where it leaves no ring."""
    flags = region.astype(np.uint8)
    wide = cv2.dilate(flags, np.ones((2 * RING_PX + 1,) * 2, np.uint8))
    near = cv2.dilate(flags, np.ones((5, 5), np.uint8))
    around = (wide > 0) & (near == 0)
    return around if around.sum() >= 64 else region
