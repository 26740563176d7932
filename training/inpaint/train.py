"""Trains the learned inpainter: `python -m training.inpaint.train --minutes 10 --device cuda --times 12 --workers 4`.

L1 and LPIPS in the hole, later an adversarial loss beside them (hinge, a patch discriminator, as the creative upscaler's);
Adam, a learning rate that rises and falls once, an exponential moving average of the weights. Resumes from its last
checkpoint by itself.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.adversary import new_adversary
from training.data import Photos, load_photos
from training.inpaint.network import WIDTHS, Inpainter
from training.inpaint.windows import Batch, Holes, batch
from training.loop import Run, arguments, prepared, rate, run_until
from training.perceptual import Perceptual

NAME = "inpaint_patch"
PEAK_RATE = 1e-3
L1_WEIGHT = 4.0  # brings both losses to the same size at the start
ADVERSARIAL = 0.03
JUDGE_AHEAD = 0.05  # of the run: the discriminator learns before it has a say
FLOAT32_FROM = 0.97  # progress; before it, on a GPU, bfloat16, so that little is tuned to its rounding
MOST_STEPS = 10**7
log = logging.getLogger("train")


def composite(model: torch.nn.Module, batch: Batch, is_half: bool) -> tuple[Tensor, Tensor]:
    """The fill and the picture with it; `is_half`: in bfloat16, which halves the time of a step."""
    with torch.autocast(batch.truth.device.type, torch.bfloat16, enabled=is_half):
        result = model(batch.truth * (1 - batch.hole), batch.hole, batch.guide)
    return result, torch.lerp(batch.truth, result, batch.hole)


def new_run(widths: tuple[int, int, int], device: torch.device) -> Run:
    """Fresh weights."""
    model, average = Inpainter(widths).to(device), Inpainter(widths).to(device)
    average.load_state_dict(model.state_dict())
    if device.type == "cuda":
        model.to(memory_format=torch.channels_last)
    return Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99), fused=device.type == "cuda"))


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    path = options.runs / NAME / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    run, adversary = new_run(tuple(options.widths), device), new_adversary(device)
    if options.resume and path.exists():
        run.load(path)
        adversary.load(path.with_name("adversary.pt"))
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)
    elif options.start_from:
        weights = torch.load(options.start_from, map_location=device)["average"]
        run.model.load_state_dict(weights)
        run.average.load_state_dict(weights)
    perceptual = Perceptual(options.data / "lpips", device)
    photos = Photos(load_photos(options.data / "photos" / "train", options.runs / "cache"), device)
    holes = Holes(options.seed, options.times)
    drawn = iter(DataLoader(holes, batch_size=None, sampler=range(run.step, MOST_STEPS), num_workers=options.workers))

    def step(progress: float) -> dict[str, Tensor]:
        rng = np.random.default_rng((options.seed, run.step, 0))
        shown = batch(photos, rng, *next(drawn))
        is_half = device.type == "cuda" and progress < FLOAT32_FROM  # a CPU without instructions for it takes ten times as long
        result, filled = composite(run.model, shown, is_half)
        share = shown.hole.mean()
        absolute = ((result - shown.truth).abs() * shown.hole).sum() / (3 * shown.hole.sum() + 1)
        y, x = rng.integers(8, size=2)  # LPIPS does not see what repeats with its stride
        with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            distance = perceptual(filled[:, :, y:, x:], shown.truth[:, :, y:, x:]) / share
            loss = L1_WEIGHT * absolute + distance
            if progress > options.adversary_from:
                # Only of patches that the hole reaches: elsewhere both are photographs.
                verdict = adversary.judge(filled).float()
                seen = torch.nn.functional.adaptive_max_pool2d(shown.hole, verdict.shape[2:])
                loss = loss - ADVERSARIAL * (verdict * seen).sum() / (seen.sum() + 1)
        run.update(loss, rate(progress, options.rate))
        if progress > options.adversary_from - JUDGE_AHEAD:
            adversary.update(shown.truth, filled.detach(), shown.hole)
        return {"L1": absolute, "LPIPS": distance}

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes, beside=adversary)


def main() -> None:
    parser = arguments(__doc__ or "", threads=1)
    parser.add_argument("--start-from", type=Path, help="checkpoint whose averaged weights to begin with")
    parser.add_argument("--rate", type=float, default=PEAK_RATE, help="the highest")
    parser.add_argument("--adversary-from", type=float, default=0.3, help="progress; 1: no adversary")
    parser.add_argument("--widths", type=int, nargs=3, default=WIDTHS, help="channels at 1/4, 1/8 and 1/16 of the size")
    parser.add_argument("--times", type=int, default=1, help="this many times the crops that a CPU takes at a step")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw the holes; 0: this one")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
