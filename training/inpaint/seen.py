"""What the network is shown, drawn once: `python -m training.inpaint.seen --count 7000 --workers 2`.

Most of what a sample costs is the fill that inpaint_classical makes, which does not change: so it is written to one file of
whole bytes, in which each run finds it again. Sample n is drawn from (seed, n) alone; a run that was stopped goes on.
"""

import argparse
import logging
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from training.inpaint.masks import KINDS, hole
from training.served import U8, Fill, classical
from training.text.generator import crop, sample
from training.text.train import photographs

NAME = "inpaint_patch"
PATCH_PX, CHANNELS = 384, 7
"""The fill, with what is known around it (3), the hole (1), the truth (3)."""
SEED = 3
TEXT_SHARE, STROKES_SHARE = 0.45, 0.5
"""How often the hole is overlay text; how often it is strokes where it is not, otherwise blobs or boxes."""
HOLE_SHARES = (0.01, 0.25)
GROWN_PX = (1, 3)
"""By how much the strokes of text are grown, as text_removal grows what it has found."""
log = logging.getLogger("seen")


def samples(path: Path, mode: str, count: int | None = None) -> U8:
    """[count, PATCH_PX, PATCH_PX, CHANNELS] of a file, mapped."""
    each = PATCH_PX * PATCH_PX * CHANNELS
    count = count or path.stat().st_size // each
    return np.memmap(path, np.uint8, mode, shape=(count, PATCH_PX, PATCH_PX, CHANNELS))


def drawn(photos: list[U8], index: int) -> tuple[U8, U8, U8]:
    """image and truth [P, P, 3], hole [P, P], 255 in it. Beside the strokes of text the image is as overlays leave it."""
    rng = np.random.default_rng((SEED, index))
    if rng.random() < TEXT_SHARE:
        text = sample(photos, "train", SEED, index, PATCH_PX, 1.0)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(rng.integers(GROWN_PX[0], GROWN_PX[1] + 1)) + 1,) * 2)
        return text.composited, text.clean, cv2.dilate(text.strokes * np.uint8(255), disc)
    truth = crop(rng, photos, PATCH_PX)
    kind = KINDS[0] if rng.random() < STROKES_SHARE else KINDS[int(rng.integers(1, len(KINDS)))]
    return truth, truth, hole(rng, PATCH_PX, kind, float(rng.uniform(*HOLE_SHARES)))


def draw(path: Path, count: int, data: Path, runs: Path, repository: Path, indices: range) -> None:
    """Writes the samples `indices` of a file of `count` that are not there yet."""
    cv2.setNumThreads(1)
    photos, into, fill = photographs(data, runs, PATCH_PX), samples(path, "r+", count), classical(repository)
    for index in indices:
        if not into[index].any():
            into[index] = seen(fill, *drawn(photos, index))
        if index % 200 == 0:
            log.info("sample %d", index)


def seen(fill: Fill, image: U8, truth: U8, mask: U8) -> U8:
    """[P, P, CHANNELS]"""
    return np.dstack([fill(image, mask), mask, truth])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=7000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    path = given.runs / NAME / "samples.u8"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(given.count * PATCH_PX * PATCH_PX * CHANNELS)
    work = partial(draw, path, given.count, given.data, given.runs, given.repository)
    with get_context("fork").Pool(given.workers) as pool:
        pool.map(work, [range(first, given.count, given.workers) for first in range(given.workers)], chunksize=1)


if __name__ == "__main__":
    main()
