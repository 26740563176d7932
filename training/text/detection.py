"""The text detector that the service has, as a hint to the network: where lines of text are, at two scales.

PP-OCR (model_repository/text_detect), published and trained on far more text than could be drawn here. It knows what is text
and not where its strokes are; the network learns the rest.
"""

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from training.onnx_module import OnnxModule
from training.served import loaded

U8 = NDArray[np.uint8]
WEIGHTS = "models/PP-OCRv6_det_small.onnx"


def weights() -> Path:
    """The detector's, in the installed wheel."""
    wheel = importlib.util.find_spec("rapidocr")
    if wheel is None or wheel.origin is None:
        raise ModuleNotFoundError(
            "rapidocr, whose wheel holds the detector's weights: pip install -r training/requirements.txt"
        )
    return Path(wheel.origin).parent / WEIGHTS


def detector(repository: Path) -> Any:
    """The TextDetector that is served."""
    return loaded(repository / "text_detect" / "1" / "detector.py").TextDetector(weights())


def hint(detect: Any, image: U8) -> U8:
    """image [H, W, 3] -> [H, W, 2]: the probability of text x 255 seen at full size, and at half size for tall letters."""
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(detect.probability(half), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.dstack([detect.probability(image)[..., 0], coarse])


class HintMaker:
    """`hint` of whole batches on any device; the same to within a level or two."""

    def __init__(self, device: torch.device | str = "cpu", path: Path | None = None) -> None:
        self.network = OnnxModule(path or weights()).to(device).eval()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] RGB -> uint8 [N, 2, H, W]; H and W multiples of 64."""
        pixels = images.float()
        half = interpolate(self._probability(torch.round(avg_pool2d(pixels, 2))), scale_factor=2.0, mode="bilinear")
        return torch.cat([self._probability(pixels), half], 1).round().to(torch.uint8)

    def _probability(self, pixels: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.is_cuda):
            return torch.round(self.network(pixels.flip(1) * (2 / 255) - 1).float() * 255)
