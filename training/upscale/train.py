"""Trains the conservative upscaler: `python -m training.upscale.train --scale 2 --minutes 40`.

Charbonnier loss, then squared error; Adam, a one-cycle learning rate, an exponential moving average of the weights. Resumes
from its last checkpoint by itself. The patches of step n depend on (seed, n) alone, so a resumed run sees what an unbroken one
would.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data import Photos, load_photos
from training.degrade import MARGIN_PX, reduced
from training.loop import Run, arguments, prepared, rate, run_until
from training.upscale.export import from_onnx
from training.upscale.network import Upscaler

PEAK_RATE = 1e-3
SQUARED_FROM = 0.6  # progress from which the squared error counts: what is measured, once edges are in place
FLOAT32_FROM = 0.9  # progress; before it, bfloat16, which halves the time of a step
LUMA_WEIGHT = 1.0  # of the error in luma beside that in colour
log = logging.getLogger("train")


def charbonnier(result: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1 (Charbonnier et al., ICIP 1994), epsilon a quarter of a grey level."""
    return torch.sqrt((result - truth) ** 2 + (0.25 / 255) ** 2).mean()


def luma(image: Tensor) -> Tensor:
    """BT.601: [N, 3, H, W] -> [N, 1, H, W]."""
    return (image * image.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def pairs(photos: Photos, rng: np.random.Generator, count: int, patch_px: int, scale: int) -> tuple[Tensor, Tensor]:
    """`count` patches of both resolutions, floats in [0, 1]: [N, 3, P, P] and [N, 3, P * scale, P * scale]."""
    high = photos.crops(rng, count, (patch_px + 2 * MARGIN_PX) * scale)
    inner = slice(MARGIN_PX * scale, -MARGIN_PX * scale)
    return reduced(high, scale), high[:, :, inner, inner].float() / 255


def new_run(scale: int, device: torch.device, start_from: Path | None) -> Run:
    """Fresh weights, or those of a checkpoint's average or of an exported file; a fresh tail where that has another scale."""
    model, average = Upscaler(scale).to(device), Upscaler(scale).to(device)
    if start_from:
        is_exported = start_from.suffix == ".onnx"
        weights = from_onnx(start_from).state_dict() if is_exported else torch.load(start_from, map_location=device)["average"]
        is_same = weights["tail.bias"].shape == model.tail.bias.shape
        model.load_state_dict({k: v for k, v in weights.items() if is_same or not k.startswith("tail")}, strict=is_same)
    average.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last)
    return Run(model, average, torch.optim.Adam(model.parameters(), betas=(0.9, 0.99), fused=device.type == "cuda"))


def loss_of(model: torch.nn.Module, low: Tensor, high: Tensor, progress: float) -> Tensor:
    with torch.autocast(low.device.type, torch.bfloat16, enabled=progress < FLOAT32_FROM):
        result = model(low.contiguous(memory_format=torch.channels_last))
    error = charbonnier if progress < SQUARED_FROM else torch.nn.functional.mse_loss
    return error(result, high) + LUMA_WEIGHT * error(luma(result), luma(high))


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    path = options.runs / f"upscale_conservative_x{options.scale}" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = Photos(load_photos(options.data / "photos" / "train", options.runs / "cache"), device)
    run = new_run(options.scale, device, options.start_from)
    if options.resume and path.exists():
        run.load(path)
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)

    def step(progress: float) -> dict[str, Tensor]:
        rng = np.random.default_rng((options.seed, run.step))
        loss = loss_of(run.model, *pairs(photos, rng, options.batch, options.patch_px, options.scale), progress)
        run.update(loss, rate(progress, PEAK_RATE), clip=0.5)
        return {"L1" if progress < SQUARED_FROM else "squared": loss}

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes)


def main() -> None:
    parser = arguments(__doc__ or "", threads=2, device="cuda, with a --batch of 64")
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    parser.add_argument("--start-from", type=Path, help="checkpoint or model.onnx whose weights to begin with")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch-px", type=int, default=48, help="side of a patch at the low resolution")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
