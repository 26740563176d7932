"""What the inpainter is trained on: crops of photographs with random holes, half of them with a rough guide."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.data import Pairs
from training.inpaint.masks import KINDS, hole
from training.upscale.train import to_tensor

SIZES = ((160, 4),) * 7 + ((256, 2),)
"""Side in px and number of the crops of step n, by n modulo 8: mostly small ones, more pictures for the same time."""


@dataclass(frozen=True)
class Batch:
    """What the network is shown: floats in [0, 1], [N, C, P, P]."""

    truth: Tensor
    hole: Tensor
    guide: Tensor

    def to(self, device: torch.device) -> "Batch":
        planes = (self.truth, self.hole, self.guide)
        return Batch(*(plane.to(device, non_blocking=True, memory_format=torch.channels_last) for plane in planes))


class Batches(Dataset[Batch]):
    """Batch n depends on (seed, n) alone, so a resumed run sees what an unbroken one would."""

    def __init__(self, pairs: Pairs, seed: int, times: int = 1) -> None:
        """`times` as many crops as SIZES says: 1 for a CPU, 16 for a large GPU."""
        self.pairs, self.seed, self.times = pairs, seed, times

    def __getitem__(self, step: int) -> Batch:
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, step))
        crop_px, count = SIZES[step % len(SIZES)]
        _, truth = self.pairs.batch(rng, count * self.times, crop_px // self.pairs.scale)
        holes, guides = [], []
        for picture in truth:
            share = rng.uniform(0.35, 0.6) if rng.random() < 0.15 else rng.uniform(0.04, 0.35)
            mask = hole(rng, crop_px, KINDS[rng.integers(len(KINDS))], share)
            is_guided = share > 0.4 or rng.random() < 0.4
            guides.append(_guide(rng, picture, mask) if is_guided else np.zeros((crop_px, crop_px, 4), np.uint8))
            holes.append(mask[:, :, None])
        return Batch(to_tensor(truth), to_tensor(np.stack(holes)), to_tensor(np.stack(guides)))


def _guide(rng: np.random.Generator, truth: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A stand-in for a low-resolution fill: the truth shrunk 4 to 8 times, blurred, its tone shifted, with noise, enlarged."""
    side = truth.shape[0]
    small_px = round(side / rng.uniform(4, 8))
    small = cv2.resize(truth, (small_px, small_px), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1.5))
    small = small * rng.uniform(0.9, 1.1) + rng.normal(0, 6, 3) + rng.normal(0, rng.uniform(0, 8), small.shape)
    guide = cv2.resize(np.clip(small, 0, 255).astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.dstack([np.round(guide).astype(np.uint8), np.where(mask, 255, 0).astype(np.uint8)])
