"""What the demo has to show for itself: pictures, and figures in summary.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo.scene import Scene
from benchmarks.photograph import Pixels
from retouch import Done

_GAP_PX = 8
_CLOSE_UP = (slice(380, 740), slice(150, 690))
"""Rows and columns of the input that compare.png shows at the result's size."""


def psnr_db(scene: Scene, after: Pixels) -> Mapping[str, float]:
    """Against the true photograph under what was drawn, before and after; the result is first averaged down to its size."""
    height, width = scene.truth.shape[:2]
    small = cv2.resize(after, (width, height), interpolation=cv2.INTER_AREA)
    return {name: _psnr_db(scene.truth, picture, scene.drawn) for name, picture in (("before", scene.before), ("after", small))}


def summary(scene: Scene, after: Pixels, done: Done, seconds: Mapping[str, float], left: list[str]) -> dict[str, object]:
    """All figures of the run."""
    return {
        "input_px": list(scene.before.shape[:2]),
        "output_px": list(after.shape[:2]),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "stages": [asdict(stage) for stage in done.stages],
        "tiles_run": sum(stage.tiles_run for stage in done.stages),
        "tiles_skipped": sum(stage.tiles_skipped for stage in done.stages),
        "seam_score": done.seam_score,
        "residual_text_score": done.residual_text_score,
        "psnr_under_the_drawing_db": {name: round(value, 2) for name, value in psnr_db(scene, after).items()},
        "warnings": list(done.warnings),
        "left_behind": left,
    }


def write(folder: Path, scene: Scene, after: Pixels) -> None:
    """before.png, mask.png, after.png and compare.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in (
        ("before", scene.before),
        ("mask", scene.mask),
        ("after", after),
        ("compare", _comparison(scene.before, after)),
    ):
        ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
        cv2.imwrite(str(folder / f"{name}.png"), ordered, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def write_summary(folder: Path, figures: Mapping[str, object]) -> None:
    """summary.json."""
    (folder / "summary.json").write_text(json.dumps(figures, indent=2) + "\n")


def _comparison(before: Pixels, after: Pixels) -> Pixels:
    """Before on the left, after on the right: the whole picture above, a part of it at the result's size below."""
    scale = after.shape[0] // before.shape[0]
    rows, columns = _CLOSE_UP
    close = cv2.resize(before[rows, columns], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    close_after = after[rows.start * scale : rows.stop * scale, columns.start * scale : columns.stop * scale]
    width = close.shape[1]
    whole = [
        cv2.resize(p, (width, round(width * p.shape[0] / p.shape[1])), interpolation=cv2.INTER_AREA) for p in (before, after)
    ]
    return _stacked([_stacked(whole, axis=1), _stacked([close, close_after], axis=1)], axis=0)


def _stacked(pictures: list[Pixels], axis: int) -> Pixels:
    gap_shape = list(pictures[0].shape)
    gap_shape[axis] = _GAP_PX
    gap = np.full(gap_shape, 255, np.uint8)
    return np.concatenate([pictures[0], gap, pictures[1]], axis=axis)


def _psnr_db(truth: Pixels, picture: Pixels, where: NDArray[np.bool_]) -> float:
    error = truth[where].astype(np.float64) - picture[where]
    return float(10 * np.log10(255**2 / np.mean(error**2)))
