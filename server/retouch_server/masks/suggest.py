"""From where a detector sees text to a soft mask over it.

A detector of the DBNet family (Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2020,
section 3.4) marks a shrunken core of each line; the line is got back by growing the core by area · ratio / perimeter.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect

THRESHOLD = 0.3  # the published one
UNCLIP_RATIO = 1.6  # likewise
MARGIN = 0.2  # of the line height: outlines and shadows belong to the text
FEATHER = 0.25  # of the line height, from 255 to 0
MIN_AREA_PX = 6
MAX_BOXES = 256
MAX_LINES = 4096


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A soft mask (height, width) uint8, 255 on text, and the boxes of its lines, largest first, at most MAX_BOXES."""

    mask: NDArray[np.uint8]
    boxes: tuple[Rect, ...]


def suggest(probability: NDArray[np.uint8]) -> Suggestion:
    """A mask over what is likely text. `probability` (height, width) uint8: 255 means certain.

    Every connected part over the threshold is grown to its line and a margin; outside that the mask falls linearly to 0.
    The boxes hold all of 255. Deterministic. Parts under MIN_AREA_PX are noise; the MAX_LINES largest are treated.
    """
    core = (probability >= THRESHOLD * 255).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    parts = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= MIN_AREA_PX]
    parts.sort(key=lambda i: -int(stats[i, cv2.CC_STAT_AREA]))
    image = Rect(0, 0, int(probability.shape[0]), int(probability.shape[1]))
    mask: NDArray[np.uint8] = np.zeros((image.height, image.width), np.uint8)
    boxes: list[Rect] = []
    for part in parts[:MAX_LINES]:
        x, y, width, height, area = (int(v) for v in stats[part])
        grow, feather = _growth(area, width, height)
        line = Rect(y, x, height, width)
        around = _grown(line, grow + feather, image)
        where = (around.rows.slice, around.columns.slice)
        away: NDArray[np.uint8] = (labels[where] != part).astype(np.uint8)
        distance = cast(NDArray[np.float32], cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
        soft = np.rint(np.clip((grow + feather - distance) / feather, 0, 1) * 255).astype(np.uint8)
        np.maximum(mask[where], soft, out=mask[where])
        boxes.append(_grown(line, grow, image))
    boxes.sort(key=lambda box: -box.area)
    return Suggestion(mask, tuple(boxes[:MAX_BOXES]))


def _growth(area: int, width: int, height: int) -> tuple[int, int]:
    """How far a core of this size is grown, and how wide its soft edge is, in px; both at least 1."""
    unclip = area * UNCLIP_RATIO / (2 * (width + height))
    line_height = min(width, height) + 2 * unclip
    return max(1, round(unclip + MARGIN * line_height)), max(1, round(FEATHER * line_height))


def _grown(box: Rect, margin: int, image: Rect) -> Rect:
    return Rect.from_spans(box.rows.grow(margin).clip(image.rows), box.columns.grow(margin).clip(image.columns))
