"""Trains the creative upscaler from a conservative one: `python -m training.upscale.creative --scale 4 --minutes 60`.

Perceptual loss (LPIPS on SqueezeNet), an adversarial one (hinge, a patch discriminator with spectral normalisation, as in
Miyato et al., ICLR 2018), L1, agreement (the shrunken result must be the input, so that texture is invented and content is
not), and evenness: no place within an input pixel may get more detail than another, which would show as a grid.
Resumes from its last checkpoint by itself; the patches of step n depend on (seed, n) alone.
"""

import argparse
import logging
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as the field writes it
from torch.nn.utils.parametrizations import spectral_norm

from training.data import load_pairs
from training.perceptual import Perceptual
from training.upscale.network import Upscaler
from training.upscale.train import CHECKPOINT_SECONDS, charbonnier, rate, to_tensor

BATCH = 8
HIGH_PATCH_PX = 128
RATE_FACTOR = 0.3  # of the conservative upscaler's peak rate
L1, PERCEPTUAL, ADVERSARIAL, AGREEMENT, EVENNESS = 0.5, 1.0, 0.02, 4.0, 0.1
ADVERSARY_FROM = 0.15  # progress from which the discriminator has a say
log = logging.getLogger("train")


class Discriminator(nn.Sequential):
    """[N, 3, H, W] in [0, 1] -> [N, 1, H/8, W/8]: whether each patch is a photograph."""

    def __init__(self) -> None:
        widths, layers = (3, 32, 64, 96), []
        for before, after in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        super().__init__(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))


class Run:
    """Everything that a resumed run needs; `average` is what ships."""

    def __init__(self, scale: int, start_from: Path) -> None:
        self.model, self.average, self.judge = Upscaler(scale), Upscaler(scale), Discriminator()
        weights = torch.load(start_from)["average"]
        self.model.load_state_dict(weights)
        self.average.load_state_dict(weights)
        for network in (self.model, self.judge):
            network.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.model.parameters(), betas=(0.9, 0.99))
        self.judge_optimiser = torch.optim.Adam(self.judge.parameters(), lr=2e-4, betas=(0.5, 0.99))
        self.step, self.seconds = 0, 0.0

    PARTS = ("model", "average", "judge", "optimiser", "judge_optimiser")

    def save(self, path: Path) -> None:
        """Replaces the checkpoint in one move."""
        parts = {name: getattr(self, name).state_dict() for name in self.PARTS}
        torch.save(parts | {"step": self.step, "seconds": self.seconds}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path)
        for name in self.PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]


def unevenness(made: Tensor, scale: int) -> Tensor:
    """How differently the `scale`² pixels of one input pixel fare, in means and in detail: a grid, when it shows."""
    detail = made - F.avg_pool2d(made, 5, stride=1, padding=2, count_include_pad=False)
    phases = F.pixel_unshuffle(detail, scale).unflatten(1, (3, scale**2))
    strength = phases.abs().mean((0, 1, 3, 4))
    return ((strength - strength.mean()).abs() / strength.mean()).mean() + 50 * phases.mean((0, 1, 3, 4)).abs().mean()


def take_step(run: Run, perceptual: Perceptual, low: Tensor, high: Tensor, progress: float) -> tuple[float, float]:
    """One update of both networks; the perceptual distance and the agreement error."""
    for group in run.optimiser.param_groups:
        group["lr"] = RATE_FACTOR * rate(progress)
    # LPIPS does not see what repeats with its stride: a random shift leaves no grid where errors could gather.
    y, x = (int(v) for v in torch.randint(0, 8, (2,)))
    with torch.autocast("cpu", torch.bfloat16):
        made = run.model(low)
        distance = perceptual(made[:, :, y:, x:].float(), high[:, :, y:, x:])
        verdict = run.judge(made).float()
    shrunken = F.interpolate(made, size=low.shape[2:], mode="bicubic", antialias=True, align_corners=False)
    agreement = F.l1_loss(shrunken, low)
    loss = L1 * charbonnier(made, high) + PERCEPTUAL * distance + AGREEMENT * agreement
    loss = loss + EVENNESS * unevenness(made.float(), run.model.scale)
    if progress > ADVERSARY_FROM:
        loss = loss - ADVERSARIAL * verdict.mean()
    run.optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.model.parameters(), 0.5)
    run.optimiser.step()

    with torch.autocast("cpu", torch.bfloat16):
        real, fake = run.judge(high).float(), run.judge(made.detach()).float()
    judged = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    run.judge_optimiser.zero_grad()
    judged.backward()
    run.judge_optimiser.step()

    run.step += 1
    decay = min(0.998, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(run.model.parameters()), 1 - decay)
    return distance.item(), agreement.item()


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    path = options.runs / f"upscale_creative_x{options.scale}" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = load_pairs(options.data / "photos" / "train", options.runs / "cache", options.scale)
    perceptual = Perceptual(options.data / "lpips")
    run = Run(options.scale, options.runs / f"upscale_conservative_x{options.scale}" / "checkpoint.pt")
    if path.exists():
        run.load(path)
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)
    started, saved = time.monotonic() - run.seconds, time.monotonic()
    told: list[tuple[float, float]] = []
    while True:
        run.seconds = time.monotonic() - started
        progress = run.step / options.steps if options.steps else run.seconds / (60 * options.minutes)
        if progress >= 1 or time.monotonic() - saved > CHECKPOINT_SECONDS:
            saved = time.monotonic()
            run.save(path)
            distance, agreement = np.mean(told or [(0, 0)], axis=0)
            log.info("step %d, %.0f s, LPIPS %.4f, agreement %.4f", run.step, run.seconds, distance, agreement)
            told.clear()
        if progress >= 1:
            break
        rng = np.random.default_rng((options.seed, run.step))
        low, high = map(to_tensor, pairs.batch(rng, BATCH, HIGH_PATCH_PX // options.scale))
        told.append(take_step(run, perceptual, low, high, progress))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
