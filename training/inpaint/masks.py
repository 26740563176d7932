"""Random holes: strokes, blobs and boxes."""

import cv2
import numpy as np
from numpy.typing import NDArray

KINDS = ("strokes", "blobs", "boxes")


def hole(rng: np.random.Generator, side_px: int, kind: str, share: float) -> NDArray[np.uint8]:
    """uint8 [S, S], 255 in the hole, whose pixels are about `share` of the window (0.8 to 1.2 of it).

    Shapes are added until the share is reached; one that would overshoot is drawn anew, smaller.
    """
    mask = np.zeros((side_px, side_px), np.uint8)
    target = share * side_px**2
    size = float(np.sqrt(target))
    for attempt in range(200):
        left = target - np.count_nonzero(mask)
        if left < 0.2 * target:
            break
        trial = mask.copy()
        _DRAW[kind](rng, trial, size * 0.97**attempt)
        if np.count_nonzero(trial) <= 1.2 * target:
            mask = trial
    return mask


def _strokes(rng: np.random.Generator, mask: NDArray[np.uint8], size: float) -> None:
    """One freehand stroke: a walk whose direction drifts."""
    side = mask.shape[0]
    thickness = max(2, round(rng.uniform(0.04, 0.25) * size))
    point = rng.uniform(0, side, 2)
    angle = rng.uniform(0, 2 * np.pi)
    points = [point]
    for _ in range(int(rng.integers(2, 9))):
        angle += rng.normal(0, 0.7)
        point = point + rng.uniform(0.1, 0.5) * size * np.array([np.cos(angle), np.sin(angle)])
        points.append(point)
    cv2.polylines(mask, [np.round(points).astype(np.int32)], False, 255, thickness, cv2.LINE_8)


def _blobs(rng: np.random.Generator, mask: NDArray[np.uint8], size: float) -> None:
    """One round shape with a wavy outline."""
    side = mask.shape[0]
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(turns)
    for wave in range(2, 6):
        radius += rng.normal(0, 0.3 / wave) * np.cos(wave * turns + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.3) * rng.uniform(0.2, 0.55) * size
    stretch = rng.uniform(0.6, 1.6)
    around = np.stack([np.cos(turns) * radius * stretch, np.sin(turns) * radius / stretch], 1)
    cv2.fillPoly(mask, [np.round(rng.uniform(0, side, 2) + around).astype(np.int32)], 255)


def _boxes(rng: np.random.Generator, mask: NDArray[np.uint8], size: float) -> None:
    """One upright rectangle, whole within the window."""
    side = mask.shape[0]
    area = (rng.uniform(0.5, 1.05) * size) ** 2
    aspect = np.exp(rng.uniform(-1, 1))
    height, width = (int(np.clip(round(length), 2, side - 1)) for length in (np.sqrt(area / aspect), np.sqrt(area * aspect)))
    y, x = int(rng.integers(side - height)), int(rng.integers(side - width))
    mask[y : y + height, x : x + width] = 255


_DRAW = {"strokes": _strokes, "blobs": _blobs, "boxes": _boxes}
