"""Samples drawn once: what costs most of them and does not change is written to one file of whole bytes, for each run to find.

Sample n depends on n alone, and a run that was stopped goes on with the samples that are not there yet.
"""

import argparse
import logging
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Draw = Callable[[int], U8]
Prepare = Callable[[argparse.Namespace], Draw]
"""Of the command's options: data, runs, repository. What it returns draws the sample of an index."""
log = logging.getLogger("drawn")


def samples(path: Path, shape: tuple[int, ...], mode: str, count: int | None = None) -> U8:
    """[count, *shape] of a file, mapped."""
    count = count or path.stat().st_size // int(np.prod(shape))
    return np.memmap(path, np.uint8, mode, shape=(count, *shape))


def write(description: str, run: str, shape: tuple[int, ...], count: int, prepare: Prepare) -> None:
    """The command: draws `count` samples, by default, into samples.u8 of a run, with several processes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    path = given.runs / run / "samples.u8"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(given.count * int(np.prod(shape)))
    prepare(given)  # decodes the photographs where no run has yet: a worker may not start others to do it
    with get_context("fork").Pool(given.workers) as pool:
        shares = [range(first, given.count, given.workers) for first in range(given.workers)]
        pool.map(partial(_write, path, shape, given, prepare), shares, chunksize=1)


def _write(path: Path, shape: tuple[int, ...], given: argparse.Namespace, prepare: Prepare, indices: range) -> None:
    cv2.setNumThreads(1)
    into, draw = samples(path, shape, "r+", given.count), prepare(given)
    for index in indices:
        if not into[index].any():
            into[index] = draw(index)
        if index % 200 == 0:
            log.info("sample %d", index)
