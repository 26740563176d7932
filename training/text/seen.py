"""What the refiner is shown, drawn once: `python -m training.text.seen --count 6000 --workers 2`.

Most of what a sample costs is the first network and the detector.
"""

import argparse

import numpy as np

from training import drawn
from training.served import U8, loaded
from training.text.detection import detector, hint
from training.text.generator import sample
from training.text.train import photographs

NAME = "text_refiner"
PATCH_PX = 384
SHAPE = (PATCH_PX, PATCH_PX, 8)
"""Image (3), detector's map at two sizes (2), the first network's probability, the likelihood of the colour, the truth."""
SEED, TEXT_SHARE = 1, 0.85


def prepare(given: argparse.Namespace) -> drawn.Draw:
    photos, folder = photographs(given.data, given.runs, PATCH_PX), given.repository / "text_removal" / "1"
    detect, find = detector(given.repository), loaded(folder / "strokes.py").StrokeFinder(folder)

    def draw(index: int) -> U8:
        text = sample(photos, "train", SEED, index, PATCH_PX, TEXT_SHARE)
        seen = find.seen(text.composited, hint(detect, text.composited))
        return np.dstack([seen, text.strokes * np.uint8(255)])

    return draw


if __name__ == "__main__":
    drawn.write(__doc__ or "", NAME, SHAPE, 6000, prepare)
