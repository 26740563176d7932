"""A plain convolutional upscaler with an anchor-based residual.

Anchor (every input pixel repeated scale x scale times) plus a learned residual, as in ABPN (Du et al., "Anchor-based
Plain Net for Mobile Image Super-Resolution", CVPR workshops 2021), upsampled by sub-pixel convolution (Shi et al., CVPR
2016). Each body convolution starts at identity + noise, which is what training residual blocks and then collapsing them
into plain convolutions amounts to (SESR, Bhardwaj et al., MLSys 2022), with no collapse to do.
"""

import torch
from torch import Tensor, nn

CHANNELS = 32
BODY_CONVOLUTIONS = 8
# One pixel for each 3x3 convolution: the head, the body, the tail.
RECEPTIVE_FIELD_PX = BODY_CONVOLUTIONS + 2


class Upscaler(nn.Module):
    """float [N, 3, H, W] in [0, 1] -> float [N, 3, H * scale, W * scale], not clipped."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(BODY_CONVOLUTIONS))
        self.tail = nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1)
        with torch.no_grad():
            for layer in self.body:
                layer.weight.add_(nn.init.dirac_(torch.empty_like(layer.weight)))
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.head(image))
        for layer in self.body:
            features = torch.relu(layer(features))
        residual = self.tail(features).float()
        anchor = image.repeat_interleave(self.scale**2, dim=1)
        return nn.functional.pixel_shuffle(residual + anchor, self.scale)


def macs_per_input_pixel(scale: int) -> int:
    """Multiply-accumulates of the convolutions for one input pixel.

    >>> macs_per_input_pixel(2), macs_per_input_pixel(4)
    (78048, 88416)
    """
    return 9 * (3 * CHANNELS + BODY_CONVOLUTIONS * CHANNELS**2 + CHANNELS * 3 * scale**2)
