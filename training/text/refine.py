"""Trains the refiner of text_removal: `python -m training.text.refine --minutes 60`, on what training.text.seen has drawn.

Binary cross-entropy and Dice, as for the network before it. Step n takes the samples from n * batch on; when all were seen they
come again, mirrored another way. Resuming is by itself.
"""

import argparse
import logging

import numpy as np
import torch
from torch import Tensor

from training.drawn import samples
from training.loop import arguments, begun, prepared, rate, run_until
from training.text.network import Refiner
from training.text.seen import NAME, SHAPE
from training.text.train import stroke_losses

PEAK_RATE = 2e-3
MIRRORED = ((), (2,), (1,), (1, 2))
"""Axes of [N, H, W, C] that are turned round, pass by pass."""
log = logging.getLogger("train")


def losses(model: Refiner, batch: Tensor) -> dict[str, Tensor]:
    """Of a batch [N, C, H, W] uint8: what is seen, and the truth."""
    pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
    seen, strokes = pixels[:, :-1], pixels[:, -1:]
    return stroke_losses(model(seen), strokes)


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    folder = options.runs / NAME
    path, drawn = folder / "checkpoint.pt", samples(folder / "samples.u8", SHAPE, "r")
    model, average = Refiner().to(device), Refiner().to(device)
    run = begun(model, average, path if options.resume else None)

    def step(progress: float) -> dict[str, Tensor]:
        first = run.step * options.batch
        rows = np.stack([drawn[index % len(drawn)] for index in range(first, first + options.batch)])
        mirrored = np.flip(rows, MIRRORED[first // len(drawn) % len(MIRRORED)])
        parts = losses(model, torch.from_numpy(mirrored.copy()).to(device).permute(0, 3, 1, 2))
        run.update(torch.stack(list(parts.values())).sum(), rate(progress, PEAK_RATE))
        return parts

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = arguments(__doc__ or "", threads=2)
    parser.add_argument("--batch", type=int, default=6)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
