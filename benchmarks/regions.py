"""Pictures with masked regions of which it is known what they need: photographs with holes, and with captions over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.photograph import PATH, Pixels
from benchmarks.strokes import drawn, strokes

Bools = NDArray[np.bool_]

LOST_LEVELS = 4.0
"""A hole whose content differs by more than this (root mean square) from its copy at half the size needs full resolution."""
RADII_PX = (24, 65)
WINDOW_PX = 320
"""Side of what is compared around a hole."""
CAPTIONS = ("white text", "dark text", "text with a shadow")


@dataclass(frozen=True, slots=True)
class Region:
    """A masked region around (y, x), and what it needs: text removal, or inpainting at full resolution or less."""

    y: int
    x: int
    mask: Bools
    is_text: bool
    is_fine: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture as it was and as it is sent, both (h, w, 3), and its regions."""

    truth: Pixels
    image: Pixels
    regions: tuple[Region, ...]

    @property
    def mask(self) -> Pixels:
        """(h, w), 255 in all regions."""
        return np.any([region.mask for region in self.regions], axis=0).astype(np.uint8) * np.uint8(255)


def photographs(folder: Path | None, most: int) -> list[Pixels]:
    """Those in a folder; without one the photograph that ships. Each (h, w, 3)."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())[:most] if folder else [PATH]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def holes(photo: Pixels, number: int, seed: int) -> Scene:
    """At most `number` elliptic holes, each hidden under one colour: textured and smooth in turns, as far as the picture has
    such places."""
    rng = np.random.default_rng(seed)
    regions: list[Region] = []
    least = (WINDOW_PX // 2, WINDOW_PX // 2)
    most = photo.shape[0] - WINDOW_PX // 2, photo.shape[1] - WINDOW_PX // 2
    taken = np.zeros(photo.shape[:2], np.uint8)
    for trial in range(60 * number):
        y, x = (int(at) for at in rng.integers(least, most))
        if len(regions) == number or taken[y, x]:
            continue
        mask = np.zeros(photo.shape[:2], np.uint8)
        axes = int(rng.integers(*RADII_PX)), int(rng.integers(*RADII_PX))
        cv2.ellipse(mask, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
        is_fine = lost_levels(photo, mask > 0) > LOST_LEVELS
        if trial < 40 * number and is_fine != (len(regions) % 2 == 0):
            continue
        cv2.circle(taken, (x, y), WINDOW_PX, 255, -1)
        regions.append(Region(y, x, mask > 0, is_text=False, is_fine=is_fine))
    scene = Scene(photo, photo, tuple(regions))
    return Scene(photo, np.where(scene.mask[:, :, None] > 0, np.uint8(128), photo), scene.regions)


def captions(photo: Pixels, seed: int) -> Scene:
    """A caption over the photograph, masked as a brush would or with a box, and a hole in what it leaves free."""
    rng = np.random.default_rng(seed)
    height, width = photo.shape[:2]
    name = CAPTIONS[int(rng.integers(len(CAPTIONS)))]
    layer = next(stroke for stroke in strokes(height, width) if stroke.name == name)
    covered = layer.coverage > 0
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    box = (slice(max(0, int(rows[0]) - 8), int(rows[-1]) + 9), slice(max(0, int(columns[0]) - 8), int(columns[-1]) + 9))
    mask = np.zeros((height, width), np.uint8)
    if rng.random() < 0.5:
        mask[box] = 255
    else:
        mask = cv2.dilate(covered.astype(np.uint8) * np.uint8(255), np.ones((15, 15), np.uint8))
    text = Region(int(rows.mean()), int(columns.mean()), mask > 0, is_text=True, is_fine=False)
    free = [hole for hole in holes(photo, 3, seed).regions if abs(hole.y - text.y) > height // 5][:1]
    image = drawn(photo, [layer])
    for hole in free:
        image[hole.mask] = 128
    return Scene(photo, image, (text, *free))


def lost_levels(photo: Pixels, where: Bools) -> float:
    """What a copy at half the size does not show of the photograph where it is asked, root mean square of the grey levels."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_CUBIC)
    return float(np.sqrt(np.square(grey[where].astype(np.float32) - enlarged[where]).mean()))


def crop(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A part of a photograph, at most `side` px."""
    spans: Sequence[slice] = [
        slice(start, start + side) for start in (int(rng.integers(0, max(1, length - side))) for length in photo.shape[:2])
    ]
    return np.ascontiguousarray(photo[spans[0], spans[1]])
