"""What routing by the texture score costs and saves: fills at full size where it says "too fine", else at half size.

`python -m training.precheck.routing` prints it for one threshold after the other, on the photographs for training. From these
comes the policy's: the highest at which fills at half size look as good as those at full size, well within the 0.005 SSIM that
they may cost.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from training.served import loaded, patch
from training.text.evaluate import photographs

U8 = NDArray[np.uint8]
Fill = Callable[[U8, U8], U8]
Score = Callable[[U8, NDArray[np.bool_]], float]
SEED, WINDOW_PX, HOLES_A_PHOTO = 7, 320, 3
FINE_TEXTURE = 0.8
"""The policy's `fine_texture`."""
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.01)


@dataclass(frozen=True)
class Trials:
    """Of each hole: SSIM of its window filled at full and at half size, seconds of processor time for either, and its score."""

    full: NDArray[np.float64]
    half: NDArray[np.float64]
    full_s: NDArray[np.float64]
    half_s: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class Routing:
    """Mean SSIM of the windows by always full size, always half size, and routed; share of time saved."""

    full: float
    half: float
    routed: float
    saved: float
    sent_to_full: float

    @classmethod
    def by(cls, trials: Trials, threshold: float = FINE_TEXTURE) -> "Routing":
        """At full size where the score is at least `threshold`."""
        is_fine = trials.score >= threshold
        routed, seconds = np.where(is_fine, (trials.full, trials.full_s), (trials.half, trials.half_s))
        saved = 1 - seconds.sum() / trials.full_s.sum()
        return cls(trials.full.mean(), trials.half.mean(), routed.mean(), saved, is_fine.mean())


def measure(photos: list[U8], fill: Fill, score: Score, holes: int = HOLES_A_PHOTO) -> Trials:
    """Holes of 24 to 64 px radius in windows of the photographs; the score sees the window at half size."""
    rng, rows = np.random.default_rng(SEED), []
    for photo in photos:
        for _ in range(holes):
            y, x = (int(rng.integers(size - WINDOW_PX + 1)) for size in photo.shape[:2])
            window = np.ascontiguousarray(photo[y : y + WINDOW_PX, x : x + WINDOW_PX])
            mask = np.zeros((WINDOW_PX, WINDOW_PX, 1), np.uint8)
            axes = tuple(int(v) for v in rng.integers(24, 65, 2))
            cv2.ellipse(mask, (WINDOW_PX // 2, WINDOW_PX // 2), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
            rows.append(_one(window, mask, fill, score))
    return Trials(*np.array(rows, np.float64).T)


def _one(window: U8, mask: U8, fill: Fill, score: Score) -> tuple[float, float, float, float, float]:
    hole = mask[..., 0] > 0
    started = time.process_time()
    at_full = fill(window, mask)
    between = time.process_time()
    size = (WINDOW_PX // 2, WINDOW_PX // 2)
    small = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0
    filled = cv2.resize(
        fill(small, small_hole[..., None].view(np.uint8) * 255), window.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    at_half = np.where(hole[..., None], filled, window)
    ended = time.process_time()
    return _ssim(at_full, window), _ssim(at_half, window), between - started, ended - between, score(small, small_hole)


def _ssim(result: U8, truth: U8) -> float:
    """Wang et al., IEEE TIP 2004, as scikit-image has it."""
    return float(structural_similarity(truth, result, channel_axis=2, data_range=255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos/train"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    given = parser.parse_args()
    precheck = given.repository / "precheck" / "1"
    model = loaded(precheck / "scores.py").Precheck(precheck / "model.onnx")
    fill = patch(given.repository)

    def score(image: U8, region: NDArray[np.bool_]) -> float:
        return float(model.scores(image, region[..., None].view(np.uint8))[1])

    trials = measure(photographs(given.photos), fill, score)
    print("threshold  at half size  SSIM lost  time saved")
    for threshold in THRESHOLDS:
        found = Routing.by(trials, threshold)
        print(f"{threshold:9.2f}  {1 - found.sent_to_full:12.2f}  {found.full - found.routed:9.4f}  {found.saved:10.2f}")


if __name__ == "__main__":
    main()
