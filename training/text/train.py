"""Trains the networks of text_removal: `python -m training.text.train --minutes 80`.

Each by binary cross-entropy and Dice (Milletari et al., 3DV 2016), side by side: the refiner sees what the finder says at that
step, and how likely that makes the colours, by the code that is served. Sample n is drawn from (seed, n) alone, by processes
that run the detector as well. Resuming is by itself.
"""

import argparse
import csv
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from training.data import FRACTIONS, load_photos
from training.loop import arguments, begun, prepared, rate, run_until
from training.served import loaded
from training.text.detection import detector
from training.text.generator import sample
from training.text.network import Networks
from training.traced import put_back

NAME = "text_removal"
PEAK_RATE = 1.5e-3
PATCH_PX = 320
log = logging.getLogger("train")


def photographs(data: Path, runs: Path, least_px: int = 256) -> list[NDArray[np.uint8]]:
    """The training photographs without text of their own, each in several sizes from `least_px` on, memory-mapped."""
    folder = data / "photos" / "train"
    with (data / "LICENCES.csv").open() as listed:
        with_text = {Path(row["file"]).name for row in csv.DictReader(listed) if row["scene_text"] == "1"}
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".webp", ".png", ".jpg"})
    pictures = load_photos(folder, runs / "cache")
    kept = [picture for i, picture in enumerate(pictures) if paths[i // len(FRACTIONS)].name not in with_text]
    return [picture for picture in kept if min(picture.shape[:2]) >= least_px]


class Samples(Dataset):
    """Sample `index`: uint8 [6, P, P], composited picture (3), the detector's map at two sizes (2), strokes."""

    def __init__(self, photos: list[NDArray[np.uint8]], repository: Path, seed: int, first: int) -> None:
        self.photos, self.repository, self.seed, self.first = photos, repository, seed, first

    def __len__(self) -> int:
        return 10**9

    @cached_property
    def served(self) -> tuple[Any, Any]:
        """The model's order of work, and the detector: loaded by each process for itself."""
        return loaded(self.repository / NAME / "1" / "removal.py"), detector(self.repository).probability

    def __getitem__(self, index: int) -> Tensor:
        drawn = sample(self.photos, "train", self.seed, self.first + index, PATCH_PX)
        removal, detect = self.served
        hint = removal.seen_text(drawn.composited, detect)[: removal.HINT_LEVELS]
        return torch.from_numpy(np.stack([*drawn.composited.transpose(2, 0, 1), *hint, drawn.strokes * np.uint8(255)]))


def stroke_losses(logits: Tensor, strokes: Tensor) -> Tensor:
    """Binary cross-entropy and Dice of the logits and the truth, both [N, 1, H, W]."""
    found = torch.sigmoid(logits)
    overlap = 2 * (found * strokes).sum() + 1
    return binary_cross_entropy_with_logits(logits, strokes) + 1 - overlap / (found.sum() + strokes.sum() + 1)


def losses(model: Networks, colour: Any, batch: Tensor) -> dict[str, Tensor]:
    """Of both networks. batch: uint8 [N, 6, H, W] as of Samples; colour: the model's colour.py."""
    pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
    strokes = pixels[:, 5:]
    logits = model.finder(pixels[:, :3], pixels[:, 3:5])
    said = (torch.sigmoid(logits.detach()) * 255).round().byte()
    likely = [
        colour.likelihood(np.ascontiguousarray(image[:3].permute(1, 2, 0).numpy()), probability[0].numpy())
        for image, probability in zip(batch.cpu(), said.cpu(), strict=True)
    ]
    told = torch.from_numpy(np.stack(likely)[:, None]).to(batch.device)
    refined = model.refiner(torch.cat([pixels[:, :5], said.float() / 255, told.float() / 255], 1))
    return {"finder": stroke_losses(logits, strokes), "refiner": stroke_losses(refined, strokes)}


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    path, served = options.runs / NAME / "checkpoint.pt", options.repository / NAME / "1"
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = photographs(options.data, options.runs, PATCH_PX)
    model, average = Networks().to(device), Networks().to(device)
    if options.start_from:
        put_back(model.finder, options.start_from / "model.onnx")
        put_back(model.refiner, options.start_from / "refiner.onnx")
    run = begun(model, average, path if options.resume else None)
    samples = Samples(photos, options.repository, options.seed, run.step * options.batch)
    prefetch = 4 if options.workers else None
    batches = iter(DataLoader(samples, options.batch, num_workers=options.workers, prefetch_factor=prefetch))
    colour = loaded(served / "colour.py")

    def step(progress: float) -> dict[str, Tensor]:
        parts = losses(model, colour, next(batches).to(device))
        run.update(torch.stack(list(parts.values())).sum(), rate(progress, options.peak_rate))
        return parts

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = arguments(__doc__ or "", threads=2)
    parser.add_argument("--start-from", type=Path, help="folder of model.onnx and refiner.onnx whose weights to begin with")
    parser.add_argument("--peak-rate", type=float, default=PEAK_RATE, help="of learning")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw samples")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
