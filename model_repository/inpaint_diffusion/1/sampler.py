"""Draw what a hole may hold: diffusion, from noise to a picture, with the window's own known patches for a model.

DDIM (Song, Meng, Ermon, ICLR 2021) with eta 0: no noise but the first is drawn, and the seed gives that, so that a seed
stands for a picture. In the form with exploding variance a step from sigma to sigma' is x' = D + (sigma' / sigma) (x - D), D
the denoiser's guess (denoiser.py). Coarse to fine, as cascades do (Ho et al., JMLR 2022): on each finer level the noise has the
strength of the octave which that level adds, and is laid on the enlarged picture (as in SDEdit, Meng et al., ICLR 2022).
Known pixels are given at every step. Last the fill's error at the rim is carried inwards by a membrane and taken off (Perez,
Gangnet, Blake, "Poisson Image Editing", SIGGRAPH 2003).
"""

import cv2
import numpy as np
from denoiser import EXHAUSTIVE_PAIRS, Denoiser, Matches, voted
from levels import F32, U8, Bools, Level, enlarged, finest, halved
from start import membrane, peeled
from threads import use_one_blas_thread

cv2.setNumThreads(1)
use_one_blas_thread()

STEPS = 20
FIRST_SIGMA = 1.0
"""Of the coarsest level, by the deviation of its known pixels."""
OCTAVE_SIGMA = 1.5
"""Of each finer level, by the deviation of what it adds."""
LAST_SIGMA = 0.05
"""Where a level ends, by where it began."""
LAST_SHARPNESS = 16.0
"""How much more the likest patches count in the last vote, which is seen, than in those before."""
MIN_SOURCES = 48
THIN_PX = 3.0
"""A hole whose innermost pixel is this near to a known one is begun with a membrane."""
PEELED_PX = 15.0
"""One up to this deep is peeled, where its level is small enough for it; deeper ones are halved first."""
UNKNOWN_GREY = 128
NOTHING: U8 = np.zeros((1, 1, 4), np.uint8)


def fill(image: U8, mask: U8, guide: U8, reference: U8, guide_px: int, seed: int) -> U8:
    """`image` with the pixels where `mask` > 0 replaced; all others are returned as they came.

    image [H,W,3]; mask [H,W,1]; guide [H,W,4]: a coarse fill, RGB and confidence (0: none), a px of which stands for `guide_px`
    px of the image; reference [h,w,4]: more of the picture, RGB and validity; all uint8. The result does not depend on the
    pixels in the hole. A hole without surroundings or guide becomes mid-grey: nothing is known of it.
    """
    hole = mask.reshape(image.shape[:2]) > 0
    led = hole & (guide[..., 3] > 0)
    result, rng = image.copy(), np.random.default_rng(seed)
    if led.any():
        known = np.where(led[..., None], guide[..., :3], image)
        result[led] = _drawn(known, hole, led, reference, guide_px, rng)[led]
    rest = hole & ~led
    if rest.all():
        result[:] = UNKNOWN_GREY
    elif rest.any():
        near = _surroundings(rest)
        nowhere = np.zeros_like(rest[near])
        result[near][rest[near]] = _drawn(result[near], rest[near], nowhere, NOTHING, 1, rng)[rest[near]]
    return result


def _surroundings(hole: Bools) -> tuple[slice, slice]:
    """The part of the window worth learning from: the hole's bounding box grown by its own size, at least by 64 px."""
    spans: list[slice] = []
    for axis, size in ((1, hole.shape[0]), (0, hole.shape[1])):
        taken = np.flatnonzero(hole.any(axis))
        first, last = int(taken[0]), int(taken[-1])
        reach = max(64, last - first)
        spans.append(slice(max(0, first - reach), min(size, last + 1 + reach)))
    return spans[0], spans[1]


def _drawn(image: U8, hole: Bools, led: Bools, reference: U8, guide_px: int, rng: np.random.Generator) -> U8:
    """The window, filled. `image` holds the guide where `led`."""
    levels = _levels(finest(image, hole, reference), guide_px if led.any() else 0)
    if not levels:
        smooth = np.where((hole & ~led)[..., None], 0, image).astype(np.float32)
        return _rounded(membrane(smooth, ~hole | led))
    window = _started(levels[-1], image, hole, led)
    matches: Matches | None = None
    for number in range(len(levels) - 1, -1, -1):
        level, below = levels[number], levels[number + 1] if number + 1 < len(levels) else None
        sigma = FIRST_SIGMA * _deviation(level.picture, level.known)
        if below is not None:
            sigma = OCTAVE_SIGMA * _deviation(level.picture - enlarged(below.picture, level.known.shape), level.known)
            window = enlarged(window, level.hole.shape)
        denoiser = Denoiser(level, rng)
        steps = STEPS // len(levels) + (STEPS % len(levels) if below is None else 0)
        window, matches = _sampled(denoiser, window, denoiser.begun(below, matches), max(sigma, 1.0), steps, rng)
    return _rim_corrected(levels[0], matches)[: hole.shape[0], : hole.shape[1]]


def _levels(level: Level, guide_px: int) -> list[Level]:
    """From the finest to where the sampling begins: the guide's level, or where the hole is shallow. Empty: too few patches."""
    levels: list[Level] = []
    while min(level.hole.shape) > 6 and len(level.targets) and len(level.sources) >= MIN_SOURCES:
        levels.append(level)
        enough = guide_px <= 1 << len(levels) - 1 if guide_px else _is_shallow(level)
        if enough or any(side % 2 for side in (*level.known.shape, *level.hole.shape)):
            break
        level = halved(level)
    return levels


def _is_shallow(level: Level) -> bool:
    return level.depth_px <= (PEELED_PX if level.pairs <= EXHAUSTIVE_PAIRS else THIN_PX)


def _started(level: Level, image: U8, hole: Bools, led: Bools) -> F32:
    """The window of the level where all begins: known, or as the guide says, else peeled or a membrane."""
    if led.any():
        told = membrane(np.where((hole & ~led)[..., None], 0, image).astype(np.float32), ~hole | led)
        height, width = level.hole.shape
        times = -(-hole.shape[0] // height)
        grown = np.pad(told, ((0, height * times - hole.shape[0]), (0, width * times - hole.shape[1]), (0, 0)), "edge")
        shrunk = cv2.resize(grown, (width, height), interpolation=cv2.INTER_AREA)
        return np.where(level.hole[..., None], shrunk, level.window).astype(np.float32)
    return peeled(level) if level.pairs <= EXHAUSTIVE_PAIRS else membrane(level.window, ~level.hole)


def _deviation(values: F32, where: Bools) -> float:
    return float(np.sqrt(np.mean(np.square(values[where] - values[where].mean(axis=0)))))


def _sampled(
    denoiser: Denoiser, start: F32, matches: Matches, sigma: float, steps: int, rng: np.random.Generator
) -> tuple[F32, Matches]:
    """The window after `steps` of DDIM from `start` under noise of `sigma`, and what its patches were made of."""
    level = denoiser.level
    hole = level.hole[..., None]
    sigmas = np.geomspace(sigma, LAST_SIGMA * sigma, steps)
    noise = rng.standard_normal(start.shape, np.float32)
    x = np.where(hole, start + np.float32(sigma) * noise, level.window)
    for number, now in enumerate(sigmas):
        matches = denoiser.matched(x, matches)
        guess = denoiser.mean(matches, float(now))
        share = np.float32(sigmas[number + 1] / now) if number + 1 < steps else np.float32(0.0)
        x = np.where(hole, guess + share * (x - guess), level.window)
    return x, matches


def _rim_corrected(level: Level, matches: Matches) -> U8:
    """The last guess, with its error on the 2 px around the hole carried into it by a membrane.

    The error is averaged along the rim first: pixel by pixel it holds texture, which a membrane would draw as streaks.
    """
    wide = cv2.dilate(level.hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rim = wide & ~level.hole
    guess = voted(level, wide, matches, 1.0, LAST_SHARPNESS)
    if not rim.any():
        return _rounded(guess)
    error = np.where(rim[..., None], level.window - guess, 0.0).astype(np.float32)
    share = cv2.GaussianBlur(rim.astype(np.float32), (0, 0), 4.0)
    error = cv2.GaussianBlur(error, (0, 0), 4.0) / np.maximum(share, 1e-6)[..., None]
    correction = membrane(np.where(rim[..., None], error, 0.0).astype(np.float32), rim)
    return _rounded(np.where(level.hole[..., None], guess + correction, level.window))


def _rounded(picture: F32) -> U8:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
