"""The U-Net that text_removal and inpaint_patch share (Ronneberger et al., MICCAI 2015), and what goes with it.

No normalisation layers: a window's result rests on nothing but its pixels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

DILATIONS = (1, 2, 4, 1)


class Residual(nn.Module):
    """x + relu(conv(x)), 3x3."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.conv(x))


class UNet(nn.Module):
    """[N, C, h, w] -> [N, channels[0], h, w]; h and w multiples of 8."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, channels[0], 3, padding=1)
        self.encoders = nn.ModuleList(Residual(c) for c in channels[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.bottom = nn.Sequential(*(Residual(channels[-1], dilation) for dilation in DILATIONS))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        # Two at the finest level: a stroke is a few pixels wide, and its edge is what counts.
        self.decoders = nn.ModuleList(
            nn.Sequential(Residual(c), Residual(c)) if index == 0 else Residual(c) for index, c in enumerate(channels[:-1])
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = torch.relu(down(x))
        x = self.bottom(x)
        for up, decoder, skip in zip(reversed(self.ups), reversed(self.decoders), reversed(skips), strict=True):
            x = decoder(interpolate(up(x), scale_factor=2.0, mode="nearest") + skip)
        return x


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """He et al. (ICCV 2015), what joins a skip well below it."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if isinstance(layer, Residual):
            layer.conv.weight.mul_(0.25)
        elif isinstance(layer, UNet):
            for up in layer.ups:
                up.weight.mul_(0.5)


def centred(image: Tensor) -> Tensor:
    """[0, 1] to about unit variance."""
    return 4 * (image - 0.5)


def macs_per_pixel(model: nn.Module, *channels: int) -> int:
    """Multiply-accumulates of the convolutions for one pixel of a large window, found by running it on planes of `channels`."""
    counted: list[float] = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        counted.append(layer.weight[0].numel() * output.numel())

    side = 64
    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        model(*(torch.zeros(1, each, side, side) for each in channels))
    for hook in hooks:
        hook.remove()
    return round(sum(counted) / side**2)
