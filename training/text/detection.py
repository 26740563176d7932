"""The text detector that the service has: PP-OCR, published and trained on far more text than could be drawn here.

It knows what is text and not where its strokes are; the networks of text_removal are shown its maps, and learn the rest.
"""

import importlib.util
from pathlib import Path
from typing import Any

from training.served import loaded

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
