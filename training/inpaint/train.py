"""Trains the learned inpainter: `python -m training.inpaint.train --minutes 80`.

L1 and LPIPS in the hole, Adam, a learning rate that rises and falls once, an exponential moving average of the weights.
Resumes from its last checkpoint by itself. On a large GPU:

    python -m training.inpaint.train --device cuda --widths 96 192 256 --times 16 --workers 14 --minutes 20
"""

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.data import load_pairs
from training.inpaint.network import WIDTHS, Inpainter
from training.inpaint.windows import Batch, Batches
from training.loop import Run, rate, run_until
from training.perceptual import Perceptual

NAME = "inpaint_patch"
PEAK_RATE = 1e-3
L1_WEIGHT = 4.0  # brings both losses to the same size at the start
FLOAT32_FROM = 0.97  # progress; before it, bfloat16, so that little is tuned to its rounding
MOST_STEPS = 10**7
log = logging.getLogger("train")


def losses(model: torch.nn.Module, batch: Batch, perceptual: Perceptual, is_half: bool) -> tuple[Tensor, Tensor]:
    """L1 and LPIPS in the hole; `is_half`: in bfloat16, which halves the time of a step."""
    with torch.autocast(batch.truth.device.type, torch.bfloat16, enabled=is_half):
        result = model(batch.truth * (1 - batch.hole), batch.hole, batch.guide)
        composite = torch.lerp(batch.truth, result, batch.hole)
        distance = perceptual(composite, batch.truth) / batch.hole.mean()  # outside the hole both are equal
    absolute = ((result - batch.truth).abs() * batch.hole).sum() / (3 * batch.hole.sum())
    return absolute, distance


def new_run(widths: tuple[int, int, int], device: torch.device) -> Run:
    """Fresh weights."""
    model, average = Inpainter(widths).to(device), Inpainter(widths).to(device)
    average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    return Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99)))


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    path = options.runs / NAME / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    run = new_run(tuple(options.widths), device)
    if options.resume and path.exists():
        run.load(path)
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)
    perceptual = Perceptual(options.data / "lpips", device)
    pairs = load_pairs(options.data / "photos" / "train", options.runs / "cache", 2)
    batches = iter(
        DataLoader(
            Batches(pairs, options.seed, options.times),
            batch_size=None,
            sampler=range(run.step, MOST_STEPS),
            num_workers=options.workers,
            multiprocessing_context="fork" if options.workers else None,  # the photographs are shared, not copied
            pin_memory=device.type == "cuda",
        )
    )

    def step(progress: float) -> dict[str, float]:
        absolute, distance = losses(run.model, next(batches).to(device), perceptual, progress < FLOAT32_FROM)
        run.update(L1_WEIGHT * absolute + distance, rate(progress, PEAK_RATE))
        return {"L1": absolute.item(), "LPIPS": distance.item()}

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--widths", type=int, nargs=3, default=WIDTHS, help="channels at 1/4, 1/8 and 1/16 of the size")
    parser.add_argument("--times", type=int, default=1, help="this many times the crops that a CPU takes at a step")
    parser.add_argument("--workers", type=int, default=0, help="processes that make the crops; 0: this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
