"""Pictures made from nothing: textures, captions, holes. Seeded."""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0) -> U8:
    """[H,W,3] uint8: a coloured gradient with soft blotches and fine grain, without an edge in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = np.stack([90 + 60 * x / width, 120 + 40 * y / height, 150 - 50 * x / width], -1)
    blotches = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 9.0)
    blotches *= 12.0 / max(float(blotches.std()), 1e-6)
    grain = rng.normal(0, 3, (height, width, 3))
    return np.clip(np.rint(base + blotches[..., None] + grain), 0, 255).astype(np.uint8)


def captioned(picture: U8, text: str = "Fresh 50%", colour: int = 255, outlined: bool = False) -> tuple[U8, U8]:
    """A copy with a caption across its middle, and the pixels [H,W] uint8 that the caption changed by over 12 levels."""
    drawn = picture.copy()
    place = (picture.shape[1] // 12, picture.shape[0] // 2 + 15)
    for thickness, grey in ((8, 255 - colour), (3, colour)) if outlined else ((3, colour),):
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.5, (grey,) * 3, thickness, cv2.LINE_AA)
    changed = np.abs(drawn.astype(int) - picture).max(-1) > 12
    return drawn, changed.astype(np.uint8) * 255


def text_box(changed: U8) -> U8:
    """[H,W,1] uint8: what a detector would answer: 255 in the caption's rectangle, shrunk as PP-OCR shrinks its lines."""
    ys, xs = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    inset = (ys[-1] - ys[0]) // 4
    found = np.zeros((*changed.shape, 1), np.uint8)
    found[ys[0] + inset : ys[-1] + 1 - inset, xs[0] + inset : xs[-1] + 1 - inset] = 255
    return found


def full_mask(picture: U8, value: int = 255) -> U8:
    return np.full((*picture.shape[:2], 1), value, np.uint8)


def disc_mask(height: int, width: int, radius: int) -> U8:
    mask = np.zeros((height, width, 1), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), radius, 255, -1)
    return mask


def marked(places: list[tuple[int, int]], opacity: float = 0.5, seed: int = 0) -> tuple[U8, list[NDArray[np.bool_]]]:
    """A texture of 384 px with half-transparent marks at (y, x), and where each stands."""
    plain = texture(384, 384, seed).astype(np.float32)
    marks = []
    for y, x in places:
        mark = np.zeros((384, 384), np.uint8)
        cv2.putText(mark, "SAMPLE", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255,), 2)
        marks.append(mark > 0)
        plain[mark > 0] = plain[mark > 0] * (1 - opacity) + 255 * opacity
    return np.rint(plain).astype(np.uint8), marks


LATTICE = [(y + x // 8, x) for y in range(-40, 400, 70) for x in range(-102, 384, 110)]
"""Places of a watermark that covers a picture of 384 px, its rows turned a little."""
