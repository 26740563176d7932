"""What looks like text and is not: railings, window grids, print-like patterns, cut-outs. Drawn into the clean picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


def disturb(rng: np.random.Generator, picture: U8, other: U8) -> U8:
    """`picture` [H, W, 3] with one pattern drawn in, or with a piece of `other` (of the same size) cut into it."""
    pattern = (railing, windows, print_like, cut_out)[int(rng.choice(4, p=(0.3, 0.15, 0.2, 0.35)))]
    return np.clip(np.rint(pattern(rng, picture.astype(np.float32), other)), 0, 255).astype(np.uint8)


def railing(rng: np.random.Generator, picture: np.ndarray, other: U8) -> np.ndarray:
    """Round bars at even distances, shaded across, in perspective, all the way through."""
    height, width = picture.shape[:2]
    pitch, share = rng.uniform(8, 60), rng.uniform(0.15, 0.5)
    lean, spread = rng.normal(0, 0.15), rng.normal(0, 0.0015)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if rng.random() < 0.3:
        x, y = y, x
    across = ((x - width / 2) * (1 + spread * y) + lean * y + rng.uniform(0, pitch)) / pitch
    within = (across % 1) / share  # 0-1 on a bar
    paint = rng.integers(0, 256, 3) * (0.6 + 0.4 * np.sin(np.pi * within + rng.uniform(-0.8, 0.8)))[..., None]
    edge = 1.0 / (pitch * share)
    cover = np.clip(np.minimum(within, 1 - within) / edge, 0, 1)[..., None] * (within < 1)[..., None]
    return picture + cover * (paint + rng.normal(0, 4, paint.shape) - picture)


def windows(rng: np.random.Generator, picture: np.ndarray, other: U8) -> np.ndarray:
    """A front with rows of windows in which `other` is seen."""
    height, width = picture.shape[:2]
    cell_h, cell_w = rng.integers(14, 90, 2)
    gap_h, gap_w = max(2, round(cell_h * rng.uniform(0.1, 0.5))), max(2, round(cell_w * rng.uniform(0.1, 0.5)))
    y, x = np.mgrid[0:height, 0:width]
    glass = ((y % cell_h >= gap_h) & (x % cell_w >= gap_w)).astype(np.float32)
    matrix = np.float32([[1, rng.normal(0, 0.1), 0], [rng.normal(0, 0.1), 1, 0]])
    glass = cv2.warpAffine(glass, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)[..., None]
    dark = other * rng.uniform(0.2, 0.9)
    return picture * (1 - glass) + dark * glass


def print_like(rng: np.random.Generator, picture: np.ndarray, other: U8) -> np.ndarray:
    """Cloth or wallpaper: stripes, checks or dots of one colour, modulated by the light of the picture."""
    height, width = picture.shape[:2]
    pitch, angle = rng.uniform(4, 40), rng.uniform(0, np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = (x * np.cos(angle) + y * np.sin(angle)) / pitch, (y * np.cos(angle) - x * np.sin(angle)) / pitch
    across, along = np.sin(2 * np.pi * u), np.sin(2 * np.pi * v)
    wave = (across, across * along, across + along - 1)[int(rng.integers(3))]
    ink = np.clip(wave * pitch / 6 + 0.5, 0, 1)[..., None] * rng.uniform(0.3, 1)
    light = cv2.GaussianBlur(picture.mean(2), (0, 0), 6)[..., None] / 128
    return picture * (1 - ink) + ink * rng.integers(0, 256, 3) * light


def cut_out(rng: np.random.Generator, picture: np.ndarray, other: U8) -> np.ndarray:
    """A product shot: a sharp-edged piece of another photograph, or of plain paper, laid on this one."""
    height, width = picture.shape[:2]
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
    reach = rng.uniform(0.1, 0.6, len(angles))[:, None] * (width, height)
    corners = rng.uniform(0, 1, 2) * (width, height) + reach * np.stack([np.cos(angles), np.sin(angles)], 1)
    shape = np.zeros((height, width), np.uint8)
    cv2.fillPoly(shape, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    alpha = shape[..., None].astype(np.float32) / 255
    piece = other.astype(np.float32) if rng.random() < 0.6 else rng.integers(0, 256, 3) + rng.normal(0, 2, picture.shape)
    return picture * (1 - alpha) + piece * alpha
