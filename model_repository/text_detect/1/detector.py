"""The PP-OCR text detector behind uint8 pixels: what to do before and after the network.

Source: Liao et al., "Real-time Scene Text Detection with Differentiable Binarization" (AAAI 2020), in PaddleOCR's PP-OCRv6
weights as RapidOCR ships them. Channel order (BGR), mean and deviation (0.5, 0.5) are those of rapidocr 3.10's
config.yaml and ch_ppocr_det. Unlike rapidocr the picture is never scaled: it is padded to a multiple of 32.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

MULTIPLE_PX = 32


def prepared(image: U8) -> NDArray[np.float32]:
    """[H,W,3] uint8 RGB to the graph's input [1,3,H',W'] float32 in -1..1; H', W' are the next multiples of 32.

    The padding repeats the last row and column: a black border would be an edge, and edges are what text is made of.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX), (0, 0)), mode="edge")
    bgr = padded[..., ::-1].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(bgr, dtype=np.float32) * np.float32(2.0 / 255.0) - np.float32(1.0)


class TextDetector:
    """Text probability of every pixel of a picture. Deterministic; not tied to a picture size."""

    def __init__(self, model_path: Path, threads: int = 1) -> None:
        import onnxruntime  # here, so that `prepared` can be read and tested without the runtime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Windows differ in size, and the arena would keep the largest of each shape for good.
        options.enable_cpu_mem_arena = False
        self._session: Any = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
        self._input_name: str = self._session.get_inputs()[0].name

    def probability(self, image: U8) -> U8:
        """[H,W,3] uint8 RGB to [H,W,1] uint8: 255 times the probability that the pixel is in a line of text."""
        height, width = image.shape[:2]
        (probability,) = self._session.run(None, {self._input_name: prepared(image)})
        return np.rint(probability[0, 0, :height, :width, None] * 255.0).astype(np.uint8)
