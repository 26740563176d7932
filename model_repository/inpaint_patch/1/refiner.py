"""What a network changes in a fill (training/inpaint/network.py). Deaf to Triton, deterministic."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

cv2.setNumThreads(1)

DEPTH_LEVELS = 12
"""Levels of 255 for a pixel of depth, as the network has it: it tells depths apart up to 21 px."""
LED_FADES = 1.5
"""Where a guide led, the correction is whole down to 7 px, a third of that, and fades to nothing at 21."""
SMOOTH_RADIUS_PX = 3
CONTEXT_PX, MULTIPLE_PX = 64, 32


def seen(filled: U8, hole: U8) -> U8:
    """[H,W,7]: what the network is shown of a filled picture [H,W,3] and its hole [H,W], > 0 in it; all uint8.

    The picture; the same with a smooth fill (Bertalmio, Bertozzi, Sapiro, CVPR 2001, as OpenCV has it); the hole's depth.
    """
    smooth = cv2.inpaint(filled, (hole > 0).astype(np.uint8), SMOOTH_RADIUS_PX, cv2.INPAINT_NS)
    return np.dstack([filled, smooth, depth_of(hole)])


def depth_of(hole: U8) -> U8:
    """DEPTH_LEVELS for each pixel between a pixel of the hole [H,W] and the nearest outside; 0 there, 255 where none is."""
    distance_px = cv2.distanceTransform((hole > 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(np.rint(distance_px * DEPTH_LEVELS), 0, 255).astype(np.uint8)


class Refiner:
    """The exported network of a folder, in an ONNX Runtime session of one thread.

    With `flipped` its answer is the mean of four, of the picture as it is, mirrored, upside down and both: what one gets wrong
    the others need not (Lim et al., "Enhanced Deep Residual Networks", CVPRW 2017: geometric self-ensemble).
    """

    def __init__(self, folder: Path, *, flipped: bool = False) -> None:
        import onnxruntime  # here, so that the other files can be read and tested without the runtime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Holes differ in size, and the arena would keep the largest of each shape for good.
        options.enable_cpu_mem_arena = False
        self._views = [np.s_[::y, ::x] for y in (1, -1) for x in (1, -1)][: 4 if flipped else 1]
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def __call__(self, filled: U8, mask: U8, guide: U8 | None = None) -> U8:
        """`filled` [H,W,3] with its pixels where `mask` [H,W,1] > 0 corrected, all others as they came; all uint8.

        Where `guide` [H,W,4] has confidence (> 0) only what is near the hole's edge is: deeper in, several windows share what
        it tells, and each would correct it otherwise.
        """
        hole = mask[..., 0] > 0
        window = _window(hole)
        if window is None or hole.all():
            return filled
        shown = seen(np.ascontiguousarray(filled[window]), mask[..., 0][window])
        height, width = shown.shape[:2]
        padded = np.pad(shown, ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX), (0, 0)), mode="edge")
        answers = [self._session.run(["result"], {"seen": padded[view][None]})[0][0][view] for view in self._views]
        corrected = np.rint(np.mean(answers, axis=0))[:height, :width].astype(np.uint8)
        if guide is not None and guide[window][..., 3].any():
            share = np.where(guide[window][..., 3] > 0, np.clip(LED_FADES * (1 - shown[..., 6] / 255.0), 0, 1), 1)[..., None]
            corrected = np.rint(share * corrected + (1 - share) * filled[window]).astype(np.uint8)
        result = filled.copy()
        result[window] = np.where(hole[window][..., None], corrected, filled[window])
        return result


def _window(hole: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The rectangle that holds the hole [H,W] and CONTEXT_PX around it; None where there is no hole."""
    sides = [np.flatnonzero(hole.any(axis)) for axis in (1, 0)]
    if not sides[0].size:
        return None
    y, x = (slice(max(0, int(at[0]) - CONTEXT_PX), int(at[-1]) + 1 + CONTEXT_PX) for at in sides)
    return y, x
