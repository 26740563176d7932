"""Trains text_removal: `python -m training.text.train --minutes 10 --device cuda --batch 32 --workers 12`.

The strokes: binary cross-entropy and Dice (Milletari et al., 3DV 2016). The fill: L1, and a little LPIPS so that letters do
not stay as smooth ghosts, where strokes are or were found; it does not move the strokes. Sample n is drawn from (seed, n)
alone and resuming is by itself, as in training/upscale/train.py.
"""

import argparse
import csv
import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d
from torch.utils.data import DataLoader, Dataset

from training.data import FRACTIONS, load_photos
from training.loop import Run, arguments, prepared, rate, run_until
from training.perceptual import Perceptual
from training.text.detection import HintMaker
from training.text.generator import sample
from training.text.network import TextRemover

PEAK_RATE = 1.5e-3
PATCH_PX = 256
log = logging.getLogger("train")


def photographs(data: Path, runs: Path, least_px: int = PATCH_PX) -> list[NDArray[np.uint8]]:
    """The training photographs without text of their own, each in several sizes from `least_px` on, memory-mapped."""
    folder = data / "photos" / "train"
    with (data / "LICENCES.csv").open() as listed:
        with_text = {Path(row["file"]).name for row in csv.DictReader(listed) if row["scene_text"] == "1"}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".webp", ".png", ".jpg"})
    pictures = load_photos(folder, runs / "cache")
    kept = [picture for i, picture in enumerate(pictures) if paths[i // len(FRACTIONS)].name not in with_text]
    return [picture for picture in kept if min(picture.shape[:2]) >= least_px]


class Samples(Dataset):
    """Sample `index`: composited and clean [3, P, P] uint8, strokes [1, P, P] uint8."""

    def __init__(self, photos: list[NDArray[np.uint8]], seed: int, first: int, count: int) -> None:
        self.photos, self.seed, self.first, self.count = photos, seed, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        drawn = sample(self.photos, "train", self.seed, self.first + index, PATCH_PX)
        pictures = (drawn.composited, drawn.clean, drawn.strokes[..., None])
        return tuple(torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)).astype(np.uint8)) for part in pictures)


def stroke_losses(logits: Tensor, strokes: Tensor) -> dict[str, Tensor]:
    """Of the logits and the truth, both [N, 1, H, W]."""
    found = torch.sigmoid(logits)
    overlap = 2 * (found * strokes).sum() + 1
    return {
        "cross_entropy": binary_cross_entropy_with_logits(logits, strokes),
        "dice": 1 - overlap / (found.sum() + strokes.sum() + 1),
    }


def losses(model: TextRemover, hints_of: HintMaker, perceptual: Perceptual, batch: list[Tensor]) -> dict[str, Tensor]:
    """Of the strokes, and of the fill under the strokes as they are found."""
    hints = hints_of(batch[0]).float() / 255
    composited, clean, strokes = (part.float() for part in batch)
    image, clean = ((part / 255).contiguous(memory_format=torch.channels_last) for part in (composited, clean))
    with torch.autocast(image.device.type, torch.bfloat16):
        logits, features = model.find(image, hints)
        filled = model.fill_in(image, logits.detach(), features)
    found = torch.sigmoid(logits)
    where = max_pool2d(torch.maximum(strokes, (found.detach() > 0.4).float()), 5, 1, 2)
    with torch.autocast(image.device.type, torch.bfloat16):
        distance = perceptual(torch.lerp(clean, filled, where), clean) / (where.mean() + 0.01)
    return stroke_losses(logits, strokes) | {
        "fill": ((filled - clean).abs() * where).sum() / (3 * where.sum() + 1),
        "LPIPS": distance,
    }


WEIGHTS = {"cross_entropy": 1.0, "dice": 1.0, "fill": 4.0, "LPIPS": 0.1}


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    path = options.runs / "text_removal" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = photographs(options.data, options.runs)
    model, average = TextRemover().to(device), TextRemover().to(device)
    average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99), fused=device.type == "cuda")
    run = Run(model, average, adam)
    if options.resume and path.exists():
        run.load(path)
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)
    samples = Samples(photos, options.seed, run.step * options.batch, 10**9)
    prefetch = 4 if options.workers else None
    batches = iter(DataLoader(samples, options.batch, num_workers=options.workers, prefetch_factor=prefetch))
    hints_of = HintMaker(device, options.detector)
    perceptual = Perceptual(options.data / "lpips", device)

    def step(progress: float) -> dict[str, Tensor]:
        batch = [part.to(device, non_blocking=True) for part in next(batches)]
        parts = losses(model, hints_of, perceptual, batch)
        run.update(torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum(), rate(progress, PEAK_RATE))
        return parts

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = arguments(__doc__ or "", threads=2, device="cuda, with a --batch of 32 or more and as many --workers as cores")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw samples")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--detector", type=Path, help="its weights, where the wheel that has them is not installed")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
