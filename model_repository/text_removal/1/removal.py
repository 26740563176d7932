"""The order of work in a window: detect, find strokes, fill, look again.

Deaf to Triton: `detect` and `fill` are handed in as functions, so that the same code runs under tests.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import strokes as stroke_finding
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Detect = Callable[[U8], U8]
"""[H,W,3] uint8 -> [H,W,1] uint8 text probability."""
Fill = Callable[[U8, U8], U8]
"""image [H,W,3], mask [H,W,1] -> image with the mask's pixels filled."""

cv2.setNumThreads(1)

COARSE = ((0.5, 40.0), (0.25, 80.0))
"""(scale, least line height in px): letters too tall for the detector at full size; this adds 31 % to its cost."""
SMALLEST_PX = 32


@dataclass(frozen=True, slots=True)
class Removal:
    """result [H,W,3] uint8, equal to the input wherever the mask is 0; strokes [H,W,1] uint8, 255 = filled."""

    result: U8
    strokes: U8


def remove_text(image: U8, mask: U8, detect: Detect, fill: Fill) -> Removal:
    """Clean the overlay text of `image` [H,W,3] uint8 where `mask` [H,W,1] uint8 > 0.

    Strokes that leave the mask are not touched outside it, but do not serve as a source of the fill either.
    """
    allowed = mask[..., 0] > 0
    if not allowed.any():
        return Removal(image, np.zeros_like(mask))
    lines = _wanted(find_lines(image, detect), allowed)
    if not lines:
        return Removal(image, np.zeros_like(mask))
    hole = stroke_finding.stroke_mask(image, lines)
    cleaned = fill(image, _as_mask(hole))
    low = [line for line in stroke_finding.text_lines(detect(cleaned)[..., 0]) if not line.is_tall]
    stubborn = _wanted(low, hole & allowed)
    if stubborn:
        # What still reads as text had more than its strokes show (a glow, a plate, a texture): the whole line goes.
        hole |= stroke_finding.polygon_mask(hole.shape, stubborn)
        cleaned = fill(image, _as_mask(hole))
    hole &= allowed
    return Removal(np.where(hole[..., None], cleaned, image), _as_mask(hole))


def find_lines(image: U8, detect: Detect) -> list[stroke_finding.Line]:
    """The lines of text at full size, and those at half and quarter size that are too tall to be seen there."""
    height, width = image.shape[:2]
    lines = stroke_finding.text_lines(detect(image)[..., 0])
    for scale, least_px in COARSE:
        size = (round(width * scale), round(height * scale))
        if min(size) < SMALLEST_PX:
            break
        coarse = detect(cv2.resize(image, size, interpolation=cv2.INTER_AREA))[..., 0]
        covered = stroke_finding.polygon_mask(image.shape, lines)
        for line in stroke_finding.text_lines(coarse):
            whole = stroke_finding.Line(line.polygon / np.float32(scale), line.height_px / scale)
            new = stroke_finding.polygon_mask(image.shape, [whole])
            if whole.height_px >= least_px and new.any() and covered[new].mean() < 0.5:
                lines.append(whole)
    return lines


def _wanted(lines: list[stroke_finding.Line], allowed: Bools) -> list[stroke_finding.Line]:
    """The lines that reach into the allowed pixels."""
    return [line for line in lines if (stroke_finding.polygon_mask(allowed.shape, [line]) & allowed).any()]


def _as_mask(flags: Bools) -> U8:
    return (flags.astype(np.uint8) * 255)[..., None]
