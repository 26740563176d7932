"""Counts the characters of an overlay that PP-OCR reads (rapidocr; Apache-2.0), before and after it was removed."""

from dataclasses import dataclass
from difflib import SequenceMatcher

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidocr import RapidOCR

U8 = NDArray[np.uint8]
LEAST_SHARE = 0.02
"""Of a line's box that strokes must cover for the line to be the overlay's; thin small letters cover a tenth."""


@dataclass(frozen=True)
class Line:
    """What was read, and the corners [4, 2] (x, y) of where."""

    text: str
    box: NDArray[np.float32]


class Reader:
    """PP-OCR as rapidocr sets it up, one thread."""

    def __init__(self) -> None:
        runtime = "EngineConfig.onnxruntime"
        threads = {f"{runtime}.intra_op_num_threads": 1, f"{runtime}.inter_op_num_threads": 1}
        self._engine = RapidOCR(params=threads | {"Global.log_level": "error", "Global.use_cls": False})

    def lines(self, image: U8) -> list[Line]:
        """The lines read in `image` [H, W, 3] uint8 RGB."""
        found = self._engine(np.ascontiguousarray(image[..., ::-1]))
        if found.boxes is None:
            return []
        pairs = zip(found.txts, found.boxes, strict=True)
        return [Line(text.replace(" ", ""), np.asarray(box, np.float32)) for text, box in pairs]


def overlay_lines(lines: list[Line], strokes: NDArray[np.bool_]) -> list[Line]:
    """Those that lie on the overlay's strokes [H, W]."""
    return [line for line in lines if line.text and strokes[_inside(line, strokes.shape)].mean() >= LEAST_SHARE]


def still_read(before: list[Line], after: list[Line], shape: tuple[int, ...]) -> int:
    """How many characters of `before` are read again, in their order, in lines of `after` that touch their box."""
    count = 0
    for line in before:
        there = _inside(line, shape)
        rest = "".join(other.text for other in after if (there & _inside(other, shape)).any())
        blocks = SequenceMatcher(None, line.text, rest, autojunk=False).get_matching_blocks()
        count += sum(block.size for block in blocks)
    return count


def _inside(line: Line, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    drawn = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(drawn, [np.rint(line.box).astype(np.int32)], 1)
    return drawn > 0
