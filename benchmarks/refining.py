"""What somebody does who refines a mask: a picture with 5 % of it masked, and strokes that change 1 % of the mask each."""

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.photograph import Pixels, photograph

MASKED_SHARE = 0.05
CHANGED_SHARE = 0.01
WHAT = "the shipped photograph, enlarged to size"
BESIDE, STAGES = ("precheck", "text_detect"), ("text_removal", "inpaint_classical")
MODELS = (*BESIDE, *STAGES)
"""What these edits are made with; the others would only make the orchestrators' self-measurement longer."""
FULL = "classical"
"""The method asked for: left to the precheck, a picture as smooth as this would be filled at proxy resolution."""
_ACROSS = 5
"""Discs in a row of the lattice that they lie on, and in a column."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture (size, size, 3), and masks (size, size): the first, and after each stroke."""

    image: Pixels
    masks: tuple[Pixels, ...]


def scene(size: int, strokes: int, seed: int = 0) -> Scene:
    """`seed`: which part of the photograph it is, and where the mask lies."""
    draw = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    radius = size * (MASKED_SHARE / (_ACROSS**2 * np.pi)) ** 0.5
    discs = [
        ((row + draw.uniform(0.3, 0.7)) * size / _ACROSS, (column + draw.uniform(0.3, 0.7)) * size / _ACROSS)
        for row in range(_ACROSS)
        for column in range(_ACROSS)
    ]
    for y, x in discs:
        _disc(mask, y, x, radius)
    masks = [mask]
    for number in range(strokes):
        y, x = discs[number * 7 % len(discs)]
        changed = masks[-1].copy()
        _disc(changed, y + radius, x, radius * _stroke_radius())  # at the lower edge: half of it is new
        masks.append(changed)
    return Scene(_picture(size, draw), tuple(masks))


def _stroke_radius() -> float:
    """Of a stroke, in radii of the discs: half of its area is CHANGED_SHARE of all discs'."""
    return float((2 * CHANGED_SHARE * _ACROSS**2) ** 0.5)


def _picture(size: int, draw: np.random.Generator) -> Pixels:
    photo = photograph()
    side = min(photo.shape[:2])
    x = int(draw.integers(0, photo.shape[1] - side + 1))
    resized = cv2.resize(photo[:side, x : x + side], (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _disc(mask: Pixels, y: float, x: float, radius: float) -> None:
    """Adds a disc that is soft over four pixels."""
    top, left = max(0, int(y - radius) - 4), max(0, int(x - radius) - 4)
    part = mask[top : int(y + radius) + 5, left : int(x + radius) + 5]
    rows, columns = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
    soft = np.clip((radius - np.hypot(rows - y, columns - x)) / 4 + 0.5, 0, 1) * 255
    np.maximum(part, soft.astype(np.uint8), out=part)
