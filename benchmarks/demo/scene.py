"""What is done to the photograph before the edit, and the mask that a person would draw over it.

Two captions and a scratch are drawn, so the true pixels below them are known. The earphones are really there: removing them
is a matter of taste, and there is no truth to compare with.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.photograph import Pixels, photograph


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of text; `at` is (x, y) of its upper left corner."""

    text: str
    at: tuple[int, int]
    size_px: int
    colour: tuple[int, int, int]


CAPTIONS = (
    Caption("Work from anywhere", (64, 40), 96, (255, 255, 255)),
    Caption("New: the slim one", (1010, 935), 56, (24, 34, 64)),
)
CAPTION_MARGIN_PX = 16
SCRATCH = ((62, 842), (128, 861), (176, 902), (243, 917), (301, 960), (372, 973), (408, 1003))
"""Corners (x, y) of a crack in the varnish, which crosses the joint between two planks."""
SCRATCH_PX = 6
SCRATCH_COLOUR = (238, 232, 221)
SCRATCH_MARGIN_PX = 9
EARPHONES = (((297, 484), (82, 86), 0.0), ((385, 566), (36, 60), 25.0), ((320, 652), (36, 66), -48.0))
"""Case and pods: (centre, half axes, degrees) as cv2.ellipse takes them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """truth, before: (h, w, 3) uint8. mask: (h, w), 255 = edit. drawn: (h, w) bool, where in the mask the truth is known."""

    truth: Pixels
    before: Pixels
    mask: NDArray[np.uint8]
    drawn: NDArray[np.bool_]


def make_scene() -> Scene:
    """The same every time."""
    truth = photograph()
    picture = Image.fromarray(truth)
    draw = ImageDraw.Draw(picture)
    mask = np.zeros(truth.shape[:2], np.uint8)
    for caption in CAPTIONS:
        font = ImageFont.load_default(caption.size_px)
        draw.text(caption.at, caption.text, caption.colour, font)
        left, top, right, bottom = (round(side) for side in draw.textbbox(caption.at, caption.text, font))
        margin = CAPTION_MARGIN_PX
        cv2.rectangle(mask, (left - margin, top - margin), (right + margin, bottom + margin), 255, cv2.FILLED)
    before = np.array(picture)
    corners = np.array(SCRATCH, np.int32)
    cv2.polylines(before, [corners], False, SCRATCH_COLOUR, SCRATCH_PX, cv2.LINE_AA)
    cv2.polylines(mask, [corners], False, 255, SCRATCH_PX + 2 * SCRATCH_MARGIN_PX)
    drawn = mask > 0
    for centre, axes, degrees in EARPHONES:
        cv2.ellipse(mask, centre, axes, degrees, 0, 360, 255, cv2.FILLED)
    return Scene(truth, before, mask, drawn)
