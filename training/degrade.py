"""What happens to pictures before they reach the service, on batches and on any device: shrinking and JPEG."""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as the field writes it

from training.imaging import cubic

MARGIN_PX = 2
"""Pixels of the reduced picture, on each side, that `reduced` leaves out: its kernel would have seen beyond the crop."""


def reduced(high: Tensor, scale: int) -> Tensor:
    """imaging.downscale of crops: [N, 3, (P + 4) * scale, ...] -> [N, 3, P, P], floats in [0, 1] of whole levels.

    Antialiased bicubic, MATLAB's `imresize(high, 1/scale)`, rounded to 8 bits; scale is even.
    """
    taps = cubic((np.arange(4 * scale) + 0.5) / scale - 2)
    kernel = torch.tensor(taps / taps.sum(), dtype=torch.float32, device=high.device)
    planes = high.float().flatten(0, 1)[:, None]
    before = 3 * scale // 2
    planes = F.conv2d(planes, kernel.view(1, 1, -1, 1), stride=(scale, 1), padding=(before, 0))
    planes = F.conv2d(planes, kernel.view(1, 1, 1, -1), stride=(1, scale), padding=(0, before))
    inner = slice(MARGIN_PX, -MARGIN_PX)
    levels = torch.floor(planes.clamp(0, 255) + 0.5)[:, 0, inner, inner]
    return levels.unflatten(0, (-1, 3)) / 255


# ITU-T T.81, annex K: the tables that encoders scale by quality.
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99"""


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Quantisation tables [64] of luma and chroma, and the 8 x 8 DCT as a matrix [64, 64] on rows of pixels."""
    luma, chroma = (np.array(table.split(), np.float32) for table in (_LUMA, _CHROMA))
    chroma = np.concatenate([chroma, np.full(32, 99, np.float32)])
    k, n = np.mgrid[0:8, 0:8]
    one = np.sqrt(np.where(k == 0, 1 / 8, 1 / 4)) * np.cos((2 * n + 1) * k * np.pi / 16)
    both = np.kron(one, one).astype(np.float32)
    return tuple(torch.from_numpy(table).to(device) for table in (luma, chroma, both))  # type: ignore[return-value]


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Through JPEG (ITU-T T.81, 4:2:0) and back: [N, 3, H, W] in [0, 1], quality [N] 1-100; sides multiples of 16.

    libjpeg's scaling of the tables, and its smooth enlargement of chroma to within rounding. No gradient.
    """
    luma_table, chroma_table, _ = _tables(images.device)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None]
    tables = [torch.floor((table * percent + 50) / 100).clamp(1, 255) for table in (luma_table, chroma_table)]
    red, green, blue = (images * 255).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1)
    luma = _coded(luma[:, None] - 128, tables[0])[:, 0] + 128
    chroma = F.interpolate(_coded(F.avg_pool2d(chroma, 2), tables[1]), scale_factor=2.0, mode="bilinear")
    blue, red = luma + 1.772 * chroma[:, 0], luma + 1.402 * chroma[:, 1]
    green = (luma - 0.114 * blue - 0.299 * red) / 0.587
    return torch.round(torch.stack([red, green, blue], 1).clamp(0, 255)) / 255


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """The planes [N, C, H, W] with the coefficients of each 8 x 8 block rounded to multiples of `table` [N, 64]."""
    transform = _tables(planes.device)[2]
    rows, columns = planes.shape[2] // 8, planes.shape[3] // 8
    blocks = planes.unflatten(3, (columns, 8)).unflatten(2, (rows, 8)).transpose(3, 4).flatten(4)
    steps = table[:, None, None, None]
    levels = torch.round(blocks @ transform.T / steps) * steps
    back = levels @ transform
    return back.unflatten(4, (8, 8)).transpose(3, 4).flatten(2, 3).flatten(3)
