"""Trains text_removal: `python -m training.text.train --minutes 70`.

First the strokes: binary cross-entropy and Dice (Milletari et al., 3DV 2016). Then the fill: L1 where strokes are or were
found. Sample n is
drawn from (seed, n) alone and resuming is by itself, as in training/upscale/train.py.
"""

import argparse
import csv
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d
from torch.utils.data import DataLoader, Dataset

from training.data import FRACTIONS, load_pairs
from training.loop import Run, rate, run_until
from training.text.detection import detector, hint
from training.text.generator import sample
from training.text.network import TextRemover

PEAK_RATE = 1.5e-3
PATCH_PX = 192
log = logging.getLogger("train")


def photographs(data: Path, runs: Path) -> list[NDArray[np.uint8]]:
    """The training photographs without text of their own, each in several sizes, memory-mapped."""
    folder = data / "photos" / "train"
    with (data / "LICENCES.csv").open() as listed:
        with_text = {Path(row["file"]).name for row in csv.DictReader(listed) if row["scene_text"] == "1"}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".webp", ".png", ".jpg"})
    pictures = load_pairs(folder, runs / "cache", 2).high
    return [picture for i, picture in enumerate(pictures) if paths[i // len(FRACTIONS)].name not in with_text]


class Samples(Dataset):
    """Sample `index`: composited and clean [3, P, P] uint8, strokes [1, P, P] uint8, the detector's hint [2, P, P] uint8."""

    def __init__(self, photos: list[NDArray[np.uint8]], repository: Path, seed: int, first: int, count: int) -> None:
        self.photos, self.repository, self.seed, self.first, self.count = photos, repository, seed, first, count
        self.detect: Any = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        self.detect = self.detect or detector(self.repository)  # here: in the process that draws
        drawn = sample(self.photos, "train", self.seed, self.first + index, PATCH_PX)
        pictures = (drawn.composited, drawn.clean, drawn.strokes[..., None], hint(self.detect, drawn.composited))
        return tuple(torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)).astype(np.uint8)) for part in pictures)


def twice(batches: Iterable[list[Tensor]]) -> Iterator[list[Tensor]]:
    """Each batch, and the batch mirrored and with its colours exchanged: drawing takes longer than a step."""
    for batch in batches:
        yield batch
        mirrored = [part.flip(3) for part in batch]
        yield [part.roll(1, 1) if part.shape[1] == 3 else part for part in mirrored]


def losses(model: TextRemover, batch: list[Tensor], is_fill: bool) -> dict[str, Tensor]:
    """The losses of the strokes, or of the fill on strokes that stay as they are."""
    composited, clean, strokes, hints = (part.float() for part in batch)
    image, hints = (composited / 255).contiguous(memory_format=torch.channels_last), hints / 255
    with torch.autocast(image.device.type, torch.bfloat16):
        with torch.set_grad_enabled(not is_fill):
            logits, features = model.find(image, hints)
        filled = model.fill_in(image, logits, features) if is_fill else None
    found = torch.sigmoid(logits)
    if filled is not None:
        where = max_pool2d(torch.maximum(strokes, (found > 0.4).float()), 5, 1, 2)
        return {"fill": ((filled - clean / 255).abs() * where).sum() / (3 * where.sum() + 1)}
    overlap = 2 * (found * strokes).sum() + 1
    return {
        "cross_entropy": binary_cross_entropy_with_logits(logits, strokes),
        "dice": 1 - overlap / (found.sum() + strokes.sum() + 1),
    }


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    path = options.runs / "text_removal" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = photographs(options.data, options.runs)
    model, average = TextRemover().to(options.device), TextRemover().to(options.device)
    average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    run = Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99)))
    if options.resume and path.exists():
        run.load(path)
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)
    samples = Samples(photos, options.repository, options.seed, run.step // 2 * options.batch, 10**9)
    batches = twice(
        DataLoader(samples, options.batch, num_workers=options.workers, prefetch_factor=4 if options.workers else None)
    )

    def step(progress: float) -> dict[str, float]:
        is_fill = progress >= options.strokes
        parts = losses(model, [part.to(options.device, non_blocking=True) for part in next(batches)], is_fill)
        first, last = (options.strokes, 1.0) if is_fill else (0.0, options.strokes)
        run.update(torch.stack(list(parts.values())).sum(), rate((progress - first) / (last - first), PEAK_RATE))
        return {name: part.item() for name, part in parts.items()}

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--strokes", type=float, default=0.65, help="fraction of the run that goes to them; the rest: the fill")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu", help="cuda, with a --batch of 32 or more and as many --workers as cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw samples")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
