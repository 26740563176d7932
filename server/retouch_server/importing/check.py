"""The exported model against its source: the same to within one level, on noise and on something like a photograph."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retouch_server.importing.pictures import discs, noise, photograph_like
from retouch_server.importing.source import U8, ModelImportError, Run, Source

MOST_LEVELS = 1
"""Two orders of adding the same floats can fall on either side of a rounding; nothing else may differ."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two results, in levels of 8 bits. share: of the values that differ at all."""

    picture: str
    greatest: int
    share: float


def open_onnx(path: Path) -> Run:
    """The file as a function, in ONNX Runtime on the CPU."""
    import onnxruntime

    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(image: U8, mask: U8 | None) -> U8:
        feed = {"image": image} if mask is None else {"image": image, "mask": mask}
        return session.run(["result"], feed)[0]

    return run


def differs(run: Run, truth: Run, image: U8, mask: U8 | None, picture: str = "") -> Difference:
    """How far `run` is from `truth` on a picture."""
    ours, theirs = run(image, mask), truth(image, mask)
    if ours.shape != theirs.shape:
        return Difference(picture, 255, 1.0)
    levels = np.abs(ours.astype(np.int16) - theirs)
    return Difference(picture, int(levels.max()), float((levels > 0).mean()))


def check(run: Run, source: Source, side_px: int, told: Callable[[str], None]) -> list[Difference]:
    """On a window of `side_px`. Errors: ModelImportError when it is further off than rounding, or shows what is in a hole."""
    mask = discs(side_px, side_px) if source.takes_mask else None
    found: list[Difference] = []
    for picture, image in (("noise", noise(side_px, side_px, 1)), ("photograph-like", photograph_like(side_px, side_px, 1))):
        told(f"comparing with the source on {side_px}×{side_px} px, {picture}")
        difference = differs(run, source.run, image, mask, picture)
        if difference.greatest > MOST_LEVELS:
            raise ModelImportError(
                f"the ONNX file differs from its source by {difference.greatest} levels on a {picture} window, "
                f"where {MOST_LEVELS} is allowed; the model was not imported"
            )
        found.append(difference)
    if mask is not None:
        check_hole(run, side_px, mask, told)
    return found


def check_hole(run: Run, side_px: int, mask: U8, told: Callable[[str], None]) -> None:
    """Errors: ModelImportError when the pixels in the hole change the result, or those outside are changed by it."""
    told("looking whether what is in the hole matters")
    image = photograph_like(side_px, side_px, 2)
    other = np.where(mask > 0, noise(side_px, side_px, 3), image)
    result = run(image, mask)
    if not np.array_equal(result, run(other, mask)):
        raise ModelImportError("the model's fill depends on the pixels in the hole, which it must not see")
    if not np.array_equal(np.where(mask > 0, 0, result), np.where(mask > 0, 0, image)):
        raise ModelImportError("the model changes pixels outside the hole")
