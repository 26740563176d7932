"""The text detector that the service has, as a hint to the network: where lines of text are, at two scales.

PP-OCR (model_repository/text_detect), published and trained on far more text than could be drawn here. It knows what is text
and not where its strokes are; the network learns the rest.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
WEIGHTS = "models/PP-OCRv6_det_small.onnx"


def loaded(path: Path) -> ModuleType:
    """A file of a model as a module, its neighbours importable, as Triton's stub loads it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def detector(repository: Path) -> Any:
    """The TextDetector that is served, with the weights from the installed wheel."""
    wheel = importlib.util.find_spec("rapidocr")
    if wheel is None or wheel.origin is None:
        raise ModuleNotFoundError(
            "rapidocr, whose wheel holds the detector's weights: pip install -r training/requirements.txt"
        )
    module = loaded(repository / "text_detect" / "1" / "detector.py")
    return module.TextDetector(Path(wheel.origin).parent / WEIGHTS)


def hint(detect: Any, image: U8) -> U8:
    """image [H, W, 3] -> [H, W, 2]: the probability of text x 255 seen at full size, and at half size for tall letters."""
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(detect.probability(half), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.dstack([detect.probability(image)[..., 0], coarse])
