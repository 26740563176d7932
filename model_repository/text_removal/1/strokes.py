"""Which pixels of a picture are strokes of overlay text: a network (training/text), shown the picture and the detector's map.

The detector (text_detect) knows what text is and where its lines are, not where its strokes are; the network finds the pixels.
Deterministic.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

MULTIPLE_PX = 16


class StrokeFinder:
    """The exported network in one ONNX Runtime session of `threads` threads."""

    def __init__(self, model_path: Path, threads: int = 1) -> None:
        import onnxruntime  # here, so that the other files can be read and tested without the runtime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Pieces differ in size, and the arena would keep the largest of each shape for good.
        options.enable_cpu_mem_arena = False
        self._session: Any = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])

    def __call__(self, image: U8, hint: U8) -> U8:
        """[H,W,1]: 255 times the probability that a pixel is a stroke's; any size from 1 x 1.

        image [H,W,3] RGB; hint [H,W,2]: the detector's map of the picture at full and at half size; all uint8.
        """
        height, width = image.shape[:2]
        pad = ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX), (0, 0))
        shown = {name: np.pad(part, pad, mode="edge")[None] for name, part in (("image", image), ("hint", hint))}
        return self._session.run(["strokes"], shown)[0][0, :height, :width]
