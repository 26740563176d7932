"""Trains inpaint_patch: `python -m training.inpaint.train --minutes 70`, on what training.inpaint.seen has drawn.

L1 and LPIPS in the hole; Adam, a learning rate that rises and falls once, an exponential moving average of the weights. Step n
takes the samples from n * batch on, of each a crop around some pixel of its hole. Resuming is by itself.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.drawn import samples
from training.inpaint.network import Refiner
from training.inpaint.seen import NAME, SHAPE, is_text
from training.loop import arguments, begun, prepared, rate, run_until
from training.perceptual import Perceptual
from training.served import U8, loaded
from training.traced import put_back

PEAK_RATE = 1e-3
CROP_PX = 256
LESS_TEXT = 0.15
"""How many of the samples are text with `--less-text`: most of its strokes are filled by text_removal, with another model."""
log = logging.getLogger("train")


def crops(drawn: U8, shown: Any, rng: np.random.Generator, indices: NDArray[np.intp]) -> Tensor:
    """Samples by index, cut and turned at random: uint8 [N, 10, CROP_PX, CROP_PX], what is seen and the truth.

    shown: the served refiner.py, which knows what the network sees.
    """
    found = []
    for whole in (drawn[index] for index in indices):
        depth = shown.depth_of(whole[..., 3])
        near = np.flatnonzero(depth)
        centre = np.array(divmod(int(rng.choice(near)), depth.shape[1])) if len(near) else np.zeros(2, int)
        y, x = np.clip(centre - rng.integers(CROP_PX // 4, 3 * CROP_PX // 4, 2), 0, np.subtract(depth.shape, CROP_PX))
        cut = whole[y : y + CROP_PX, x : x + CROP_PX]
        piece = np.dstack([shown.seen(np.ascontiguousarray(cut[..., :3]), np.ascontiguousarray(cut[..., 3])), cut[..., 4:]])
        turned = np.rot90(piece, rng.integers(4))
        found.append(turned[:, ::-1] if rng.random() < 0.5 else turned)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


def losses(
    model: Refiner, perceptual: Perceptual, batch: Tensor, shift: tuple[int, int], l1_weight: float
) -> dict[str, Tensor]:
    """Of a batch of `crops`. Outside the hole the truth is put in: text leaves a rim of itself there."""
    pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
    shown, truth = pixels[:, :7], pixels[:, 7:]
    depth = shown[:, 6:]
    hole = (depth > 0).float()
    filled = torch.lerp(truth, model(shown), hole)
    absolute = (filled - truth).abs().sum((1, 2, 3)) / (3 * hole.sum((1, 2, 3)) + 1)
    y, x = shift  # LPIPS does not see what repeats with its stride
    distance = perceptual(filled[:, :, y:, x:], truth[:, :, y:, x:]) / (hole.mean() + 0.01)
    return {"L1": l1_weight * absolute.mean(), "LPIPS": distance}


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    folder = options.runs / NAME
    path, drawn = folder / "checkpoint.pt", samples(folder / "samples.u8", SHAPE, "r")
    used = np.arange(len(drawn))
    if options.less_text:
        used = np.array([index for index in used if is_text(index, LESS_TEXT) or not is_text(index)])
    model, average = Refiner().to(device), Refiner().to(device)
    if options.start_from:
        put_back(model, options.start_from)
    run = begun(model, average, path if options.resume else None)
    perceptual = Perceptual(options.data / "lpips", device)
    shown = loaded(options.repository / NAME / "1" / "refiner.py")

    def step(progress: float) -> dict[str, Tensor]:
        rng = np.random.default_rng((options.seed, run.step))
        indices = used[np.arange(run.step * options.batch, (run.step + 1) * options.batch) % len(used)]
        batch = crops(drawn, shown, rng, indices).to(device)
        parts = losses(model, perceptual, batch, tuple(rng.integers(8, size=2)), options.l1_weight)
        run.update(torch.stack(list(parts.values())).sum(), rate(progress, options.peak_rate))
        return parts

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = arguments(__doc__ or "", threads=2)
    parser.add_argument("--start-from", type=Path, help="model.onnx whose weights to begin with, as far as it has them")
    parser.add_argument("--less-text", action="store_true", help="leave out two of three samples whose hole is text")
    parser.add_argument("--peak-rate", type=float, default=PEAK_RATE, help="of learning")
    parser.add_argument("--l1-weight", type=float, default=1.5, help="1.5: LPIPS counts two to three times as much")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
