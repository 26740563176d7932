"""A patch discriminator with a hinge loss and spectral normalisation (Miyato et al., ICLR 2018): what tells made from real."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as the field writes it
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Sequential):
    """[N, 3, H, W] in [0, 1] -> [N, 1, H/8, W/8]: whether each patch is a photograph."""

    def __init__(self) -> None:
        widths, layers = (3, 32, 64, 96), []
        for before, after in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        super().__init__(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))


@dataclass
class Adversary:
    """The discriminator and its optimiser."""

    judge: Discriminator
    optimiser: torch.optim.Optimizer

    def save(self, path: Path) -> None:
        torch.save({"judge": self.judge.state_dict(), "optimiser": self.optimiser.state_dict()}, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=next(self.judge.parameters()).device)
        self.judge.load_state_dict(state["judge"])
        self.optimiser.load_state_dict(state["optimiser"])

    def update(self, real: Tensor, fake: Tensor, where: Tensor | None = None) -> None:
        """One step of the hinge loss; `where` [N, 1, H, W]: only patches that these pixels reach are fakes."""
        with torch.autocast(real.device.type, torch.bfloat16):
            genuine, made = self.judge(real).float(), self.judge(fake).float()
        seen = torch.ones_like(made) if where is None else F.adaptive_max_pool2d(where, made.shape[2:])
        judged = F.relu(1 - genuine).mean() + (F.relu(1 + made) * seen).sum() / (seen.sum() + 1)
        self.optimiser.zero_grad()
        judged.backward()
        self.optimiser.step()


def new_adversary(device: torch.device) -> Adversary:
    judge = Discriminator().to(device, memory_format=torch.channels_last)
    return Adversary(judge, torch.optim.Adam(judge.parameters(), lr=2e-4, betas=(0.5, 0.99), fused=device.type == "cuda"))
