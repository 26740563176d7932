"""Corrects a fill: its light everywhere, and all of it near what is known, where it meets its surroundings.

inpaint_classical copies texture, and joins it by a harmonic function: it carries no edge across a scratch, and what it copied
may not belong. A small U-Net sees its fill beside a smooth one and learns which to believe where, and what both have wrong. As
the second of two networks in Yu et al., "Generative Image Inpainting with Contextual Attention", CVPR 2018, it corrects and
does not invent: deep in a hole, where a network of this size would only blur it, the fill keeps its detail. It does not keep
its light: what is copied has that of the place it comes from, and another U-Net, on the picture a quarter the size, says what
its lower frequencies lack.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, max_pool2d, pixel_shuffle, pixel_unshuffle

from training.unet import UNet, centred, initialise

CHANNELS = (32, 64, 64)
TONE_CHANNELS, TONE_PX = (48, 64, 96, 96), 4
MULTIPLE_PX = 8 * TONE_PX
"""Of both sides: the light's U-Net halves what it sees three times."""
DEPTH_LEVELS = 12
"""Levels of 255 for a pixel of depth: how far a pixel of the hole is from what is known, up to 21 px."""
FADES = 1.5
"""The correction is whole down to 7 px, a third of that depth, and fades to nothing at 21."""
TONE_RISES_PX = 4.0
"""How deep in the hole the tone's correction is whole: at the rim the fill has the light of what it meets."""


CALM_LEVELS, TEXTURE_GAIN, OPENED = 1.0, 8.0, 5
"""The light may change by a level and 8 times the fill's texture, looked at in OPENED means of TONE_PX: on a wall beside an
edge, which is no texture, half of a smooth fill is a glow. 4 levels still showed on a dark wall, and brought nothing: LPIPS was
0.344 with 4, 2 and 1 on 54 windows of other photographs, PSNR 22.81, 22.82 and 22.83 dB."""


def room_for_light(fill: Tensor) -> Tensor:
    """How much the light of fill [N, 3, H, W] may change, [N, 1, H, W]: by its texture, without what is narrow (an opening)."""
    smooth = interpolate(avg_pool2d(fill, TONE_PX), scale_factor=float(TONE_PX), mode="bilinear", align_corners=False)
    texture = avg_pool2d((fill - smooth).abs().mean(1, keepdim=True), TONE_PX)
    eroded = -max_pool2d(-texture, OPENED, 1, OPENED // 2)
    room = CALM_LEVELS / 255 + TEXTURE_GAIN * max_pool2d(eroded, OPENED, 1, OPENED // 2)
    return interpolate(room, scale_factor=float(TONE_PX), mode="bilinear", align_corners=False)


def share_of(depth: Tensor) -> Tensor:
    """How much of the correction a pixel gets, by its depth in the hole: both in [0, 1]."""
    return (depth * (255 / DEPTH_LEVELS)).clamp(max=1) * (FADES * (1 - depth)).clamp(max=1)


class Tone(nn.Module):
    """What the fill's lower frequencies lack, [N, 3, H, W]: a U-Net that sees the picture in means of TONE_PX.

    What is copied from elsewhere has that place's light. Begins with 0.3 of the way to the smooth fill.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = UNet(3 + 3 + 2, TONE_CHANNELS)
        self.head = nn.Conv2d(TONE_CHANNELS[0], 4, 3, padding=1)
        initialise(self)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias[3] = -0.85

    def forward(self, fill: Tensor, smooth: Tensor, hole: Tensor, depth: Tensor) -> Tensor:
        small = avg_pool2d(torch.cat([centred(fill), 4 * (smooth - fill), hole, depth], 1), TONE_PX)
        said = self.head(self.body(small))
        lacks = 0.25 * (torch.sigmoid(said[:, 3:]) * small[:, 3:6] + said[:, :3])
        lacks = interpolate(lacks, scale_factor=float(TONE_PX), mode="bilinear", align_corners=False)
        most, room = lacks.abs().amax(1, keepdim=True) + 1e-6, room_for_light(fill)
        return lacks * (room * torch.tanh(most / room) / most)


class Refiner(nn.Module):
    """seen float [N, 7, H, W] in [0, 1] -> the picture corrected in the hole, [N, 3, H, W].

    seen: the filled picture, another whose fill is smooth, the depth. H and W are multiples of MULTIPLE_PX. Begins with little
    of a correction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = UNet(4 * 8, CHANNELS)
        self.head = nn.Conv2d(CHANNELS[0], 16, 3, padding=1)
        initialise(self)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias[12:] = -1.5  # a fifth of the smooth fill
        self.tone = Tone()  # initialised by itself
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("binomial", torch.outer(taps, taps).expand(4, 1, 3, 3).contiguous(), persistent=False)

    def forward(self, seen: Tensor) -> Tensor:
        fill, smooth, depth = seen[:, :3], seen[:, 3:6], seen[:, 6:]
        hole = (depth * (255 / DEPTH_LEVELS)).clamp(max=1)
        fill = fill + (depth * (255 / DEPTH_LEVELS / TONE_RISES_PX)).clamp(max=1) * self.tone(fill, smooth, hole, depth)
        shown = torch.cat([centred(fill), 4 * (smooth - fill), hole, depth], 1)
        said = pixel_shuffle(self.head(self.body(pixel_unshuffle(shown, 2))), 2)
        # Each of four neighbours comes from other weights: without this they draw grids of 2 px, which LPIPS takes for texture.
        said = conv2d(said, self.binomial, padding=1, groups=4)
        return fill + share_of(depth) * (torch.sigmoid(said[:, 3:]) * (smooth - fill) + 0.25 * said[:, :3])
