"""Corrects a fill near what is known: where it meets its surroundings, and all of it where the hole is thin.

inpaint_classical copies texture, and joins it by a harmonic function: it carries no edge across a scratch, and what it copied
may not belong. A small U-Net sees its fill beside a smooth one and learns which to believe where, and what both have wrong. As
the second of two networks in Yu et al., "Generative Image Inpainting with Contextual Attention", CVPR 2018, it corrects and
does not invent: deep in a hole the fill stays as it is, where a network of this size would only blur it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle

from training.unet import UNet, centred, initialise

CHANNELS = (32, 64, 64)
DEPTH_LEVELS = 12
"""Levels of 255 for a pixel of depth: how far a pixel of the hole is from what is known, up to 21 px."""
FADES = 1.5
"""The correction is whole down to 7 px, a third of that depth, and fades to nothing at 21."""


def share_of(depth: Tensor) -> Tensor:
    """How much of the correction a pixel gets, by its depth in the hole: both in [0, 1]."""
    return (depth * (255 / DEPTH_LEVELS)).clamp(max=1) * (FADES * (1 - depth)).clamp(max=1)


class Refiner(nn.Module):
    """seen float [N, 7, H, W] in [0, 1] -> the picture corrected in the hole, [N, 3, H, W].

    seen: the filled picture, another whose fill is smooth, the depth. H and W are multiples of 16. Begins with little of a
    correction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = UNet(4 * 8, CHANNELS)
        self.head = nn.Conv2d(CHANNELS[0], 16, 3, padding=1)
        initialise(self)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias[12:] = -1.5  # a fifth of the smooth fill
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("binomial", torch.outer(taps, taps).expand(4, 1, 3, 3).contiguous(), persistent=False)

    def forward(self, seen: Tensor) -> Tensor:
        fill, smooth, depth = seen[:, :3], seen[:, 3:6], seen[:, 6:]
        hole = (depth * (255 / DEPTH_LEVELS)).clamp(max=1)
        shown = torch.cat([centred(fill), 4 * (smooth - fill), hole, depth], 1)
        said = pixel_shuffle(self.head(self.body(pixel_unshuffle(shown, 2))), 2)
        # Each of four neighbours comes from other weights: without this they draw grids of 2 px, which LPIPS takes for texture.
        said = conv2d(said, self.binomial, padding=1, groups=4)
        return fill + share_of(depth) * (torch.sigmoid(said[:, 3:]) * (smooth - fill) + 0.25 * said[:, :3])
