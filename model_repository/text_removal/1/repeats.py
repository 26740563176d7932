"""Watermarks that repeat over a picture: where some copies were found, all of them are told.

A detector overlooks copies where the picture is dark or busy, and a network errs about each in another way; but they stand on a
lattice and have one shape. The copies of a mark that is found are looked for by normalised cross-correlation (Lewis, "Fast
Normalized Cross-Correlation", 1995); the two shifts that most of them differ by are the lattice's; and a pixel is a stroke's if
it is one in enough of the copies.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

GROUP_PX = 8
"""Strokes no farther apart than twice this are one mark."""
LEAST_PX, MOST_MARKS, MOST_PLACES = 60, 12, 32
"""Smaller marks look like anything; so many are looked for, the largest first, in so many places, the likest first."""
SURROUNDINGS_PX, LEAST_LEVELS = 8.0, 4.0
"""What departs from the Gaussian mean over so much; in units of its own deviation there, and at least of so many levels."""
LEAST_LIKENESS, LEAST_SHARE = 0.3, 0.7
"""Correlation of a mark with itself and with a copy; and the least of a copy's, as a share of the mark's own."""
OFF_PX = 2.0
"""A copy stands no farther from its place on the lattice."""
LEAST_COPIES = 5
"""On a lattice of two directions; fewer may stand so by chance."""
LEAST_SHIFT_PX = 24.0
LEAST_FOUND, VOTE = 0.25, 0.5
"""In what share of its copies a stroke of a mark must have been found; and the share of that share from which on it is one."""
NEAR_PX = 6
"""What was found so near to a stroke that was voted for is one no more."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """shifts (2, 2): a row for each of its two directions, y and x in px; copies: how many marks stand on it."""

    shifts: F64
    copies: int


def with_copies(image: U8, strokes: Bools) -> Bools:
    """The strokes [H,W] of a picture [H,W,3]; where they are marks on a lattice, those of all marks."""
    lattice = _lattice(image, strokes)
    if lattice is None:
        return strokes
    share = _shares(strokes, lattice)
    most = float(np.quantile(share[strokes], 0.9))
    if most < LEAST_FOUND:
        return strokes
    voted = share >= VOTE * most
    near = cv2.dilate(voted.astype(np.uint8), np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)) > 0
    return voted | (strokes & ~near)


def _lattice(image: U8, strokes: Bools) -> Lattice | None:
    """The one that most copies of a mark stand on."""
    near = cv2.dilate(strokes.astype(np.uint8), np.ones((2 * GROUP_PX + 1,) * 2, np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    areas = np.bincount(labels[strokes], minlength=len(boxes))
    largest = [int(n) for n in np.argsort(-areas, kind="stable")[:MOST_MARKS] if areas[n] >= LEAST_PX]
    if not largest:
        return None
    departs, best = _departure(image), None
    for number in largest:
        x, y, width, height = (int(v) for v in boxes[number, :4])
        box = np.s_[y : y + height, x : x + width]
        found = _fitted(_places(departs, strokes[box] & (labels[box] == number), y, x))
        if found is not None and (best is None or found.copies > best.copies):
            best = found
    return best


def _departure(image: U8) -> F32:
    """[H,W,3]: how far each pixel departs from its surroundings, in units of how far they do."""
    pixels = image.astype(np.float32)
    departs = pixels - cv2.GaussianBlur(pixels, (0, 0), SURROUNDINGS_PX)
    power = cv2.GaussianBlur(np.square(departs).mean(axis=2), (0, 0), SURROUNDINGS_PX)
    return departs / (np.sqrt(power) + LEAST_LEVELS)[..., None]


def _places(departs: F32, mark: Bools, y: int, x: int) -> F64:
    """[N,2]: y and x of what looks like the mark at (y, x), that first; none where it hardly stands out."""
    height, width = mark.shape
    own, nothing = departs[y : y + height, x : x + width], np.zeros((0, 2))
    if mark.all():
        return nothing
    plane = departs @ (own[mark].mean(axis=0) - own[~mark].mean(axis=0))
    likeness = cv2.matchTemplate(plane, mark.astype(np.float32), cv2.TM_CCOEFF_NORMED)
    itself = float(likeness[y, x])
    if itself < LEAST_LIKENESS:
        return nothing
    is_copy = likeness == cv2.dilate(likeness, np.ones((height // 2 | 1, width // 2 | 1), np.uint8))
    is_copy &= likeness >= max(LEAST_LIKENESS, LEAST_SHARE * itself)
    is_copy[y, x] = False
    places = np.argwhere(is_copy)
    likest = np.argsort(-likeness[is_copy], kind="stable")[: MOST_PLACES - 1]
    return np.vstack([[(y, x)], places[likest]]).astype(np.float64)


def _fitted(places: F64) -> Lattice | None:
    """The lattice of most of some places [N,2]; None where fewer than LEAST_COPIES stand on one, or all in a line."""
    if len(places) < LEAST_COPIES:
        return None
    shifts = (places[:, None] - places[None]).reshape(-1, 2)
    shifts = shifts[(shifts[:, 0] > 0) | ((shifts[:, 0] == 0) & (shifts[:, 1] > 0))]
    shifts = shifts[np.hypot(*shifts.T) >= LEAST_SHIFT_PX]
    if not len(shifts):
        return None
    support = (np.abs(shifts[:, None] - shifts[None]).max(axis=2) <= OFF_PX).sum(axis=1)
    order = np.lexsort((np.hypot(*shifts.T), -support))
    first = shifts[order[0]]
    across = np.abs(shifts[:, 0] * first[1] - shifts[:, 1] * first[0]) / np.hypot(*first)
    second = next((shifts[n] for n in order if across[n] >= LEAST_SHIFT_PX and support[n] > 1), None)
    if second is None:
        return None
    base = np.stack([first, second])
    origin = places[0]
    for _ in range(3):  # whole multiples, then the shifts that fit them best
        steps = np.rint((places - origin) @ np.linalg.inv(base))
        stands = np.abs(origin + steps @ base - places).max(axis=1) <= OFF_PX
        known = np.column_stack([np.ones(stands.sum()), steps[stands]])
        if np.linalg.matrix_rank(known) < 3:
            return None
        origin, *rows = np.linalg.lstsq(known, places[stands], rcond=None)[0]
        base = np.stack(rows)
    return Lattice(base, int(stands.sum())) if stands.sum() >= LEAST_COPIES else None


def _shares(strokes: Bools, lattice: Lattice) -> F32:
    """[H,W]: in what share of the places that differ from a pixel's by shifts of the lattice there is a stroke."""
    height, width = strokes.shape
    most = int(np.ceil(np.hypot(height, width) / np.linalg.norm(lattice.shifts, ord=-2)))
    steps = np.stack(np.meshgrid(*(np.arange(-most, most + 1),) * 2), axis=-1).reshape(-1, 2)
    offsets = np.unique(np.rint(steps @ lattice.shifts).astype(int), axis=0)
    total, count = np.zeros(strokes.shape, np.uint16), np.zeros(strokes.shape, np.uint16)
    flags = strokes.astype(np.uint16)
    for dy, dx in offsets[(np.abs(offsets) < (height, width)).all(axis=1)]:
        here = np.s_[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
        there = np.s_[max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)]
        total[here] += flags[there]
        count[here] += 1
    return (total / count).astype(np.float32)
