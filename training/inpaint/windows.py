"""What the inpainter is trained on: crops of photographs with random holes, half of them with a rough guide."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as the field writes it
from torch.utils.data import Dataset

from training.data import Photos
from training.inpaint.masks import KINDS, hole

SIZES = ((256, 2),) * 5 + ((384, 1),) * 2 + ((512, 1),)
"""Side in px and number of the crops of step n, by n modulo 8: attention has to learn how many cells a served window has."""


@dataclass(frozen=True)
class Batch:
    """What the network is shown: floats in [0, 1], [N, C, P, P]."""

    truth: Tensor
    hole: Tensor
    guide: Tensor


class Holes(Dataset[tuple[Tensor, Tensor]]):
    """The holes of step n, uint8 [N, 1, P, P], and which of them are guided, bool [N]; they depend on (seed, n) alone."""

    def __init__(self, seed: int, times: int = 1) -> None:
        """`times` as many crops as SIZES says: 1 for a CPU, 12 for a large GPU."""
        self.seed, self.times = seed, times

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, step, 1))
        crop_px, count = SIZES[step % len(SIZES)]
        holes, guided = [], []
        for _ in range(count * self.times):
            share = rng.uniform(0.35, 0.6) if rng.random() < 0.15 else rng.uniform(0.01, 0.35)
            holes.append(hole(rng, crop_px, KINDS[rng.integers(len(KINDS))], share)[None])
            guided.append(share > 0.4 or rng.random() < 0.4)
        return torch.from_numpy(np.stack(holes)), torch.tensor(guided)


def batch(photos: Photos, rng: np.random.Generator, holes: Tensor, guided: Tensor) -> Batch:
    """Crops for the holes, where the photographs are."""
    device = photos.pixels.device
    mask = (holes.to(device, non_blocking=True) > 0).float()
    truth = photos.crops(rng, len(holes), holes.shape[-1]).float() / 255
    truth = truth.contiguous(memory_format=torch.channels_last if device.type == "cuda" else torch.contiguous_format)
    guide = torch.cat([_guide(rng, truth), mask], 1) * guided.to(device, non_blocking=True)[:, None, None, None]
    return Batch(truth, mask, guide)


def _guide(rng: np.random.Generator, truth: Tensor) -> Tensor:
    """A stand-in for a low-resolution fill: the truth shrunk 4 to 8 times, blurred, its tone shifted, with noise, enlarged."""
    count, side = len(truth), truth.shape[-1]
    small_px = round(side / rng.uniform(4, 8))
    small = F.interpolate(truth, size=(small_px, small_px), mode="area")
    taps = np.exp(-(np.arange(-4, 5) ** 2) / (2 * rng.uniform(0.3, 1.5) ** 2))
    kernel = torch.tensor(np.outer(taps, taps) / taps.sum() ** 2, dtype=torch.float32, device=truth.device)
    small = F.conv2d(F.pad(small, (4,) * 4, mode="replicate"), kernel.expand(3, 1, 9, 9), groups=3)
    drawn = np.concatenate([rng.uniform(0.9, 1.1, (count, 1)), rng.normal(0, 6 / 255, (count, 3))], 1)
    drawn = np.concatenate([drawn, rng.uniform(0, 8 / 255, (count, 1))], 1).astype(np.float32)
    gain, shift, noise = torch.from_numpy(drawn).to(truth.device)[:, :, None, None].split((1, 3, 1), 1)
    generator = torch.Generator(truth.device).manual_seed(int(rng.integers(2**62)))
    small = small * gain + shift + noise * torch.randn(small.shape, device=truth.device, generator=generator)
    return F.interpolate(small.clamp(0, 1), size=(side, side), mode="bilinear")
