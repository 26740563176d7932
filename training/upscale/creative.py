"""Trains the creative upscaler from a conservative one: `python -m training.upscale.creative --scale 4 --minutes 60`.

Perceptual loss (LPIPS on SqueezeNet), an adversarial one (hinge, a patch discriminator with spectral normalisation, as in
Miyato et al., ICLR 2018), L1, agreement (the shrunken result must be the input, so that texture is invented and content is
not), and evenness: no place within an input pixel may get more detail than another, which would show as a grid.
Resumes from its last checkpoint by itself; the patches of step n depend on (seed, n) alone.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as the field writes it

from training.adversary import new_adversary
from training.data import Photos, load_photos
from training.degrade import jpeg
from training.loop import prepared, rate, run_until
from training.perceptual import Perceptual
from training.upscale.train import PEAK_RATE, charbonnier, new_run, pairs

HIGH_PATCH_PX = 128
RATE_FACTOR = 0.3  # of the conservative upscaler's peak rate
L1, PERCEPTUAL, ADVERSARIAL, AGREEMENT, EVENNESS = 0.5, 1.0, 0.02, 4.0, 0.1
ADVERSARY_FROM = 0.15  # progress from which the discriminator has a say
JPEG_SHARE, JPEG_QUALITY = 0.4, (50, 96)
log = logging.getLogger("train")


def coded(low: Tensor, rng: np.random.Generator) -> Tensor:
    """JPEG_SHARE of the patches through JPEG: what is enlarged for the eye is mostly an old thumbnail."""
    quality = torch.from_numpy(rng.uniform(*JPEG_QUALITY, len(low)).astype(np.float32)).to(low.device)
    is_coded = torch.from_numpy(rng.random(len(low)) < JPEG_SHARE).to(low.device)
    return torch.where(is_coded[:, None, None, None], jpeg(low, quality), low)


def unevenness(made: Tensor, scale: int) -> Tensor:
    """How differently the `scale`² pixels of one input pixel fare, in means and in detail: a grid, when it shows."""
    detail = made - F.avg_pool2d(made, 5, stride=1, padding=2, count_include_pad=False)
    phases = F.pixel_unshuffle(detail, scale).unflatten(1, (3, scale**2))
    strength = phases.abs().mean((0, 1, 3, 4))
    return ((strength - strength.mean()).abs() / strength.mean()).mean() + 50 * phases.mean((0, 1, 3, 4)).abs().mean()


def train(options: argparse.Namespace) -> None:
    device = prepared(options.seed, options.threads, options.device)
    scale = options.scale
    path = options.runs / f"upscale_creative_x{scale}" / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = Photos(load_photos(options.data / "photos" / "train", options.runs / "cache"), device)
    perceptual = Perceptual(options.data / "lpips", device)
    run, adversary = new_run(scale, device, None), new_adversary(device)
    weights = torch.load(options.runs / f"upscale_conservative_x{scale}" / "checkpoint.pt", map_location=device)["average"]
    run.model.load_state_dict(weights)
    run.average.load_state_dict(weights)
    if path.exists():
        run.load(path)
        adversary.load(path.with_name("adversary.pt"))
        log.info("resumed at step %d, %.0f s", run.step, run.seconds)

    def step(progress: float) -> dict[str, Tensor]:
        rng = np.random.default_rng((options.seed, run.step))
        low, high = pairs(photos, rng, options.batch, HIGH_PATCH_PX // scale, scale)
        # LPIPS does not see what repeats with its stride: a random shift leaves no grid where errors could gather.
        y, x = rng.integers(8, size=2)
        with torch.autocast(device.type, torch.bfloat16):
            made = run.model(coded(low, rng).contiguous(memory_format=torch.channels_last))
            distance = perceptual(made[:, :, y:, x:].float(), high[:, :, y:, x:])
            verdict = adversary.judge(made).float()
        shrunken = F.interpolate(made, size=low.shape[2:], mode="bicubic", antialias=True, align_corners=False)
        agreement = F.l1_loss(shrunken, low)
        loss = L1 * charbonnier(made, high) + PERCEPTUAL * distance + AGREEMENT * agreement
        loss = loss + EVENNESS * unevenness(made.float(), scale)
        if progress > ADVERSARY_FROM:
            loss = loss - ADVERSARIAL * verdict.mean()
        run.update(loss, rate(progress, RATE_FACTOR * PEAK_RATE), clip=0.5)
        adversary.update(high, made.detach())
        return {"LPIPS": distance, "agreement": agreement}

    run_until(run, path, log, step, steps=options.steps, minutes=options.minutes, beside=adversary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length of the run in steps: the same on every machine")
    length.add_argument("--minutes", type=float, help="length of the run by the clock; the rate follows the clock too")
    parser.add_argument("--device", default="cpu", help="cuda, with a --batch of 32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
