"""Fill the holes of a picture from the rest of it: exemplar voting over a pyramid, then a membrane at the rim.

Sources: Wexler, Shechtman, Irani, "Space-Time Completion of Video" (TPAMI 2007): coarse to fine, each hole pixel voted on
by all patches that cover it. Barnes et al., "PatchMatch" (SIGGRAPH 2009): propagation and random search for the nearest
patches. Newson et al., "Video Inpainting of Complex Scenes" (SIAM J. Imaging Sci. 2014): how lively the picture is belongs to
what is compared. Hertzmann et al., "Image Analogies" (SIGGRAPH 2001): what continues a neighbour's patch is preferred. Perez,
Gangnet, Blake, "Poisson Image Editing" (SIGGRAPH 2003): the fill's colour is corrected by the harmonic function that takes the
fill's error at the rim as its boundary value. Numpy and OpenCV only; the same input gives the same output, because the random
search draws from a generator with a fixed seed.

Words: a *target* is the centre of a patch that touches the hole, a *source* the centre of one that does not. Both are
flat indices (y * width + x) of interior pixels, at least RADIUS_PX from the border, so that every patch is whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Flat = NDArray[np.intp]
Bools = NDArray[np.bool_]

cv2.setNumThreads(1)

RADIUS_PX = 3
"""Patches are 7 x 7: the smallest that still tells the direction of an edge (Wexler uses 5 to 7)."""
SIDE_PX = 2 * RADIUS_PX + 1
DESCRIPTORS = 16
"""A 7 x 7 x 3 patch is compared by its first principal components: 16 of 147 numbers keep its shape and most energy."""
EXHAUSTIVE_PAIRS = 12_000_000
"""A level with at most this many (target, source) pairs is searched exhaustively, by matrix products."""
PEELED_PAIRS = 64_000_000
"""The pyramid may end at a level with at most so many: its first guess is peeled from as many sources as can be searched
exhaustively, and the first search is that, of all. One level on, the holes of a caption leave few sources between them, and
none of what is only there: a line over paper became wood, the table beside it, and stayed that. On 18 dev photographs under
captions and lines +0.9 dB. From a quarter of the sources it were +0.8, LPIPS on 54 windows 0.382 instead of 0.374, and a
twentieth of the time less."""
MIN_SOURCES = 48
COHERENCE = 0.6
"""A source somewhere else must be so much nearer (in squared distance) than the one that lies as the neighbours' do: pieces are
copied whole, and what is a mean of several places is a blur."""
LAST_SHARPNESS = 16.0
"""How much more the likest patches count in the last vote, which is seen, than in those before.

These two and `_iterations` were chosen on 108 windows of training photographs: corrected by inpaint_patch, LPIPS was 0.369
instead of 0.378, at the same PSNR and in the same time."""
PATCHES, PRODUCTS = 4096, 1_000_000
"""What is worked on at once: as much as stays in a core's cache."""
THIN_PX = 3.0
"""The pyramid ends where no hole pixel is farther than this from a known one: a membrane is as good there as anything."""
PEELED_PX = 15.0
"""It ends earlier, with a hole up to twice this wide, where peeling is affordable (PEELED_PAIRS): structure that the
next halving would lose is seen at this size. On dev photographs with 20 % boxes 15 gave 17.7 dB, 6 gave 16.7 dB."""
WASHES_OUT_PX = 64.0
"""A hole deeper than this washes out when patches are compared by colour alone. The others hear their rim throughout: in 25
windows of training photographs liveliness brought 0.02 of LPIPS there, and cost 0.4 dB; in 8 deeper ones 0.02 and 0.1 dB."""
LIVELY_SIGMA_PX = 3.0
LIVELINESS = 10.0
"""What a gradient counts beside colour: a level of it as many as of colour (Newson: 7). On 16 holes in training photographs
shrunk to a window, 10 to 40 % of it, they had 0.71 of their surroundings' gradient energy without, and LPIPS 0.340; with 7 to
14, over sigmas of 2 to 4 px, 0.75 to 0.81 and 0.321 to 0.328."""
RGB = 3
UNKNOWN_GREY = 128
SEED = 20240229


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the pyramid; 0 is the finest.

    picture [H,W,C] float32 (zero in the hole): RGB 0-255; where the hole is deep followed, from level 1 on, by how lively it
    is (`_liveliness`). hole [H,W] bool.
    """

    picture: F32
    hole: Bools
    targets: Flat
    sources: Flat
    basis: F32
    descriptors: F32

    @property
    def width(self) -> int:
        return self.hole.shape[1]


Begin = Callable[[Level], F32]
"""What the search begins with: the coarsest level's picture, filled."""


def fill(image: U8, mask: U8, begin: Begin | None = None) -> U8:
    """Return `image` with every pixel where `mask` > 0 replaced; all other pixels are returned as they came.

    image [H,W,3] uint8, mask [H,W] or [H,W,1] uint8; any size from 1 x 1; begin: `first_guess` where it is None. The
    result does not depend on the pixels in the hole. A hole without surroundings (mask > 0 everywhere) becomes mid-grey:
    nothing is known of it.
    """
    hole = mask.reshape(image.shape[:2]) > 0
    result = image.copy()
    if not hole.any():
        return result
    if hole.all():
        result[:] = UNKNOWN_GREY
        return result
    window = _surroundings(hole)
    inner_hole = hole[window]
    result[window][inner_hole] = _fill_crop(image[window], inner_hole, begin or first_guess)[inner_hole]
    return result


def _surroundings(hole: Bools) -> tuple[slice, slice]:
    """The part of the picture worth searching: the hole's bounding box grown by its own size, at least by 64 px."""
    spans: list[slice] = []
    for axis, size in ((1, hole.shape[0]), (0, hole.shape[1])):
        taken = np.flatnonzero(hole.any(axis))
        first, last = int(taken[0]), int(taken[-1])
        reach = max(64, last - first)
        spans.append(slice(max(0, first - reach), min(size, last + 1 + reach)))
    return spans[0], spans[1]


def _fill_crop(image: U8, hole: Bools, begin: Begin) -> U8:
    """`fill` for a picture that has pixels both in and outside the hole."""
    known = image.astype(np.float32)
    known[hole] = 0.0
    levels = _pyramid(known, hole)
    if not levels:
        return _rounded(membrane(known, ~hole))
    rng = np.random.default_rng(SEED)
    nearest = np.zeros(0, np.intp)
    current = begin(levels[-1])
    lively = _due_liveliness(levels[-1], current)
    costs = np.zeros(0, np.float32)
    for depth in range(len(levels) - 1, -1, -1):
        level = levels[depth]
        if depth == len(levels) - 1:
            nearest = _first_matches(level, current, rng)
        else:
            nearest = _upsampled(level, levels[depth + 1], nearest, rng)
            current = _vote(level, nearest, np.zeros(len(level.targets), np.float32), level.hole)
        for _ in range(_iterations(depth)):
            nearest, costs = _search(level, current, nearest, rng)
            current = _as_lively(_vote(level, nearest, costs, level.hole), level.hole, lively)
    return _rounded(_rim_corrected(levels[0], nearest, costs))


def _iterations(depth: int) -> int:
    """Rounds of search and vote: structure is settled on the coarse levels, where a round costs little."""
    return (1, 4, 8)[min(depth, 2)]


# --- the pyramid ---


def _pyramid(picture: F32, hole: Bools) -> list[Level]:
    """Levels from the finest to the one where the hole is thin; empty where the picture is too small for patches."""
    levels: list[Level] = []
    basis: F32 | None = None
    is_deep = _half_width(hole) > WASHES_OUT_PX
    while min(hole.shape) >= 2 * SIDE_PX and hole.any():
        level = _level(picture, hole, basis)
        if len(level.sources) < MIN_SOURCES:
            break
        levels.append(level)
        if _half_width(hole) <= (PEELED_PX if _pairs(level) <= PEELED_PAIRS else THIN_PX):
            break
        basis = level.basis  # the axes of natural patches hardly change with scale, and finding them is a tenth of the time
        if is_deep and len(levels) == 1:
            picture, basis = np.dstack([picture, _liveliness(picture, hole)]), None
        picture, hole = _halved(picture, hole)
    return levels


def _liveliness(picture: F32, hole: Bools) -> F32:
    """[H,W,2]: the mean magnitude of the gradient around each known pixel, across and down, times LIVELINESS; 0 in the hole.

    It is matched and voted for with the colours (Newson et al., section 3.3). By colour alone a mean of patches, which is
    smoother than each of them, finds ever smoother sources from round to round, and a large hole washes out.
    """
    grey = picture.mean(axis=2)
    gradient = np.zeros((*hole.shape, 2), np.float32)
    gradient[:, :-1, 0], gradient[:-1, :, 1] = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    known = cv2.erode((~hole).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    share = cv2.GaussianBlur(known, (0, 0), LIVELY_SIGMA_PX)
    around = cv2.GaussianBlur(gradient * known[..., None], (0, 0), LIVELY_SIGMA_PX) / np.maximum(share, 1e-3)[..., None]
    return np.where(hole[..., None], 0.0, LIVELINESS * around).astype(np.float32)


def _due_liveliness(level: Level, guess: F32) -> F32:
    """How lively the hole is to be, on average: midway (geometrically) between the first guess and what its rim lets expect.

    Empty where liveliness is not looked at. guess: the picture of the level, filled. Alone the first guess was worse off (by a
    factor of 1.9, not 1.7, see `_as_lively`), and what the rim lets expect was less like the truth (LPIPS 0.378, not 0.375).
    """
    if level.picture.shape[2] == RGB:
        return np.zeros(0, np.float32)
    around = membrane(level.picture, ~level.hole)
    return np.sqrt(guess[level.hole, RGB:].mean(axis=0) * around[level.hole, RGB:].mean(axis=0))


def _as_lively(picture: F32, hole: Bools, mean: F32) -> F32:
    """`picture` with its liveliness in the hole, where it has that, scaled to a mean.

    A vote for liveliness is a mean, too: the source nearest to a blurred patch is calmer than was voted, and the next vote is
    calmer still. So the mean over the hole is held, as Kopf et al. ("Solid Texture Synthesis from 2D Exemplars", SIGGRAPH 2007)
    hold histograms (which brought no more). In 26 training photographs shrunk to a window, holes of 10 to 40 % had, filled and
    settled, 0.65 of their surroundings' gradient energy (0.55 without), and were off, either way, by a factor of 1.7 (2.2).
    """
    if picture.shape[2] > RGB:
        picture[hole, RGB:] *= mean / np.maximum(picture[hole, RGB:].mean(axis=0), 1e-3)
    return picture


def _half_width(hole: Bools) -> float:
    """The distance from the known pixels to the hole pixel farthest from them, in px."""
    return float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max())


def _pairs(level: Level) -> int:
    return len(level.targets) * len(level.sources)


def _halved(picture: F32, hole: Bools) -> tuple[F32, Bools]:
    """Half the size: the mean of the known pixels of each 2 x 2 block; a hole where fewer than half are known."""
    height, width = (hole.shape[0] + 1) // 2 * 2, (hole.shape[1] + 1) // 2 * 2
    pad = ((0, height - hole.shape[0]), (0, width - hole.shape[1]))
    known = np.pad((~hole).astype(np.float32), pad, mode="edge")
    values = np.pad(picture, (*pad, (0, 0)), mode="edge") * known[..., None]
    size = (width // 2, height // 2)
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
    coarse_hole = share < 0.5
    mean[coarse_hole] = 0.0
    return mean, coarse_hole


def _level(picture: F32, hole: Bools, basis: F32 | None) -> Level:
    touches = cv2.dilate(hole.astype(np.uint8), np.ones((SIDE_PX, SIDE_PX), np.uint8)) > 0
    interior = np.zeros_like(hole)
    interior[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX] = True
    targets, sources = np.flatnonzero(touches & interior), np.flatnonzero(~touches & interior)
    if basis is None:
        basis = _basis(picture, sources)
    descriptors = np.zeros((hole.size, DESCRIPTORS), np.float32)
    descriptors[sources] = _described(picture, sources, basis)
    return Level(picture, hole, targets, sources, basis, descriptors)


def _patches(picture: F32, centres: Flat) -> F32:
    """[N, 49 C]: the patch around each centre (a flat index of an interior pixel) of a picture [H,W,C], row by row."""
    height, width, channels = picture.shape
    row = SIDE_PX * channels
    windows = np.lib.stride_tricks.sliding_window_view(picture.reshape(height, width * channels), (SIDE_PX, row))
    y, x = np.divmod(centres, width)
    return windows[y - RADIUS_PX, (x - RADIUS_PX) * channels].reshape(len(centres), SIDE_PX * row)


def _basis(picture: F32, sources: Flat) -> F32:
    """[49 C, DESCRIPTORS]: the principal axes of a regular sample of the source patches (uncentred, so colour counts)."""
    sample = _patches(picture, sources[:: max(1, len(sources) // 3000)])
    if len(sample) == 0:
        return np.zeros((sample.shape[1], DESCRIPTORS), np.float32)
    _, axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    return np.ascontiguousarray(axes[:, -DESCRIPTORS:], dtype=np.float32)


def _described(picture: F32, centres: Flat, basis: F32) -> F32:
    out = np.empty((len(centres), DESCRIPTORS), np.float32)
    for start in range(0, len(centres), PATCHES):
        block = slice(start, start + PATCHES)
        out[block] = _patches(picture, centres[block]) @ basis
    return out


# --- the first guess ---


def first_guess(level: Level) -> F32:
    """The coarsest picture, filled: a thin hole in a large picture by a membrane, any other by peeling."""
    return _peeled(level) if _pairs(level) <= PEELED_PAIRS else membrane(level.picture, ~level.hole)


def _peeled(level: Level) -> F32:
    """The coarsest picture with its hole filled from the rim inwards, layer by layer.

    Each pixel of a layer takes the value that the source nearest in the *known* part of its patch has there (Newson et al.,
    "Video Inpainting of Complex Scenes", SIAM J. Imaging Sci. 2014, section 3.4). A smooth first guess would be matched to
    the smoothest sources, and they would be voted for ever after: a hole in houses became a piece of sky.
    """
    picture, hole = level.picture.copy(), level.hole.copy()
    sampled = level.sources[:: -(-_pairs(level) // EXHAUSTIVE_PAIRS)]
    # The squared distance of what is known of a patch, less what is the same for all sources, is one product.
    sources = _patches(level.picture, sampled)
    squares = _patches(np.square(level.picture).sum(axis=2, keepdims=True), sampled)
    compared = np.hstack([-squares, 2.0 * sources])
    three = np.ones((3, 3), np.uint8)
    while hole.any():
        layer = np.argwhere(hole & (cv2.dilate((~hole).astype(np.uint8), three) > 0))
        centres = np.clip(layer, RADIUS_PX, np.array(hole.shape) - RADIUS_PX - 1)
        flat = centres[:, 0] * level.width + centres[:, 1]
        known = _patches((~hole)[..., None].astype(np.float32), flat)
        best = sampled[_likest(np.hstack([known, _patches(picture, flat)]), compared)]
        offset = (layer - centres) @ np.array([level.width, 1])
        picture[layer[:, 0], layer[:, 1]] = level.picture[np.divmod(best + offset, level.width)]
        hole[layer[:, 0], layer[:, 1]] = False
    return picture


# --- nearest patches ---


def _first_matches(level: Level, guess: F32, rng: np.random.Generator) -> Flat:
    """What the search begins with on the coarsest level, where it is not exhaustive anyway. guess: its picture, filled."""
    if not EXHAUSTIVE_PAIRS < _pairs(level) <= PEELED_PAIRS:
        return _random(level, rng)
    return _exhaustive(level, _described(guess, level.targets, level.basis))[0]


def _random(level: Level, rng: np.random.Generator) -> Flat:
    return level.sources[rng.integers(0, len(level.sources), len(level.targets))]


def _upsampled(level: Level, coarse: Level, nearest: Flat, rng: np.random.Generator) -> Flat:
    """Each target begins with twice the coarse match of the pixel above it; where that is no source, with a random one."""
    field = np.full(coarse.hole.size, -1, np.intp)
    field[coarse.targets] = nearest
    y, x = np.divmod(level.targets, level.width)
    above = field[np.minimum(y // 2, coarse.hole.shape[0] - 1) * coarse.width + np.minimum(x // 2, coarse.width - 1)]
    cy, cx = np.divmod(np.maximum(above, 0), coarse.width)
    fine_y = np.minimum(2 * cy + y % 2, level.hole.shape[0] - 1)
    guess = fine_y * level.width + np.minimum(2 * cx + x % 2, level.width - 1)
    usable = (above >= 0) & _is_source(level)[guess]
    return np.where(usable, guess, _random(level, rng))


def _is_source(level: Level) -> Bools:
    flags = np.zeros(level.hole.size, bool)
    flags[level.sources] = True
    return flags


def _search(level: Level, current: F32, nearest: Flat, rng: np.random.Generator) -> tuple[Flat, F32]:
    """The nearest source for each target in the `current` picture, and its squared distance."""
    wanted = _described(current, level.targets, level.basis)
    if _pairs(level) <= EXHAUSTIVE_PAIRS:
        return _exhaustive(level, wanted)
    return _patch_match(level, wanted, nearest, rng)


def _exhaustive(level: Level, wanted: F32) -> tuple[Flat, F32]:
    have = level.descriptors[level.sources]
    half_norm = 0.5 * np.einsum("nd,nd->n", have, have)
    best = _likest(np.column_stack([wanted, np.ones(len(wanted), np.float32)]), np.column_stack([have, -half_norm]))
    difference = wanted - have[best]
    return level.sources[best], np.einsum("nd,nd->n", difference, difference)


def _likest(wanted: F32, have: F32) -> Flat:
    """For each row of `wanted` the row of `have` whose product with it is largest."""
    best = np.empty(len(wanted), np.intp)
    block = max(1, PRODUCTS // len(have))
    for start in range(0, len(wanted), block):
        best[start : start + block] = np.argmax(wanted[start : start + block] @ have.T, axis=1)
    return best


def _patch_match(level: Level, wanted: F32, nearest: Flat, rng: np.random.Generator) -> tuple[Flat, F32]:
    """One sweep of PatchMatch over all targets at once: neighbours' matches at two distances, then shrinking random steps."""
    valid = _is_source(level)
    field = np.full(level.hole.size, -1, np.intp)
    best = nearest.copy()
    costs = _cost(level, wanted, best)

    def offer(candidates: Flat, most: float = 1.0) -> None:
        usable = np.flatnonzero((candidates >= 0) & (candidates < valid.size) & (candidates != best))
        usable = usable[valid[candidates[usable]]]
        offered = candidates[usable]
        cost = _cost(level, wanted[usable], offered)
        better = cost < most * costs[usable]
        best[usable[better]] = offered[better]
        costs[usable[better]] = cost[better]

    for jump in (4, 1):
        for step in (-jump * level.width, jump * level.width, -jump, jump):
            field[level.targets] = best
            beside = np.clip(level.targets + step, 0, level.hole.size - 1)
            offer(np.where(field[beside] >= 0, field[beside] - step, -1))
    for radius in (level.width // 4, level.width // 16, 4):
        dy, dx = rng.integers(-radius, radius + 1, (2, len(best))) if radius else (0, 0)
        offer(best + dy * level.width + dx, COHERENCE)
    return best, costs


def _cost(level: Level, wanted: F32, at: Flat) -> F32:
    difference = wanted - level.descriptors[at]
    return np.einsum("nd,nd->n", difference, difference)


# --- votes ---


def _vote(level: Level, nearest: Flat, costs: F32, voted: Bools, sharpness: float = 1.0) -> F32:
    """The picture with the pixels of `voted` replaced by the mean of what the patches over them propose.

    Weights are exp(-sharpness * cost / (2 sigma^2)) with sigma^2 the 75th percentile of the costs (Wexler, section 3.2).
    """
    sigma2 = max(float(np.percentile(costs, 75)), 1.0) if len(costs) else 1.0
    weight = np.zeros(level.hole.size, np.float32)
    weight[level.targets] = np.maximum(np.exp(-sharpness * costs / (2.0 * sigma2)), 1e-6)
    match = np.zeros(level.hole.size, np.intp)
    match[level.targets] = nearest
    pixels = np.flatnonzero(voted)
    channels = level.picture.shape[2]
    flat = level.picture.reshape(-1, channels)
    total = np.zeros((len(pixels), channels), np.float32)
    weights = np.zeros(len(pixels), np.float32)
    for dy in range(-RADIUS_PX, RADIUS_PX + 1):
        for dx in range(-RADIUS_PX, RADIUS_PX + 1):
            step = dy * level.width + dx
            centres = pixels - step
            vote = weight.take(centres, mode="clip")
            proposed = match.take(centres, mode="clip") + step
            total += flat.take(proposed, axis=0, mode="clip") * vote[:, None]
            weights += vote
    out = level.picture.copy()
    kept = weights > 0
    out.reshape(-1, channels)[pixels[kept]] = total[kept] / weights[kept, None]
    return out


def _rim_corrected(level: Level, nearest: Flat, costs: F32) -> F32:
    """The final vote, with its error on the 2 px around the hole carried into it by a membrane.

    The error is averaged along the rim first: pixel by pixel it holds texture, which a membrane would draw as streaks.
    """
    wide = cv2.dilate(level.hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rim = wide & ~level.hole
    voted = _vote(level, nearest, costs, wide, LAST_SHARPNESS)
    error = np.where(rim[..., None], level.picture - voted, 0.0).astype(np.float32)
    share = cv2.GaussianBlur(rim.astype(np.float32), (0, 0), 4.0)
    error = cv2.GaussianBlur(error, (0, 0), 4.0) / np.maximum(share, 1e-6)[..., None]
    correction = membrane(np.where(rim[..., None], error, 0.0).astype(np.float32), rim)
    return np.where(level.hole[..., None], voted + correction, level.picture)


# --- the membrane ---


def membrane(values: F32, known: Bools) -> F32:
    """The harmonic interpolation of values [H,W,3] from the pixels of `known` [H,W] to all others.

    Solved coarse to fine: half the size first, then Jacobi relaxation of what the halving left. The border is free
    (Neumann). `known` must hold at least one pixel.
    """
    if known.all():
        return values
    if min(known.shape) <= 2:
        mean = values[known].mean(0)
        return np.where(known[..., None], values, mean).astype(np.float32)
    coarse, coarse_hole = _halved_any(values, known)
    guess = cv2.resize(membrane(coarse, ~coarse_hole), known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    out = np.where(known[..., None], values, guess).astype(np.float32)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4.0
    fixed = known.astype(np.uint8)
    for _ in range(12):
        out = cv2.copyTo(values, fixed, cv2.filter2D(out, -1, cross, borderType=cv2.BORDER_REPLICATE))
    return out


def _halved_any(values: F32, known: Bools) -> tuple[F32, Bools]:
    """As `_halved`, but one known pixel of four makes a block known: no boundary value is lost on the way down."""
    height, width = (known.shape[0] + 1) // 2 * 2, (known.shape[1] + 1) // 2 * 2
    pad = ((0, height - known.shape[0]), (0, width - known.shape[1]))
    weight = np.pad(known.astype(np.float32), pad)
    size = (width // 2, height // 2)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    held = np.pad(np.where(known[..., None], values, 0.0).astype(np.float32), (*pad, (0, 0)))
    mean = cv2.resize(held, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
    return mean, share <= 0


def _rounded(picture: F32) -> U8:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
