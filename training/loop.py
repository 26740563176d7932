"""What a training run has: a rate that follows its progress, an average of the weights, a checkpoint to resume from."""

import argparse
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

WARM_UP = 0.03  # fraction of the run in which the rate rises
CHECKPOINT_SECONDS = 60


def arguments(description: str, *, threads: int, device: str = "cpu or cuda") -> argparse.ArgumentParser:
    """What training commands take: length, and where and how to run; `device` is the help of that option. Logs from here on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--device", default="cpu", help=device)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    return parser


def rate(progress: float, peak: float) -> float:
    """Learning rate at a progress in [0, 1]: a linear rise, then half a cosine down to 1 % of the peak."""
    if progress < WARM_UP:
        return peak * (0.05 + 0.95 * progress / WARM_UP)
    fall = min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
    return peak * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * fall)))


def prepared(seed: int, threads: int, device: str) -> torch.device:
    """The device, seeded, with the fastest convolutions for sizes that stay the same."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    return torch.device(device)


@dataclass
class Run:
    """Everything a resumed run needs; `average` is what ships."""

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Replaces the checkpoint in one move, so that a kill leaves the old one or the new one, whole."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser")}
        torch.save(parts | {"step": self.step, "seconds": self.seconds}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=next(self.model.parameters()).device)
        for name in ("model", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]

    def update(self, loss: torch.Tensor, learning_rate: float, clip: float = 1.0) -> None:
        """One step of the optimiser down `loss`, and of the average towards the weights."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimiser.step()
        self.step += 1
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)


def begun(model: nn.Module, average: nn.Module, checkpoint: Path | None) -> Run:
    """A run with Adam, its two networks alike; or, where the checkpoint is there, that run going on."""
    average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    run = Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99)))
    if checkpoint and checkpoint.exists():
        run.load(checkpoint)
        logging.info("resumed at step %d, %.0f s", run.step, run.seconds)
    return run


class Beside(Protocol):
    """What else a run trains, and keeps in a checkpoint of its own: a discriminator."""

    def save(self, path: Path) -> None: ...


def run_until(
    run: Run,
    path: Path,
    log: Logger,
    step: Callable[[float], dict[str, Tensor]],
    *,
    steps: int | None,
    minutes: float | None,
    beside: Beside | None = None,
) -> None:
    """Calls step(progress) from the run's step on until its length in steps or minutes is over; saves and logs on the way.

    `step` answers with named losses, whose means are logged. They are read only then: reading one waits for the GPU.
    """
    started, saved = time.monotonic() - run.seconds, time.monotonic()
    losses: list[dict[str, Tensor]] = []
    while True:
        run.seconds = time.monotonic() - started
        progress = run.step / steps if steps else run.seconds / (60 * (minutes or 0.0))
        if progress >= 1 or time.monotonic() - saved > CHECKPOINT_SECONDS:
            saved = time.monotonic()
            if beside:
                beside.save(path.with_name("adversary.pt"))
            run.save(path)
            named = [
                (name, [each[name] for each in losses if name in each])
                for name in dict.fromkeys(n for each in losses for n in each)
            ]
            means = {name: torch.stack(values).mean().item() for name, values in named}
            told = ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
            log.info("step %d, %.0f s, progress %.3f, %s", run.step, run.seconds, progress, told)
            losses.clear()
        if progress >= 1:
            break
        losses.append({name: loss.detach() for name, loss in step(progress).items()})
