"""Training photographs: decoded once, kept whole in memory or on a GPU, and cut into crops there.

Whoever trains on a GPU is held up by what cuts its crops; so they are gathered by index where the pixels lie.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

U8 = NDArray[np.uint8]

# Each photograph is also used at these fractions of its size: shrinking removes the traces of lossy coding and gives
# finer texture per pixel, nearer to what a small picture holds.
FRACTIONS = (1.0, 0.7, 0.5)


def load_photos(folder: Path, cache: Path, workers: int = 2) -> list[U8]:
    """Every photograph of `folder` in name order, each at all FRACTIONS in turn, memory-mapped, [H, W, 3].

    Decoded into `cache` on first use (1.1 GB).
    """
    if not (cache / "shapes.json").exists():
        _build(folder, cache, workers)
    shapes = json.loads((cache / "shapes.json").read_text())
    pixels, pictures, at = np.memmap(cache / "photos.u8", np.uint8, "r"), [], 0
    for height, width in shapes:
        pictures.append(pixels[at : at + height * width * 3].reshape(height, width, 3))
        at += height * width * 3
    return pictures


def _build(folder: Path, cache: Path, workers: int) -> None:
    """Writes photos.u8, then shapes.json ((H, W) of each picture): its presence means complete."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".webp", ".png", ".jpg"})
    if not paths:
        raise FileNotFoundError(f"no photographs in {folder}")
    cache.mkdir(parents=True, exist_ok=True)
    shapes = []
    with (cache / "photos.u8").open("wb") as file, ProcessPoolExecutor(workers) as pool:
        for sizes in pool.map(_decoded, paths):
            for picture in sizes:
                file.write(picture.tobytes())
                shapes.append(picture.shape[:2])
    (cache / "shapes.json").write_text(json.dumps(shapes))


def _decoded(path: Path) -> list[U8]:
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    sizes = [(round(photo.width * fraction), round(photo.height * fraction)) for fraction in FRACTIONS]
    return [np.asarray(photo if size == photo.size else photo.resize(size, Image.Resampling.BICUBIC)) for size in sizes]


class Photos:
    """All pixels in one tensor on `device`; crops of it by index."""

    def __init__(self, pictures: list[U8], device: torch.device | str = "cpu") -> None:
        """pictures: [H, W, 3] each; they are copied."""
        self.pixels = torch.empty(sum(picture.size for picture in pictures), dtype=torch.uint8, device=device)
        self.sizes = np.array([picture.shape[:2] for picture in pictures])
        self.starts = np.concatenate([[0], np.cumsum(self.sizes.prod(1) * 3)[:-1]])
        for start, picture in zip(self.starts, pictures, strict=True):
            self.pixels[start : start + picture.size] = torch.from_numpy(np.array(picture).ravel())

    def crops(self, rng: np.random.Generator, count: int, side_px: int) -> Tensor:
        """`count` squares, uint8 [N, 3, side_px, side_px], each in one of the 8 flips and quarter turns.

        Pictures are drawn in proportion to the number of places that a crop may have in them.
        """
        places = np.maximum(self.sizes - side_px + 1, 0).prod(1).astype(np.float64)
        chosen = rng.choice(len(places), count, p=places / places.sum())
        corners = rng.integers(self.sizes[chosen] - side_px + 1)
        rows = np.arange(side_px)
        y, x = (np.where(rng.random((count, 1)) < 0.5, rows, rows[::-1]) + corners[:, [axis]] for axis in (0, 1))
        device, turned = self.pixels.device, torch.from_numpy(rng.random(count) < 0.5)
        stride = self.sizes[chosen, 1:] * 3
        row_at, column_at = (torch.from_numpy(part).to(device) for part in (y * stride + self.starts[chosen, None], x * 3))
        at = row_at[:, None, :, None] + column_at[:, None, None, :] + torch.arange(3, device=device)[:, None, None]
        found = self.pixels[at]
        return torch.where(turned.to(device)[:, None, None, None], found.transpose(2, 3), found)
