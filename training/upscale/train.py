"""Trains the conservative upscaler: `python -m training.upscale.train --scale 2 --minutes 40`.

Charbonnier loss, Adam, a one-cycle learning rate, an exponential moving average of the weights. Resumes from its last
checkpoint by itself. The patches of step n depend on (seed, n) alone, so a resumed run sees what an unbroken one would.
"""

import argparse
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data import load_pairs
from training.upscale.network import Upscaler

PEAK_RATE = 1e-3
WARM_UP = 0.03  # fraction of the run in which the rate rises
BATCH, PATCH_PX = 16, 48
CHECKPOINT_SECONDS = 120
log = logging.getLogger("train")


def rate(progress: float) -> float:
    """Learning rate at a progress in [0, 1]: a linear rise, then half a cosine down to 1 % of the peak."""
    if progress < WARM_UP:
        return PEAK_RATE * (0.05 + 0.95 * progress / WARM_UP)
    fall = min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
    return PEAK_RATE * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * fall)))


def charbonnier(result: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1 (Charbonnier et al., ICIP 1994), epsilon a quarter of a grey level."""
    return torch.sqrt((result - truth) ** 2 + (0.25 / 255) ** 2).mean()


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3] -> float [N, 3, H, W] in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div(255)


@dataclass
class Run:
    """Everything a resumed run needs; `average` is what ships."""

    model: Upscaler
    average: Upscaler
    optimiser: torch.optim.Adam
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Replaces the checkpoint in one move, so that a kill leaves the old one or the new one, whole."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser")}
        torch.save(parts | {"step": self.step, "seconds": self.seconds}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path)
        for name in ("model", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]


def new_run(scale: int, start_from: Path | None) -> Run:
    """Fresh weights, or the averaged head and body of another scale's checkpoint with a fresh tail."""
    model, average = Upscaler(scale), Upscaler(scale)
    if start_from:
        weights = torch.load(start_from)["average"]
        model.load_state_dict({k: v for k, v in weights.items() if not k.startswith("tail")}, strict=False)
    average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    return Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99)))


def take_step(run: Run, low: Tensor, high: Tensor, progress: float) -> float:
    """One update of the weights and of their average; the loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate(progress)
    # bfloat16 halves the time of a step; the last tenth runs in float32, so that nothing is tuned to its rounding.
    with torch.autocast("cpu", torch.bfloat16, enabled=progress < 0.9):
        result = run.model(low)
    loss = charbonnier(result, high)
    run.optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 0.5)
    run.optimiser.step()
    run.step += 1
    decay = min(0.999, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(run.model.parameters()), 1 - decay)
    return loss.item()


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    path = options.runs / f"upscale_conservative_x{options.scale}" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = load_pairs(options.data / "photos" / "train", options.runs / "cache", options.scale)
    run = new_run(options.scale, options.start_from)
    if options.resume and path.exists():
        run.load(path)
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)

    started, saved = time.monotonic() - run.seconds, time.monotonic()
    losses: list[float] = []
    while True:
        run.seconds = time.monotonic() - started
        progress = run.step / options.steps if options.steps else run.seconds / (60 * options.minutes)
        if progress >= 1 or time.monotonic() - saved > CHECKPOINT_SECONDS:
            saved = time.monotonic()
            run.save(path)
            mean = sum(losses) / max(1, len(losses))
            log.info("step %d, %.0f s, rate %.1e, loss %.5f", run.step, run.seconds, rate(progress), mean)
            losses.clear()
        if progress >= 1:
            break
        low, high = map(to_tensor, pairs.batch(np.random.default_rng((options.seed, run.step)), BATCH, PATCH_PX))
        losses.append(take_step(run, low, high, progress))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--start-from", type=Path, help="checkpoint whose head and body to begin with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
