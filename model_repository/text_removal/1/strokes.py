"""Which pixels of a picture are strokes of overlay text: two networks (training/text), and what the colours say between them.

The detector (text_detect) knows what text is and where its lines are, not where its strokes are; the first network finds the
pixels, and takes ground between thick letters for strokes. The second is shown that, the picture again, and how likely the
colour of each pixel is a stroke's (colour.py). Deterministic.
"""

from pathlib import Path
from typing import Any

import numpy as np
from colour import likelihood
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

MULTIPLE_PX = 16


class StrokeFinder:
    """The exported networks of a folder, each in an ONNX Runtime session of `threads` threads."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime  # here, so that the other files can be read and tested without the runtime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Pieces differ in size, and the arena would keep the largest of each shape for good.
        options.enable_cpu_mem_arena = False
        self._first, self._refiner = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in ("model.onnx", "refiner.onnx")
        )

    def __call__(self, image: U8, hint: U8) -> U8:
        """[H,W,1]: 255 times the probability that a pixel is a stroke's; any size from 1 x 1.

        image [H,W,3] RGB; hint [H,W,2]: the detector's map of the picture at full and at half size; all uint8.
        """
        return _run(self._refiner, seen=self.seen(image, hint))

    def seen(self, image: U8, hint: U8) -> U8:
        """[H,W,7]: what the refiner is shown. Image, hint, the first network's probability, the likelihood of the colour."""
        probability = _run(self._first, image=image, hint=hint)
        return np.dstack([image, hint, probability, likelihood(image, probability[..., 0])])


def _run(session: Any, **inputs: U8) -> U8:
    """The output `strokes` [H,W,1] of inputs [H,W,C], which are padded by their edge and cut again."""
    height, width = next(iter(inputs.values())).shape[:2]
    pad = ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX), (0, 0))
    padded = {name: np.pad(values, pad, mode="edge")[None] for name, values in inputs.items()}
    return session.run(["strokes"], padded)[0][0, :height, :width]
