"""What a network changes in a fill (training/inpaint/network.py). Deaf to Triton, deterministic."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

cv2.setNumThreads(1)

DEPTH_LEVELS = 12
"""Levels of 255 for a pixel of depth, as the network has it: what is 21 px deep in the hole, or deeper, stays as it is."""
SMOOTH_RADIUS_PX = 3
CONTEXT_PX, MULTIPLE_PX = 64, 16


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
    """The exported network of a folder, in an ONNX Runtime session of `threads` threads."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime  # here, so that the other files can be read and tested without the runtime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Holes differ in size, and the arena would keep the largest of each shape for good.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def __call__(self, filled: U8, mask: U8) -> U8:
        """`filled` [H,W,3] with its pixels where `mask` [H,W,1] > 0 corrected, all others as they came; both uint8."""
        hole = mask[..., 0] > 0
        window = _window(hole)
        if window is None or hole.all():
            return filled
        shown = seen(np.ascontiguousarray(filled[window]), mask[..., 0][window])
        height, width = shown.shape[:2]
        padded = np.pad(shown, ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX), (0, 0)), mode="edge")
        corrected = self._session.run(["result"], {"seen": padded[None]})[0][0, :height, :width]
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
