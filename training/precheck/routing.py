"""What routing by the texture score costs and saves: fills at full size where it says "too fine", else at half size."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

U8 = NDArray[np.uint8]
Fill = Callable[[U8, U8], U8]
Score = Callable[[U8, NDArray[np.bool_]], float]
SEED, WINDOW_PX, HOLES_A_PHOTO = 7, 320, 3


@dataclass(frozen=True)
class Routing:
    """Mean SSIM of the windows by always full size, always half size, and routed; share of time saved."""

    full: float
    half: float
    routed: float
    saved: float
    sent_to_full: float


def measure(photos: list[U8], fill: Fill, score: Score, holes: int = HOLES_A_PHOTO) -> Routing:
    """Holes of 24 to 64 px radius in windows of the photographs; the score sees the window at half size."""
    rng, rows = np.random.default_rng(SEED), []
    for photo in photos:
        for _ in range(holes):
            y, x = (int(rng.integers(size - WINDOW_PX + 1)) for size in photo.shape[:2])
            window = np.ascontiguousarray(photo[y : y + WINDOW_PX, x : x + WINDOW_PX])
            mask = np.zeros((WINDOW_PX, WINDOW_PX, 1), np.uint8)
            axes = tuple(int(v) for v in rng.integers(24, 65, 2))
            cv2.ellipse(mask, (WINDOW_PX // 2, WINDOW_PX // 2), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
            rows.append(_one(window, mask, fill, score))
    full, half, full_s, half_s, is_fine = np.array(rows, np.float64).T
    routed = np.where(is_fine > 0, full, half)
    seconds = np.where(is_fine > 0, full_s, half_s)
    return Routing(full.mean(), half.mean(), routed.mean(), 1 - seconds.sum() / full_s.sum(), is_fine.mean())


def _one(window: U8, mask: U8, fill: Fill, score: Score) -> tuple[float, float, float, float, bool]:
    hole = mask[..., 0] > 0
    started = time.process_time()
    at_full = fill(window, mask)
    between = time.process_time()
    size = (WINDOW_PX // 2, WINDOW_PX // 2)
    small = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0
    filled = cv2.resize(
        fill(small, small_hole[..., None].view(np.uint8) * 255), window.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    at_half = np.where(hole[..., None], filled, window)
    ended = time.process_time()
    is_fine = score(small, small_hole) >= 0.5
    return _ssim(at_full, window), _ssim(at_half, window), between - started, ended - between, is_fine


def _ssim(result: U8, truth: U8) -> float:
    """Wang et al., IEEE TIP 2004, as scikit-image has it."""
    return float(structural_similarity(truth, result, channel_axis=2, data_range=255))
