"""Strokes drawn on a picture whose truth is known, and masks of them: exact, grown, soft."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.photograph import Pixels

F32 = NDArray[np.float32]

FINER = 4
"""Drawn this many times larger and averaged down: coverage to 1/16, as a renderer's antialiasing has it."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """Something drawn: coverage (h, w) 0 to 1, antialiased; where it is 1, `opacity` of the picture is `colour`."""

    name: str
    coverage: F32
    colour: tuple[int, int, int]
    opacity: float = 1.0

    def over(self, picture: F32) -> F32:
        """The picture (h, w, 3) with the stroke on it."""
        share = (self.coverage * self.opacity)[:, :, None]
        return picture + share * (np.array(self.colour, np.float32) - picture)

    def full(self, picture: F32) -> F32:
        """What the picture would be if the stroke covered all of it."""
        return picture + self.opacity * (np.array(self.colour, np.float32) - picture)


def strokes(height: int, width: int) -> list[Stroke]:
    """Captions, lines and a shadow, from top to bottom: light and dark, thin and thick, solid and half transparent."""
    at = [round(height * share) for share in (0.03, 0.2, 0.37, 0.56, 0.72, 0.88)]
    left = width // 16
    caption = _text(height, width, "Autumn sale", (left, at[3]), height // 7)
    shadow = cv2.GaussianBlur(np.roll(caption, (4, 4), (0, 1)), (0, 0), 2.0)
    return [
        Stroke("white text", _text(height, width, "Fresh & new 50%", (left, at[0]), height // 9), (255, 255, 255)),
        Stroke("dark text", _text(height, width, "small print, thin strokes", (left, at[1]), height // 15), (20, 20, 25)),
        Stroke("glass text", _text(height, width, "DEMO", (left, at[2]), height // 6), (255, 255, 255), 0.5),
        Stroke("shadow", shadow * (1 - caption), (0, 0, 0), 0.6),
        Stroke("text with a shadow", caption, (250, 220, 40)),
        Stroke("red line", _line(height, width, at[4] + height // 14, 5.0), (220, 20, 30)),
        Stroke("hairline", _line(height, width, at[5] + height // 20, 1.5), (10, 60, 200)),
    ]


def drawn(picture: Pixels, layers: list[Stroke]) -> Pixels:
    """The picture with all strokes on it."""
    result = picture.astype(np.float32)
    for layer in layers:
        result = layer.over(result)
    return np.rint(result).astype(np.uint8)


def masks(coverage: F32) -> dict[str, Pixels]:
    """Masks (h, w) of what is covered. Exact: all that is covered at all, antialiased rim included; or the coverage itself."""
    exact = np.where(coverage >= 0.5 / 255, 255, 0).astype(np.uint8)
    return {
        "exact": exact,
        "coverage": np.rint(coverage * 255).astype(np.uint8),
        **{f"grown {radius}": _grown(exact, radius) for radius in (2, 4, 8)},
        "feathered": cv2.GaussianBlur(exact, (0, 0), 2.0),
        "grown and feathered": cv2.GaussianBlur(_grown(exact, 4), (0, 0), 3.0),
    }


def _grown(mask: Pixels, radius: int) -> Pixels:
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))


def _text(height: int, width: int, text: str, place: tuple[int, int], size: int) -> F32:
    canvas = Image.new("L", (width * FINER, height * FINER))
    font = ImageFont.load_default(size * FINER)
    ImageDraw.Draw(canvas).text((place[0] * FINER, place[1] * FINER), text, 255, font)
    return _averaged(np.asarray(canvas))


def _line(height: int, width: int, y: int, thickness: float) -> F32:
    x = np.linspace(width * 0.06, width * 0.94, 80)
    points = np.stack([x, y + height * 0.03 * np.sin(x / width * 12)], axis=1) * FINER
    canvas = np.zeros((height * FINER, width * FINER), np.uint8)
    cv2.polylines(canvas, [np.rint(points).astype(np.int32)], False, 255, round(thickness * FINER))
    return _averaged(canvas)


def _averaged(canvas: Pixels) -> F32:
    size = (canvas.shape[1] // FINER, canvas.shape[0] // FINER)
    return cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
