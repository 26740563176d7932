"""How a deep hole is filled on the proxy: guessed several times, at several sizes, and what the guesses agree on is kept.

What a large hole held is not known; each fill is one guess of many, and its slow changes are its boldest part. The mean of
guesses is nearer to the truth than most of them (their errors are independent in part), but blurred where they disagree. So
the guide takes its slow part from the mean and the rest from the sharpest guess.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.membrane import harmonic, match_tone
from retouch_server.imaging.rows import Pixels
from retouch_server.models.backend import Call, Output
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.coarse import Coarse
from retouch_server.pipeline.guide import CoarsePicture, Guide, cut, hole_over, unguided
from retouch_server.pipeline.stages.job import pad

SIZES = (1.0, 0.75, 0.5, 0.375)
"""Of the guesses, as shares of the model's window: the smaller, the more of the picture a patch sees. Together they cost
less than two of the first."""
MEMBRANE_WEIGHT = 0.2
"""Of the smooth surface over the hole, which is the most cautious guess, in the mean."""
SLOW = 0.025
"""Slower than this share of the hole's size (the sigma of a Gaussian) is what the mean decides. Where guesses disagree, their
mean is calm, and shows ghosts of each. Of 26 holes in training photographs half of this left 0.65 of the surroundings' gradient
energy, LPIPS 0.375 and 17.6 dB; this 0.69, 0.370 and 17.4 dB; twice this 0.72, 0.370 and 17.2 dB."""


async def draw_guide(
    coarse: Coarse,
    proxy: tuple[Pixels, tuple[int, int]],
    spec: ModelSpec,
    house: tuple[Models, Executor],
    on_retry: Callable[[], None],
) -> Guide:
    """Fills each deep hole, with the model that fills the windows.

    proxy: its pixels (h, w, 3), and the size (height, width) of the image that it stands for. Errors: those of the model.
    """
    (pixels, size), (dispatcher, executor) = proxy, house
    loop = asyncio.get_running_loop()

    async def guess(crop: Rect, share: float) -> CoarsePicture:
        picture = await loop.run_in_executor(executor, cut, pixels, size, crop, round(share * spec.window_px))
        hole = hole_over(coarse.masked, coarse.cell_px, picture)
        async with dispatcher.infer(coarse_call(spec, picture, hole), on_retry) as outputs:
            fill = outputs["result"][: hole.shape[0], : hole.shape[1]].copy()
        fill = await loop.run_in_executor(executor, match_tone, picture.pixels, fill, hole)
        return CoarsePicture(fill, picture.rows, picture.columns)

    async def filled(crop: Rect) -> CoarsePicture:
        guesses = [await guess(crop, share) for share in SIZES]
        finest = guesses[0]
        hole = hole_over(coarse.masked, coarse.cell_px, finest)
        settled = await loop.run_in_executor(executor, settle, [fill.pixels for fill in guesses], hole)
        return CoarsePicture(settled, finest.rows, finest.columns)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(filled(crop)) for crop in coarse.crops]
    return Guide(coarse, tuple(task.result() for task in tasks))


def coarse_call(spec: ModelSpec, picture: CoarsePicture, hole: NDArray[np.bool_]) -> Call:
    """The model call that fills `hole`: as for any window, and unguided."""
    mask = hole.astype(np.uint8)[:, :, None] * np.uint8(255)
    image, mask = (pad(pixels, spec.multiple_px) for pixels in (picture.pixels, mask))
    inputs = {"image": image, "mask": mask} | unguided(spec, mask.shape[0], mask.shape[1])
    return Call(spec.name, inputs, {"result": Output(image.shape, np.uint8)})


def settle(guesses: Sequence[Pixels], hole: NDArray[np.bool_]) -> Pixels:
    """The first of the guesses, (h, w, 3), with its slow part in `hole` (h, w) as all of them have it; its edge stays.

    The others may be smaller; they show the same. Nothing is done where a hole leaves nothing to know.
    """
    finest = guesses[0]
    if hole.all() or not hole.any():
        return finest
    size = (hole.shape[1], hole.shape[0])
    others = [cv2.resize(guess, size, interpolation=cv2.INTER_CUBIC) for guess in guesses[1:]]
    mean = np.mean([finest, *others], axis=0, dtype=np.float32)
    known = np.where(hole[:, :, None], 0.0, finest).astype(np.float32)
    mean += MEMBRANE_WEIGHT * (harmonic(known, ~hole) - mean)
    sigma_px = max(1.0, SLOW * float(np.sqrt(np.count_nonzero(hole))))
    departure = np.where(hole[:, :, None], mean - finest, 0.0).astype(np.float32)
    slow = cv2.GaussianBlur(departure, (0, 0), sigma_px)
    inside_px = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    share = np.minimum(1.0, inside_px / (2.0 * sigma_px))
    return np.clip(np.rint(finest + share[:, :, None] * slow), 0, 255).astype(np.uint8)
