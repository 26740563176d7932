"""What the refiner is shown, drawn once: `python -m training.text.seen --count 6000 --workers 2`.

Most of what a sample costs is the first network and the detector, which do not change: so what they say is written to one
file of whole bytes, in which each run finds it again. Sample n is drawn from (seed, n) alone; a run that was stopped goes on.
"""

import argparse
import logging
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.served import loaded
from training.text.detection import detector, hint
from training.text.generator import sample
from training.text.train import photographs

PATCH_PX, CHANNELS = 384, 8
"""Image (3), detector's map at two sizes (2), the first network's probability, the likelihood of the colour, the truth."""
SEED, TEXT_SHARE = 1, 0.85
log = logging.getLogger("seen")


def samples(path: Path, mode: str, count: int | None = None) -> NDArray[np.uint8]:
    """[count, PATCH_PX, PATCH_PX, CHANNELS] of a file, mapped."""
    each = PATCH_PX * PATCH_PX * CHANNELS
    count = count or path.stat().st_size // each
    return np.memmap(path, np.uint8, mode, shape=(count, PATCH_PX, PATCH_PX, CHANNELS))


def draw(path: Path, count: int, data: Path, runs: Path, repository: Path, indices: range) -> None:
    """Writes the samples `indices` of a file of `count` that are not there yet."""
    photos, into = photographs(data, runs, PATCH_PX), samples(path, "r+", count)
    folder, detect = repository / "text_removal" / "1", detector(repository)
    find = loaded(folder / "strokes.py").StrokeFinder(folder)
    for index in indices:
        if into[index].any():
            continue
        drawn = sample(photos, "train", SEED, index, PATCH_PX, TEXT_SHARE)
        seen = find.seen(drawn.composited, hint(detect, drawn.composited))
        into[index] = np.dstack([seen, drawn.strokes * np.uint8(255)])
        if index % 200 == 0:
            log.info("sample %d", index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    path = given.runs / "text_refiner" / "samples.u8"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(given.count * PATCH_PX * PATCH_PX * CHANNELS)
    work = partial(draw, path, given.count, given.data, given.runs, given.repository)
    with get_context("fork").Pool(given.workers) as pool:
        pool.map(work, [range(first, given.count, given.workers) for first in range(given.workers)], chunksize=1)


if __name__ == "__main__":
    main()
