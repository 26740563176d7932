"""A line of text as a layer: premultiplied RGBA, float32 [h, w, 4], colour 0-255 times alpha, alpha 0-1."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.text import fonts, words

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

cv2.setNumThreads(1)


@dataclass(frozen=True)
class Look:
    """How a line is drawn. Opacities 0-1, lengths in px, colours 0-255."""

    size_px: int
    opacity: float
    colours: tuple[F32, F32]  # from top to bottom or left to right; equal for one colour
    outline_px: int
    outline: F32
    shadow: tuple[float, float, float, float]  # opacity, blur, dx, dy
    shadow_colour: F32
    degrees: float
    bend: float  # rise of the line's middle, in its widths


def colour(rng: np.random.Generator) -> F32:
    """White, black, grey or anything: overlays are mostly neutral."""
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, rng.integers(225, 256), np.float32)
    if kind < 0.45:
        return np.full(3, rng.integers(0, 30), np.float32)
    if kind < 0.55:
        return np.full(3, rng.integers(30, 225), np.float32)
    return rng.integers(0, 256, 3).astype(np.float32)


def look(rng: np.random.Generator, size_px: int) -> Look:
    first = colour(rng)
    is_outlined, is_shadowed = rng.random() < 0.25, rng.random() < 0.25
    reach = max(1.0, size_px / 25)
    return Look(
        size_px=size_px,
        opacity=1.0 if rng.random() < 0.6 else float(rng.uniform(0.25, 0.9)),
        colours=(first, colour(rng) if rng.random() < 0.15 else first),
        outline_px=int(np.ceil(rng.uniform(0.3, 2.0) * reach)) if is_outlined else 0,
        outline=colour(rng),
        shadow=_shadow(rng, reach) if is_shadowed else (0.0, 0.0, 0.0, 0.0),
        shadow_colour=np.full(3, 0 if rng.random() < 0.8 else 255, np.float32),
        degrees=0.0 if rng.random() < 0.6 else float(rng.normal(0, 6) if rng.random() < 0.5 else rng.uniform(-90, 90)),
        bend=0.0 if rng.random() < 0.85 else float(rng.uniform(-0.25, 0.25)),
    )


def _shadow(rng: np.random.Generator, reach: float) -> tuple[float, float, float, float]:
    opacity = float(rng.uniform(0.3, 0.9))
    blur, dx, dy = reach * rng.uniform((0.0, 0.5, 0.5), (2.0, 2.5, 2.5))
    return opacity, float(blur), float(dx), float(dy)


def text_line(rng: np.random.Generator, split: str, look: Look, widest_px: int) -> F32:
    """One line in a script and font of the split, not much wider than `widest_px`."""
    script = str(rng.choice(list(words.SCRIPTS), p=list(words.SCRIPTS.values())))
    families = fonts.files(split, script)
    family = families[int(rng.integers(len(families)))]
    font = fonts.font(family[int(rng.integers(len(family)))], look.size_px)
    text = words.line(rng, script, max(2, round(1.8 * widest_px / look.size_px)))
    return styled(text, font, look)


def styled(text: str, font: ImageFont.FreeTypeFont, look: Look) -> F32:
    """`text` with its shadow, outline and fill, bent and turned."""
    opacity, blur, dx, dy = look.shadow
    margin = 2 + look.outline_px + round(3 * blur + max(dx, dy))
    box = font.getbbox(text, stroke_width=look.outline_px)
    width, height = (max(1, round(box[i + 2] - box[i])) + 2 * margin for i in (0, 1))
    at = (margin - box[0], margin - box[1])
    layer = np.zeros((height, width, 4), np.float32)
    letters = _coverage(text, font, (width, height), at, 0)
    whole = _coverage(text, font, (width, height), at, look.outline_px) if look.outline_px else letters
    if opacity:
        shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        shadow = cv2.warpAffine(whole, shift, (width, height))
        shadow = cv2.GaussianBlur(shadow, (0, 0), blur) if blur > 0.3 else shadow
        over(layer, shadow * opacity, look.shadow_colour)
    if look.outline_px:
        over(layer, whole, look.outline)
    over(layer, letters, _gradient(look.colours, height, width))
    return turned(_bent(layer * np.float32(look.opacity), look.bend), look.degrees)


def _coverage(text: str, font: ImageFont.FreeTypeFont, size: tuple[int, int], at: tuple[float, float], stroke_px: int) -> F32:
    drawn = Image.new("L", size)
    ImageDraw.Draw(drawn).text(at, text, 255, font, stroke_width=stroke_px)
    return np.asarray(drawn, np.float32) / np.float32(255)


def _gradient(colours: tuple[F32, F32], height: int, width: int) -> F32:
    if np.array_equal(*colours):
        return colours[0]
    along = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return colours[0] + (colours[1] - colours[0]) * along


def over(layer: F32, alpha: F32, colour: F32) -> None:
    """Porter and Duff's "over" (SIGGRAPH 1984), in place: `colour` at `alpha` [h, w] on top of the layer."""
    layer *= 1 - alpha[..., None]
    layer[..., :3] += alpha[..., None] * colour
    layer[..., 3] += alpha


def _bent(layer: F32, bend: float) -> F32:
    """The layer on a parabola whose middle stands `bend` of its width above its ends."""
    if not bend:
        return layer
    height, width = layer.shape[:2]
    rise = abs(bend) * width
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(round(height + rise), dtype=np.float32))
    arch = rise * (2 * x / width - 1) ** 2
    return cv2.remap(layer, x, y - (arch if bend > 0 else rise - arch).astype(np.float32), cv2.INTER_LINEAR)


def turned(layer: F32, degrees: float) -> F32:
    """The layer turned about its middle, on a canvas that holds it whole."""
    if not degrees:
        return layer
    height, width = layer.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cosine, sine = np.abs(matrix[0, :2])
    size = int(np.ceil(width * cosine + height * sine)), int(np.ceil(width * sine + height * cosine))
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return cv2.warpAffine(layer, matrix, size, flags=cv2.INTER_LINEAR)
