"""Draws overlay text on photographs: sample(photos, split, seed, index, side_px) is the same bytes every time.

A sample holds the composited picture, the clean one, which pixels the strokes changed and the area that a person would
mask. Compression after drawing goes over both pictures alike, so that they differ by the overlay alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.text import layers, patterns, shapes

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

VISIBLE_LEVELS = 8
"""A pixel belongs to a stroke if the overlay changed one of its channels by more than this, before compression."""

LEGIBLE_LEVELS = 30
"""Mean change under which an overlay is drawn in the opposite colours instead."""


@dataclass(frozen=True)
class Sample:
    """composited, clean [H, W, 3] uint8; strokes [H, W] bool; alpha [H, W] float32 0-1; area [H, W] bool."""

    composited: U8
    clean: U8
    strokes: NDArray[np.bool_]
    alpha: F32
    area: NDArray[np.bool_]


def sample(photos: list[U8], split: str, seed: int, index: int, side_px: int, text_share: float = 0.75) -> Sample:
    """Sample `index` of `seed`: a square crop of one photograph, with probability `text_share` with overlays on it."""
    rng = np.random.default_rng((seed, index))
    clean = crop(rng, photos, side_px)
    has_text = rng.random() < text_share
    if rng.random() < (0.15 if has_text else 0.5):
        clean = patterns.disturb(rng, clean, crop(rng, photos, side_px))
    if rng.random() < 0.25:
        clean = compressed(clean, int(rng.integers(50, 96)))
    if has_text and rng.random() < 0.1:
        clean = _with_plate(rng, clean)
    layer, area = overlay(rng, split, side_px) if has_text else _nothing(side_px)
    _keep_legible(layer, clean)
    return finish(rng, clean, layer, area)


def finish(rng: np.random.Generator, clean: U8, layer: F32, area: NDArray[np.bool_]) -> Sample:
    """The layer laid on the clean picture, and, half of the time, both compressed."""
    alpha = np.ascontiguousarray(layer[..., 3])
    mixed = clean * (1 - alpha[..., None]) + layer[..., :3]
    composited = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    strokes = np.abs(composited.astype(np.int16) - clean).max(2) > VISIBLE_LEVELS
    if rng.random() < 0.5:
        quality = int(rng.integers(55, 97))
        composited, clean = compressed(composited, quality), compressed(clean, quality)
    return Sample(composited, clean, strokes, alpha, area)


def _keep_legible(layer: F32, clean: U8) -> None:
    """Inverts the layer's colours, in place, where it would hardly be seen: overlays are meant to be read."""
    inked = layer[..., 3] > 0.2
    change = np.abs(layer[..., :3] - layer[..., 3:] * clean)[inked].max(1)
    if change.size and float(change.mean()) < LEGIBLE_LEVELS:
        layer[..., :3] = 255 * layer[..., 3:] - layer[..., :3]


def crop(rng: np.random.Generator, photos: list[U8], side_px: int) -> U8:
    """A square of a photograph, flipped or turned; photographs in proportion to their area."""
    areas = np.array([photo.shape[0] * photo.shape[1] for photo in photos], np.float64)
    photo = photos[int(rng.choice(len(photos), p=areas / areas.sum()))]
    y, x = (int(rng.integers(size - side_px + 1)) for size in photo.shape[:2])
    piece = np.rot90(photo[y : y + side_px, x : x + side_px], int(rng.choice(4, p=(0.7, 0.1, 0.1, 0.1))))
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)


def compressed(picture: U8, quality: int) -> U8:
    """Through JPEG and back, as OpenCV writes it (4:2:0)."""
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def overlay(rng: np.random.Generator, split: str, side_px: int) -> tuple[F32, NDArray[np.bool_]]:
    """A canvas with one to three blocks of overlay, and the blocks' boxes as an area."""
    canvas, area = _nothing(side_px)
    if rng.random() < 0.15:
        _watermark(rng, split, canvas, area)
        return canvas, area
    for _ in range(int(rng.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))):
        size_px = int(np.exp(rng.uniform(np.log(10), np.log(200))))
        look = layers.look(rng, size_px)
        if rng.random() < 0.12:
            _place(rng, canvas, area, shapes.logo(rng, look))
            continue
        lines = [layers.text_line(rng, split, look, side_px) for _ in range(int(rng.integers(1, 4)) if size_px < 60 else 1)]
        if rng.random() < 0.12:
            lines[-1] = shapes.with_rule(rng, lines[-1])
        _place(rng, canvas, area, _stacked(lines))
    return canvas, area


def _nothing(side_px: int) -> tuple[F32, NDArray[np.bool_]]:
    return np.zeros((side_px, side_px, 4), np.float32), np.zeros((side_px, side_px), bool)


def _stacked(lines: list[F32]) -> F32:
    width = max(line.shape[1] for line in lines)
    return np.concatenate([np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0))) for line in lines])


def _place(rng: np.random.Generator, canvas: F32, area: NDArray[np.bool_], layer: F32) -> None:
    """The layer somewhere on the canvas; what is larger than the canvas is seen in part."""
    at = [int(rng.integers(min(0, room), max(0, room) + 1)) for room in np.subtract(canvas.shape[:2], layer.shape[:2])]
    paste(canvas, area, layer, at[0], at[1])


def paste(canvas: F32, area: NDArray[np.bool_], layer: F32, y: int, x: int) -> None:
    """The layer over the canvas [H, W, 4], in place, its upper left corner at (y, x); its box joins the area [H, W]."""
    top, left = max(0, -y), max(0, -x)
    piece = layer[top : canvas.shape[0] - y, left : canvas.shape[1] - x]
    if not piece.size:
        return
    there = slice(y + top, y + top + piece.shape[0]), slice(x + left, x + left + piece.shape[1])
    canvas[there] = canvas[there] * (1 - piece[..., 3:]) + piece
    area[there] = True


def _watermark(rng: np.random.Generator, split: str, canvas: F32, area: NDArray[np.bool_]) -> None:
    """One mark, half-transparent, again and again over the whole canvas."""
    side_px = canvas.shape[0]
    look = layers.look(rng, int(np.exp(rng.uniform(np.log(12), np.log(60)))))
    mark = layers.text_line(rng, split, look, side_px // 2) * np.float32(rng.uniform(0.15, 0.7) / look.opacity)
    height, width = mark.shape[:2]
    step_y, step_x = height + int(rng.integers(4, 60)), width + int(rng.integers(4, 60))
    shift = int(rng.integers(step_x)) if rng.random() < 0.5 else 0
    for row, y in enumerate(range(-int(rng.integers(step_y)), side_px, step_y)):
        for x in range(-step_x + row * shift % step_x, side_px, step_x):
            paste(canvas, area, mark, y, x)


def _with_plate(rng: np.random.Generator, clean: U8) -> U8:
    """A see-through plate, as captions stand on. It belongs to the clean picture: letters go, plates stay."""
    side_px = clean.shape[0]
    plate = clean.astype(np.float32)
    (y0, y1), (x0, x1) = (np.sort(rng.integers(0, side_px, 2)) for _ in range(2))
    opacity = rng.uniform(0.3, 1.0)
    plate[y0:y1, x0:x1] = plate[y0:y1, x0:x1] * (1 - opacity) + opacity * layers.colour(rng)
    return np.rint(plate).astype(np.uint8)
