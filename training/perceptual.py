"""The perceptual loss. SqueezeNet's features train, AlexNet's measure: what is measured is not what was optimised."""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as the field writes it


class Perceptual:
    """LPIPS v0.1 (Zhang et al., CVPR 2018) on SqueezeNet features, differentiable."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        """folder: `lpips` of the data, with the published weights and a loader for them."""
        spec = importlib.util.spec_from_file_location("lpips_offline", folder / "lpips_offline.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(folder / "lpips_offline.py")
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.metric = module.LPIPS("squeeze", device=device)

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
