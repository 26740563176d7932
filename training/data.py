"""Training photographs, decoded once into one flat uint8 file each for the truth and for its reduction."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.imaging import downscale

# Each photograph is also used at these fractions of its size: shrinking removes the traces of lossy coding and gives
# finer texture per pixel, nearer to what a small picture holds.
FRACTIONS = (1.0, 0.7, 0.5)


@dataclass(frozen=True)
class Pairs:
    """Whole pictures, high and low resolution, as views of two memory-mapped files."""

    scale: int
    high: list[NDArray[np.uint8]]  # [H * scale, W * scale, 3]
    low: list[NDArray[np.uint8]]  # [H, W, 3]

    def batch(self, rng: np.random.Generator, count: int, patch_px: int) -> tuple[NDArray, NDArray]:
        """`count` aligned patches: uint8 [N, P, P, 3] low and [N, P * scale, P * scale, 3] high.

        Pictures are drawn in proportion to their area; each patch gets one of the 8 flips and quarter turns.
        """
        areas = np.array([picture.shape[0] * picture.shape[1] for picture in self.low], np.float64)
        lows, highs = [], []
        for index in rng.choice(len(areas), count, p=areas / areas.sum()):
            height, width = self.low[index].shape[:2]
            y, x = int(rng.integers(height - patch_px + 1)), int(rng.integers(width - patch_px + 1))
            turns, is_flipped = int(rng.integers(4)), bool(rng.integers(2))
            for factor, pictures, patches in ((1, self.low, lows), (self.scale, self.high, highs)):
                window = (slice(y * factor, (y + patch_px) * factor), slice(x * factor, (x + patch_px) * factor))
                patch = np.rot90(pictures[index][window], turns)
                patches.append(patch[:, ::-1] if is_flipped else patch)
        return np.stack(lows), np.stack(highs)


def load_pairs(photos: Path, cache: Path, scale: int) -> Pairs:
    """Pairs of every photograph in `photos`, built into `cache` on first use (x2: 1.4 GB in all)."""
    folder = cache / f"x{scale}"
    if not (folder / "shapes.json").exists():
        _build(photos, folder, scale)
    shapes = json.loads((folder / "shapes.json").read_text())
    high = np.memmap(folder / "high.u8", np.uint8, "r")
    low = np.memmap(folder / "low.u8", np.uint8, "r")
    pairs = Pairs(scale, [], [])
    high_at = low_at = 0
    for height, width in shapes:
        low_size, high_size = height * width * 3, height * width * 3 * scale**2
        pairs.low.append(low[low_at : low_at + low_size].reshape(height, width, 3))
        pairs.high.append(high[high_at : high_at + high_size].reshape(height * scale, width * scale, 3))
        low_at, high_at = low_at + low_size, high_at + high_size
    return pairs


def _build(photos: Path, folder: Path, scale: int) -> None:
    """Writes high.u8 and low.u8, then shapes.json ((H, W) of each low picture): its presence means complete."""
    paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in {".webp", ".png", ".jpg"})
    if not paths:
        raise FileNotFoundError(f"no photographs in {photos}")
    folder.mkdir(parents=True, exist_ok=True)
    shapes = []
    with (folder / "high.u8").open("wb") as high_file, (folder / "low.u8").open("wb") as low_file:
        for path in paths:
            with Image.open(path) as opened:
                photo = opened.convert("RGB")
            for fraction in FRACTIONS:
                size = (round(photo.width * fraction), round(photo.height * fraction))
                resized = np.asarray(photo if fraction == 1 else photo.resize(size, Image.Resampling.BICUBIC))
                height, width = (side // scale for side in resized.shape[:2])
                high = np.ascontiguousarray(resized[: height * scale, : width * scale])
                high_file.write(high.tobytes())
                low_file.write(downscale(high, scale).tobytes())
                shapes.append((height, width))
    (folder / "shapes.json").write_text(json.dumps(shapes))
