"""LPIPS (Zhang et al., CVPR 2018) by a program of one's own: this package brings neither torch nor the weights."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from benchmarks.photograph import Pixels

NOT_MEASURED = "LPIPS was NOT measured: --lpips names no program for it"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lpips", type=Path, help="a program that prints NAME [LPIPS of its first picture to each other]")
    parser.add_argument("--lpips-python", default=sys.executable, help="the interpreter that has what the program needs")


def distances(truth: Pixels, pictures: Sequence[Pixels], options: argparse.Namespace) -> list[float]:
    """LPIPS of each of the pictures to the truth; the program's first line counts. Empty where it names none."""
    if options.lpips is None:
        return []
    with TemporaryDirectory(prefix="retouch-benchmark-") as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(len(pictures) + 1)]
        for path, picture in zip(paths, (truth, *pictures), strict=True):
            Image.fromarray(picture).save(path, compress_level=1)
        done = subprocess.run([options.lpips_python, options.lpips, *paths], capture_output=True, text=True, check=True)
    return [float(text) for text in done.stdout.splitlines()[0].partition("[")[2].rstrip("] ").split(",")]
