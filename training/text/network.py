"""Finds the strokes of overlay text, and corrects what was found by what the colours say.

Two U-Nets (Ronneberger et al., MICCAI 2015) that begin at half resolution (pixel unshuffle, Shi et al., CVPR 2016). The
first gives a probability of stroke for each pixel; a text detector's map tells it what is text, it finds the pixels. The
second is shown that, and how likely the colour of each pixel is a stroke's (colour.py of the model).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pixel_shuffle, pixel_unshuffle

from training.unet import UNet, centred, initialise

STROKE_CHANNELS = (64, 96, 128, 160)
REFINER_CHANNELS = (32, 48, 64, 64)
PYRAMID_LEVELS = 6
CUES = 3


def pull_push(image: Tensor, known: Tensor) -> Tensor:
    """image [N, 3, H, W] with weights known [N, 1, H, W] in [0, 1] -> a smooth fill of what is not known, [N, 3, H, W].

    Pull: means of 2x2 weighted by what is known, weights saturating. Push: each level keeps what it knows and takes the
    rest from the coarser one. H and W are multiples of 2 ** (PYRAMID_LEVELS - 2); the coarsest level is one mean.
    """
    levels = [(image * known, known)]
    for _ in range(PYRAMID_LEVELS - 2):
        total, weight = (avg_pool2d(part, 2) for part in levels[-1])
        # A cell of which a quarter is known counts as known: its mean is better than the coarser level's.
        gain = 1 / weight.clamp(min=0.25)
        levels.append((total * gain, weight * gain))
    total, weight = levels[-1]
    fill = total.mean((2, 3), keepdim=True) / (weight.mean((2, 3), keepdim=True) + 1e-4)
    for index, (total, weight) in enumerate(reversed(levels)):
        if index:
            fill = interpolate(fill, scale_factor=2.0, mode="bilinear", align_corners=False)
        fill = total + (1 - weight) * fill
    return fill


def contrasts(image: Tensor, hint: Tensor) -> Tensor:
    """How far each pixel is from what may lie behind the text, without a sign: [N, CUES, H, W], 0 to 4.

    Behind it: the fill of the hinted lines, grown by 8 px and by 24 px (the detector marks lines shrunk); and the mean of the
    surroundings, for letters that it does not see.
    """
    coarse = max_pool2d(hint.amax(1, keepdim=True), 4)
    lines = [max_pool2d(coarse, 2 * reach + 1, 1, reach) for reach in (2, 6)]
    behind = [pull_push(image, 1 - interpolate(line, scale_factor=4.0, mode="nearest")) for line in lines]
    behind.append(interpolate(avg_pool2d(image, 16), scale_factor=16.0, mode="bilinear", align_corners=False))
    return 4 * torch.cat([(image - each).abs().amax(1, keepdim=True) for each in behind], 1)


class Finder(nn.Module):
    """image float [N, 3, H, W] and hint [N, 2, H, W] in [0, 1] -> logits of a stroke, [N, 1, H, W].

    H and W are multiples of 16; the hint is the detector's map at full and at half size, as text_removal makes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strokes = UNet(12 + 8 + 4 * CUES, STROKE_CHANNELS)
        self.stroke_head = nn.Conv2d(STROKE_CHANNELS[0], 4, 3, padding=1)
        initialise(self)
        with torch.no_grad():  # it begins near "no stroke"
            self.stroke_head.weight.mul_(0.3)
            self.stroke_head.bias.fill_(-2.0)

    def forward(self, image: Tensor, hint: Tensor) -> Tensor:
        seen = [pixel_unshuffle(part, 2) for part in (centred(image), hint, contrasts(image, hint))]
        return pixel_shuffle(self.stroke_head(self.strokes(torch.cat(seen, 1))), 2).float()


class Refiner(nn.Module):
    """What text_removal sees, float [N, 7, H, W] in [0, 1] -> logits of a stroke, [N, 1, H, W].

    Image (3), the detector's map at two sizes (2), the Finder's probability, the likelihood of the colour (colour.py). It
    corrects that probability, and begins with no correction. H and W are multiples of 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = UNet(4 * 7, REFINER_CHANNELS)
        self.head = nn.Conv2d(REFINER_CHANNELS[0], 4, 3, padding=1)
        initialise(self)
        nn.init.zeros_(self.head.weight)

    def forward(self, seen: Tensor) -> Tensor:
        said = torch.logit(seen[:, 5:], eps=1 / 255)
        shown = torch.cat([centred(seen[:, :3]), seen[:, 3:5], 0.5 * said], 1)
        return pixel_shuffle(self.head(self.body(pixel_unshuffle(shown, 2))), 2).float() + said[:, :1]


class Networks(nn.Module):
    """Both of text_removal, which are trained side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.finder, self.refiner = Finder(), Refiner()
