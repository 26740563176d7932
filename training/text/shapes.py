"""Logos and lines, as layers like those of layers.py: what stands beside overlay text and goes with it."""

import cv2
import numpy as np

from training.text.layers import F32, Look, colour, over, turned

SHIFT = 4  # OpenCV's fixed-point bits of a coordinate


def logo(rng: np.random.Generator, look: Look) -> F32:
    """A mark `look.size_px` across: a disc, ring, star, polygon, rounded bars or an arc, of one or two colours."""
    side = look.size_px + 4
    layer = np.zeros((side, side, 4), np.float32)
    for paint in (look.colours[0], look.outline)[: 1 + int(rng.random() < 0.5)]:
        drawn = np.zeros((side, side), np.uint8)
        _mark(rng, drawn)
        over(layer, drawn.astype(np.float32) / 255, paint)
    return turned(layer * np.float32(look.opacity), look.degrees)


def _mark(rng: np.random.Generator, drawn: np.ndarray) -> None:
    side = drawn.shape[0]
    centre, radius = np.array([side / 2, side / 2]), side / 2 - 2
    thick = max(1, round(side * float(rng.uniform(0.04, 0.2))))
    kind = int(rng.integers(5))
    if kind == 0:
        _ellipse(drawn, centre, radius * rng.uniform(0.5, 1, 2), 0, 360, -1 if rng.random() < 0.5 else thick)
    elif kind == 1:
        start = rng.uniform(0, 360)
        _ellipse(drawn, centre, radius * rng.uniform(0.5, 0.9, 2), start, start + rng.uniform(60, 300), thick)
    elif kind == 2:
        corners = int(rng.integers(3, 13))
        reach = np.where(np.arange(corners) % 2, rng.uniform(0.4, 1), 1) * radius
        angles = 2 * np.pi * np.arange(corners) / corners
        _polygon(drawn, centre + reach[:, None] * np.stack([np.sin(angles), -np.cos(angles)], 1))
    elif kind == 3:
        _polygon(drawn, centre + radius * rng.uniform(-1, 1, (int(rng.integers(3, 6)), 2)))
    else:
        count = int(rng.integers(2, 5))
        for i in range(count):
            left = 2 + i * (side - 4) / count
            top = 2 + (side - 4) * rng.uniform(0, 0.6)
            right = left + (side - 4) / count * rng.uniform(0.4, 0.8)
            _polygon(drawn, np.array([[left, top], [right, top], [right, side - 2], [left, side - 2]]))


def _ellipse(drawn: np.ndarray, centre: np.ndarray, axes: np.ndarray, start: float, end: float, thick: int) -> None:
    fixed = [tuple(np.rint(v * 2**SHIFT).astype(int).tolist()) for v in (centre, axes - max(0, thick) / 2)]
    axes_fixed = tuple(max(1, v) for v in fixed[1])
    cv2.ellipse(drawn, fixed[0], axes_fixed, 0, start, end, 255, thick, cv2.LINE_AA, SHIFT)


def _polygon(drawn: np.ndarray, corners: np.ndarray) -> None:
    cv2.fillPoly(drawn, [np.rint(corners * 2**SHIFT).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)


def with_rule(rng: np.random.Generator, layer: F32) -> F32:
    """The layer underlined, struck through or framed by thin lines."""
    thick = int(rng.integers(1, max(2, min(9, layer.shape[0] // 10) + 1)))
    framed = cv2.copyMakeBorder(layer, *(2 * thick + 2,) * 4, cv2.BORDER_CONSTANT, value=0)
    drawn = np.zeros(framed.shape[:2], np.uint8)
    kind, right, bottom = int(rng.integers(3)), framed.shape[1] - 1 - thick, framed.shape[0] - 1 - thick
    if kind == 0:
        cv2.rectangle(drawn, (thick, thick), (right, bottom), 255, thick, cv2.LINE_AA)
    else:
        y = bottom if kind == 1 else framed.shape[0] // 2
        cv2.line(drawn, (thick, y), (right, y), 255, thick, cv2.LINE_AA)
    over(framed, drawn.astype(np.float32) / 255 * max(0.3, float(layer[..., 3].max())), colour(rng))
    return framed
