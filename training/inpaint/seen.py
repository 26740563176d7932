"""What the network is trained on, drawn once: `python -m training.inpaint.seen --count 7000 --workers 2`.

Most of what a sample costs is the fill that inpaint_classical makes of it.
"""

import argparse

import cv2
import numpy as np

from training import drawn
from training.inpaint.masks import KINDS, hole
from training.served import U8, classical
from training.text.generator import crop, sample
from training.text.train import photographs

NAME = "inpaint_patch"
PATCH_PX = 384
SHAPE = (PATCH_PX, PATCH_PX, 7)
"""The fill, with what is known around it (3), the hole (1), the truth (3)."""
SEED = 3
TEXT_SHARE, STROKES_SHARE = 0.45, 0.5
"""How often the hole is overlay text; how often it is strokes where it is not, otherwise blobs or boxes."""
HOLE_SHARES = (0.01, 0.25)
GROWN_PX = (1, 3)
"""By how much the strokes of text are grown, as text_removal grows what it has found."""


def is_text(index: int, share: float = TEXT_SHARE) -> bool:
    """Whether the hole of a sample is overlay text; with a smaller `share`, whether it would be one of so many."""
    return np.random.default_rng((SEED, index)).random() < share


def damaged(photos: list[U8], index: int) -> tuple[U8, U8, U8]:
    """image and truth [P, P, 3], hole [P, P], 255 in it. Beside the strokes of text the image is as overlays leave it."""
    rng = np.random.default_rng((SEED, index))
    if rng.random() < TEXT_SHARE:
        text = sample(photos, "train", SEED, index, PATCH_PX, 1.0)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(rng.integers(GROWN_PX[0], GROWN_PX[1] + 1)) + 1,) * 2)
        return text.composited, text.clean, cv2.dilate(text.strokes * np.uint8(255), disc)
    truth = crop(rng, photos, PATCH_PX)
    kind = KINDS[0] if rng.random() < STROKES_SHARE else KINDS[int(rng.integers(1, len(KINDS)))]
    return truth, truth, hole(rng, PATCH_PX, kind, float(rng.uniform(*HOLE_SHARES)))


def prepare(given: argparse.Namespace) -> drawn.Draw:
    photos, fill = photographs(given.data, given.runs, PATCH_PX), classical(given.repository)

    def draw(index: int) -> U8:
        image, truth, mask = damaged(photos, index)
        return np.dstack([fill(image, mask), mask, truth])

    return draw


if __name__ == "__main__":
    drawn.write(__doc__ or "", NAME, SHAPE, 7000, prepare)
