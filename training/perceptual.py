"""The perceptual loss. SqueezeNet's features train, AlexNet's measure: what is measured is not what was optimised."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as the field writes it


def load_lpips(folder: Path, network: str, device: torch.device | str = "cpu") -> Any:
    """LPIPS v0.1 (Zhang et al., CVPR 2018) on `network`, squeeze or alex; [N, 3, H, W] in [-1, 1] twice -> [N].

    folder: `lpips` of the data, with the published weights and a loader for them.
    """
    spec = importlib.util.spec_from_file_location("lpips_offline", folder / "lpips_offline.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / "lpips_offline.py")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LPIPS(network, device=device)


class Perceptual:
    """LPIPS on SqueezeNet features, differentiable."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        self.metric = load_lpips(folder, "squeeze", device)

    def __call__(self, result: Tensor, truth: Tensor) -> Tensor:
        """The mean distance of [N, 3, H, W] in [0, 1] over batch and place."""
        with torch.no_grad():
            wanted = self.metric.feats(truth * 2 - 1)
        total = torch.zeros((), device=result.device)
        for index, (ours, theirs) in enumerate(zip(self.metric.feats(result * 2 - 1), wanted, strict=True)):
            difference = (_unit(ours.float()) - _unit(theirs.float())) ** 2
            total = total + F.conv2d(difference, self.metric.w[f"lin{index}"]).mean()
        return total


def _unit(features: Tensor) -> Tensor:
    return features / torch.sqrt(features.pow(2).sum(1, keepdim=True) + 1e-8)
