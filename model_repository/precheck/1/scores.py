"""Two judgements of a masked region, from the proxy alone: is it text, is its texture too fine for a fill at proxy size?

Text: a small network (training/precheck) on crops of the proxy, which crops.py chooses. Texture: texture.py.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from crops import bounds, crops, ring
from numpy.typing import NDArray
from texture import texture_score

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


class Precheck:
    """The exported network in one ONNX Runtime session, and the texture score. Deterministic; for any picture size."""

    def __init__(self, model_path: Path, threads: int = 1) -> None:
        import onnxruntime  # here, so that the other files can be read and tested without the runtime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])

    def scores(self, image: U8, mask: U8) -> F32:
        """[2] float32 in 0..1: (text_score, texture_score) of the region mask > 0 in `image`.

        image [H,W,3] uint8 RGB, mask [H,W,1] uint8, any size from 1 x 1. An empty mask scores (0, 0): nothing is judged.
        """
        if not mask.any():
            return np.zeros(2, np.float32)
        window = bounds(mask[..., 0] > 0)
        piece, region = np.ascontiguousarray(image[window]), (mask[..., 0][window] > 0).astype(np.uint8)
        around = ring(region)
        shown, weights = crops(piece, np.dstack([region, around]))
        (text,) = self._session.run(["score"], {"crops": shown, "weights": weights})
        texture = texture_score(cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY), around)
        return np.array([text[0], texture], np.float32)
