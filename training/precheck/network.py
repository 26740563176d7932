"""Is a masked region text? One logit, from some crops of the proxy at its own resolution.

A plain convolutional network of 1.3 kMAC per pixel; its features are averaged over the region and over the ring around it
and their maximum is taken over the region, over all crops at once (masked pooling), and a layer of 32 decides.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pixel_unshuffle

WIDTHS = (16, 24, 32)
STRIDE_PX = 8
"""Of the features that are pooled; crops are multiples of it."""


class PrecheckNet(nn.Module):
    """crops uint8 [K, S, S, 3], weights uint8 [K, S, S, 2] (region, ring; 0 or 1) -> logit [1]."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.features = nn.Sequential(
            *(nn.Conv2d(12, first, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(first, second, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(second, second, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(second, third, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(third, third, 3, padding=2, dilation=2), nn.ReLU()),
        )
        self.decide = nn.Sequential(nn.Linear(3 * third, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, crops: Tensor, weights: Tensor) -> Tensor:
        image = crops.permute(0, 3, 1, 2).float() / 64 - 2
        features = self.features(pixel_unshuffle(image, 2))
        shares = avg_pool2d(weights.permute(0, 3, 1, 2).float(), STRIDE_PX)
        region, ring = shares[:, :1], shares[:, 1:]
        means = [(features * w).sum((0, 2, 3)) / (w.sum() + 1e-6) for w in (region, ring)]
        most = (features * (region > 0.25).float()).amax((0, 2, 3))
        return self.decide(torch.cat([*means, most]))
