"""Trains inpaint_patch: `python -m training.inpaint.train --minutes 66`, on what training.inpaint.seen has drawn.

L1 and LPIPS in the hole; Adam, a learning rate that rises and falls once, an exponential moving average of the weights. Step n
takes the samples from n * batch on, of each a crop around some pixel of its hole. Resuming is by itself.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.drawn import samples
from training.inpaint.network import Refiner, share_of
from training.inpaint.seen import NAME, SHAPE
from training.loop import arguments, begun, prepared, rate, run_until
from training.perceptual import Perceptual
from training.served import U8, loaded

PEAK_RATE = 2e-3
CROP_PX = 128
L1_WEIGHT = 3.0  # brings both losses to about the same size
log = logging.getLogger("train")


def crops(drawn: U8, shown: Any, rng: np.random.Generator, first: int, count: int) -> Tensor:
    """Samples `first` and on, cut and turned at random: uint8 [count, 10, CROP_PX, CROP_PX], what is seen and the truth.

    shown: the served refiner.py, which knows what the network sees.
    """
    found = []
    for index in range(first, first + count):
        whole = drawn[index % len(drawn)]
        depth = shown.depth_of(whole[..., 3])
        near = np.flatnonzero((depth > 0) & (depth < 255))
        centre = np.array(divmod(int(rng.choice(near)), depth.shape[1])) if len(near) else np.zeros(2, int)
        y, x = np.clip(centre - rng.integers(CROP_PX // 4, 3 * CROP_PX // 4, 2), 0, np.subtract(depth.shape, CROP_PX))
        cut = whole[y : y + CROP_PX, x : x + CROP_PX]
        piece = np.dstack([shown.seen(np.ascontiguousarray(cut[..., :3]), np.ascontiguousarray(cut[..., 3])), cut[..., 4:]])
        turned = np.rot90(piece, rng.integers(4))
        found.append(turned[:, ::-1] if rng.random() < 0.5 else turned)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


def losses(model: Refiner, perceptual: Perceptual, batch: Tensor, shift: tuple[int, int]) -> dict[str, Tensor]:
    """Of a batch of `crops`. Outside the hole the truth is put in: text leaves a rim of itself there."""
    pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
    shown, truth = pixels[:, :7], pixels[:, 7:]
    depth = shown[:, 6:]
    hole, share = (depth > 0).float(), share_of(depth)
    filled = torch.lerp(truth, model(shown), hole)
    absolute = ((filled - truth).abs() * share).sum((1, 2, 3)) / (3 * share.sum((1, 2, 3)) + 1)
    y, x = shift  # LPIPS does not see what repeats with its stride
    distance = perceptual(filled[:, :, y:, x:], truth[:, :, y:, x:]) / (hole.mean() + 0.01)
    return {"L1": L1_WEIGHT * absolute.mean(), "LPIPS": distance}


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    folder = options.runs / NAME
    path, drawn = folder / "checkpoint.pt", samples(folder / "samples.u8", SHAPE, "r")
    model, average = Refiner().to(device), Refiner().to(device)
    run = begun(model, average, path if options.resume else None)
    perceptual = Perceptual(options.data / "lpips", device)
    shown = loaded(options.repository / NAME / "1" / "refiner.py")

    def step(progress: float) -> dict[str, Tensor]:
        rng = np.random.default_rng((options.seed, run.step))
        batch = crops(drawn, shown, rng, run.step * options.batch, options.batch).to(device)
        parts = losses(model, perceptual, batch, tuple(rng.integers(8, size=2)))
        run.update(torch.stack(list(parts.values())).sum(), rate(progress, PEAK_RATE))
        return parts

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = arguments(__doc__ or "", threads=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
