"""A plain convolutional upscaler with an anchor-based residual.

Anchor (every input pixel repeated scale x scale times) plus a learned residual, as in ABPN (Du et al., "Anchor-based
Plain Net for Mobile Image Super-Resolution", CVPR workshops 2021), upsampled by sub-pixel convolution (Shi et al., CVPR
2016). While it is trained each body convolution is a product of two and an identity, and is served as the one 3x3
convolution that they collapse into (SESR, Bhardwaj et al., MLSys 2022): more ways to move for the optimiser, no cost.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as the field writes it

CHANNELS = 32
BODY_CONVOLUTIONS = 14
EXPANSION = 4
SLOPE = 0.1  # of the leaky rectifiers
# One pixel for each 3x3 convolution: the head, the body, the tail.
RECEPTIVE_FIELD_PX = BODY_CONVOLUTIONS + 2


class Collapsible(nn.Module):
    """x + (1x1 after 3x3)(x), computed as one 3x3 convolution; `weight` and `bias` are that one's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.expand = nn.Parameter(torch.empty(wide, channels, 3, 3))
        self.squeeze = nn.Parameter(torch.empty(channels, wide))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("identity", nn.init.dirac_(torch.empty(channels, channels, 3, 3)), persistent=False)
        nn.init.kaiming_normal_(self.expand, nonlinearity="linear")
        nn.init.normal_(self.squeeze, std=0.3 * wide**-0.5)

    @torch.no_grad()
    def collapse_to(self, weight: Tensor) -> None:
        """From now on computes `weight` [channels, channels, 3, 3], by the smallest `expand` that does so."""
        wanted = (weight - self.identity).flatten(1)
        self.expand.copy_((torch.linalg.pinv(self.squeeze) @ wanted).view_as(self.expand))

    @property
    def weight(self) -> Tensor:
        """[channels, channels, 3, 3]"""
        return (self.squeeze @ self.expand.flatten(1)).view_as(self.identity) + self.identity

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            weight = self.weight
        return F.conv2d(features, weight, self.bias, padding=1)


class Upscaler(nn.Module):
    """float [N, 3, H, W] in [0, 1] -> float [N, 3, H * scale, W * scale], not clipped."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.ModuleList(Collapsible(CHANNELS) for _ in range(BODY_CONVOLUTIONS))
        self.tail = nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        first = features = F.leaky_relu(self.head(image), SLOPE)
        for layer in self.body:
            features = F.leaky_relu(layer(features), SLOPE)
        residual = self.tail(features + first).float()
        anchor = image.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(residual + anchor, self.scale)


def macs_per_input_pixel(scale: int) -> int:
    """Multiply-accumulates of the convolutions for one input pixel.

    >>> macs_per_input_pixel(2), macs_per_input_pixel(4)
    (133344, 143712)
    """
    return 9 * (3 * CHANNELS + BODY_CONVOLUTIONS * CHANNELS**2 + CHANNELS * 3 * scale**2)
