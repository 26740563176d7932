"""Which pixels of a picture are overlay text: stroke-exact, from the text detector's coarse map of lines.

A line of overlay text is drawn in few colours on a background that was there before it. Inside each detected line the
local background is estimated by a wide median, refined without the pixels already taken for text (Otsu, "A Threshold
Selection Method from Gray-Level Histograms", 1979), and a pixel belongs to a stroke where it differs from that background
by more than the background's own noise, hangs together with clear strokes (hysteresis, as in Canny 1986) and has a colour
commoner among the strokes than around the line (a likelihood ratio of colour histograms, Jones and Rehg, IJCV 2002).
The distance has no sign: dark and light text, outlines and shadows are found alike. Numpy and OpenCV only;
deterministic.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

cv2.setNumThreads(1)

LINE_THRESHOLD = 77
"""0.3 of 255: PP-OCR's own threshold of the probability map."""
UNCLIP_RATIO = 1.6
"""The detector marks lines shrunk; they are grown by area * ratio / perimeter (Liao et al., AAAI 2020, section 3.5)."""
MIN_LINE_PX = 4
LINE_SCORE = 0.6
"""Mean probability inside a line's rectangle; photographs without text reach 0.70, drawn captions start at 0.69."""
SQUARE_ASPECT = 1.6
SQUARE_SCORE = 0.8
"""What is nearly square is rarely a line of text: the false alarms on stones, scales and tentacles all were."""
MOST_STROKE_SHARE = 0.62
LEAST_STROKE_SHARE = 0.02
"""Outside these shares of a line's polygon the stroke mask is not believed, and the whole polygon becomes the hole."""
TALLEST_WHOLE_PX = 64.0
TELLING_RATIO = 6.0
"""A colour this many times commoner in the strokes than around the line is the text's, wherever it is in the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One detected line of text: polygon [4,2] float32 (x, y) in pixels, height_px the shorter side of it."""

    polygon: F32
    height_px: float

    @property
    def is_tall(self) -> bool:
        """Too tall to become a hole as a whole: there is too much picture in its rectangle."""
        return self.height_px > TALLEST_WHOLE_PX


def text_lines(probability: U8) -> list[Line]:
    """The lines in a map [H,W] uint8 (255 = certainly text), grown to cover the letters whole."""
    kernels = (probability >= LINE_THRESHOLD).astype(np.uint8)
    contours, _ = cv2.findContours(kernels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    lines: list[Line] = []
    for contour in contours:
        centre, (a, b), angle = cv2.minAreaRect(contour)
        a, b = a + 1.0, b + 1.0  # a contour runs through pixel centres
        square = max(a, b) < SQUARE_ASPECT * min(a, b)
        score = _mean_inside(probability, cv2.boxPoints((centre, (a, b), angle)))
        if min(a, b) < MIN_LINE_PX or score < (SQUARE_SCORE if square else LINE_SCORE):
            continue
        grow = a * b * UNCLIP_RATIO / (2.0 * (a + b))
        size = (a + 2.0 * grow, b + 2.0 * grow)
        lines.append(Line(cv2.boxPoints((centre, size, angle)).astype(np.float32), min(size)))
    return lines


def _mean_inside(probability: U8, polygon: F32) -> float:
    drawn = np.zeros(probability.shape, np.uint8)
    cv2.fillPoly(drawn, [np.rint(polygon).astype(np.int32)], 1)
    return cv2.mean(probability, drawn)[0] / 255.0


def stroke_mask(image: U8, lines: list[Line]) -> Bools:
    """[H,W] bool: the pixels of `image` [H,W,3] uint8 that the strokes of `lines` cover, antialiasing included."""
    strokes = np.zeros(image.shape[:2], bool)
    inside_any = polygon_mask(image.shape[:2], lines)
    for line in lines:
        window = _window(line, image.shape[:2])
        strokes[window] |= _line_strokes(image[window], _shifted(line, window), inside_any[window])
    return strokes


def polygon_mask(shape: tuple[int, ...], lines: list[Line]) -> Bools:
    """[H,W] bool: everything inside the lines' polygons."""
    drawn = np.zeros(shape[:2], np.uint8)
    for line in lines:
        cv2.fillPoly(drawn, [np.rint(line.polygon).astype(np.int32)], 255)
    return drawn > 0


def _window(line: Line, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The line's bounding box and as much around it as its height: where its background is seen."""
    reach = int(line.height_px) + 8
    x0, y0 = np.floor(line.polygon.min(0)).astype(int) - reach
    x1, y1 = np.ceil(line.polygon.max(0)).astype(int) + reach + 1
    return slice(max(0, int(y0)), min(shape[0], int(y1))), slice(max(0, int(x0)), min(shape[1], int(x1)))


def _shifted(line: Line, window: tuple[slice, slice]) -> Line:
    offset = np.array([window[1].start, window[0].start], np.float32)
    return Line(line.polygon - offset, line.height_px)


def _line_strokes(image: U8, line: Line, inside_any: Bools) -> Bools:
    """The strokes of one line in a cut-out that holds it and its surroundings."""
    inside = polygon_mask(image.shape, [line])
    if not inside.any():
        return inside
    lab = _lab(image)
    seeds = _seeds(lab, _background(image, line.height_px), inside, inside_any)
    for _ in range(2):
        distance = _distance(lab, _smooth_background(lab, seeds, line.height_px))
        seeds, low = _hysteresis(distance, inside, inside_any)
        ratio = _colour_ratio(lab, seeds, ~inside_any)
        # A letter on a patch as dark as itself does not differ from its background; its exact colour still gives it away.
        seeds = (seeds & (ratio > 1.0)) | (inside & (ratio > TELLING_RATIO))
    share = seeds[inside].mean()
    if not LEAST_STROKE_SHARE <= share <= MOST_STROKE_SHARE and not line.is_tall:
        return inside
    return _grown(seeds, distance > low, inside, line.height_px)


def _lab(image: U8) -> F32:
    """CIELAB, L 0-100: distances near what the eye sees."""
    return cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)


def _background(image: U8, height_px: float) -> F32:
    """First guess: a median over a square of the line's height, of which strokes cover less than half."""
    # The median of 8-bit pixels costs the same for every kernel size; 255 is OpenCV's largest.
    side = min(255, max(5, int(height_px * 0.9) | 1))
    return _lab(cv2.medianBlur(image, side))


def _seeds(lab: F32, background: F32, inside: Bools, inside_any: Bools) -> Bools:
    distance = _distance(lab, background)
    return inside & (distance > max(_otsu(distance[inside]), 3.0 * _noise(distance, inside_any), 5.0))


def _smooth_background(lab: F32, strokes: Bools, height_px: float) -> F32:
    """The mean of the pixels near by that are not strokes, nor next to one."""
    reach = _reach_px(height_px)
    taken = cv2.dilate(strokes.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    weight = (~taken).astype(np.float32)
    sigma = max(2.0, height_px * 0.15)
    total = cv2.GaussianBlur(lab * weight[..., None], (0, 0), sigma)
    share = cv2.GaussianBlur(weight, (0, 0), sigma)
    wide_total = cv2.GaussianBlur(lab * weight[..., None], (0, 0), 4.0 * sigma)
    wide_share = cv2.GaussianBlur(weight, (0, 0), 4.0 * sigma)
    # Far from any background pixel the near mean is noise of nothing: the wide one takes over.
    return (total + 0.02 * wide_total) / np.maximum(share + 0.02 * wide_share, 1e-6)[..., None]


def _distance(lab: F32, background: F32) -> F32:
    return np.sqrt(np.square(lab - background).sum(-1))


def _noise(distance: F32, inside_any: Bools) -> float:
    """How far the background strays from its own estimate: the median outside all lines, as a deviation."""
    around = distance[~inside_any]
    return float(np.median(around)) * 1.2 if around.size >= 64 else 4.0


def _otsu(values: F32) -> float:
    """Otsu's threshold of `values`, in their unit."""
    scaled = np.clip(values * 2.0, 0, 255).astype(np.uint8).reshape(1, -1)
    threshold, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return threshold / 2.0


def _hysteresis(distance: F32, inside: Bools, inside_any: Bools) -> tuple[Bools, float]:
    """Pixels over the low threshold that touch one over the high; and the low threshold."""
    noise = _noise(distance, inside_any)
    high = max(_otsu(distance[inside]), 3.0 * noise, 6.0)
    low = min(max(2.2 * noise, 4.0), 0.7 * high)
    _, labels = cv2.connectedComponents((inside & (distance > 0.6 * high)).astype(np.uint8), connectivity=8)
    certain = np.unique(labels[inside & (distance > high)])
    kept = np.isin(labels, certain[certain > 0])
    return kept, low


def _colour_ratio(lab: F32, seeds: Bools, around: Bools) -> F32:
    """[H,W]: how many times likelier each pixel's colour is among the seeds than around the line."""
    cells = _colour_cells(lab)
    of_text, of_background = _histogram(cells[seeds]), _histogram(cells[around])
    return (of_text / (of_background + np.float32(1e-6)))[cells]


CELLS = 24
"""Cells per axis of the colour histogram: 5 units of L, 10 of a and b, which is a little under JPEG's colour noise."""


def _colour_cells(lab: F32) -> NDArray[np.intp]:
    """[H,W]: the index of each pixel's colour cell."""
    scaled = (lab + np.array([10.0, 120.0, 120.0], np.float32)) / np.array([5.0, 10.0, 10.0], np.float32)
    cell = np.clip(scaled, 0, CELLS - 1).astype(np.intp)
    return (cell[..., 0] * CELLS + cell[..., 1]) * CELLS + cell[..., 2]


def _histogram(cells: NDArray[np.intp]) -> F32:
    """[CELLS^3]: share of the pixels in each cell, smoothed by one cell; zero throughout for no pixels."""
    counts = np.bincount(cells, minlength=CELLS**3).astype(np.float32).reshape(CELLS, CELLS, CELLS)
    for axis in range(3):
        edges = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        padded = np.moveaxis(np.pad(counts, edges), axis, 0)
        counts = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return (counts / max(1, cells.size)).reshape(-1)


def _reach_px(height_px: float) -> int:
    """How far past a clear stroke its antialiasing, chroma bleeding (4:2:0 moves colour by 2 px), outline may run."""
    return int(np.clip(round(height_px * 0.06), 2, 6))


def _grown(strokes: Bools, differing: Bools, inside: Bools, height_px: float) -> Bools:
    """Strokes with their soft edges: all that differs within reach of a stroke, and 2 px more for compression ringing."""
    near = cv2.dilate(strokes.astype(np.uint8), _disc(_reach_px(height_px))) > 0
    whole = strokes | (near & differing)
    margin = 1 if height_px < 18 else 2
    grown = cv2.dilate(whole.astype(np.uint8), _disc(margin)) > 0
    # A polygon's edge may cut an antialiased edge, never a letter: growth may cross it by the margin.
    return grown & (cv2.dilate(inside.astype(np.uint8), _disc(margin + 2)) > 0)


def _disc(radius_px: int) -> U8:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2).astype(np.uint8)
