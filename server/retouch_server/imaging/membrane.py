"""The tone of a fill, matched to its surroundings: what it is off by at the hole's edge is carried inwards and taken off.

Perez, Gangnet and Blake, "Poisson Image Editing" (SIGGRAPH 2003), in the form of a correction: the harmonic function that
takes the error at the edge as its boundary values. Generative models drift in tone by a few levels, slowly over a window;
texture is theirs and stays. So the error is averaged over cells of 4 × 4 px, and the membrane is solved on these.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.cells import F32, Floats, box_mean, cells, padded, spread
from retouch_server.imaging.rings import distance_px
from retouch_server.imaging.rows import Pixels

Bools = NDArray[np.bool_]

BAND_PX, GAP_PX = 4, 2
"""The edge is looked at this far to either side of it; the model's own account of the surroundings after a gap, since what
lies next to the hole may be stained, and a stain is no drift."""
ALONG_CELLS, PLACE_CELLS = 12, 3
"""Where both sides must be compared, steps are averaged over a square of 100 px. Three cells of edge are an independent
sample: of an offset of 6 levels half was left on photographs, and 0.1 was made of none; nearer to one the first is less, the
second more."""
FEW_PLACES = 3
"""The scatter of so few steps says nothing; of twice as many it is believed."""
MOST_LEVELS = 24.0
"""A tone that is off by more, or pixels that stray by more around it, are no drift but another picture: left alone."""
RELAXATIONS = 12


@dataclass(frozen=True, slots=True)
class _Edge:
    """What the fill is off by at the hole's edge, on cells: values (rows, columns, channels) levels, valid where known."""

    values: F32
    known: Bools


def match_tone(source: Pixels, fill: Pixels, hole: Bools) -> Pixels:
    """`fill` with its tone in `hole` matched to `source` around it; outside the hole as it came.

    source, fill (h, w, channels); hole (h, w): what the model was told to fill. Where the model gives its own account of
    the surroundings, the difference to them is its drift. Where it gives the surroundings back, both sides of the edge are
    compared, and a step counts as far as it is more than texture and slope explain. Nothing is
    done where a hole fills the whole window, so that nothing is known, and where the fill is the source.
    """
    height, width = hole.shape
    inside = padded(hole)
    reach_px = distance_px(inside)
    ring = ~inside & (reach_px <= BAND_PX)
    if not ring.any() or np.array_equal(source[hole], fill[hole]):
        return fill
    truth, guess = padded(source).astype(np.float32), padded(fill).astype(np.float32)
    if np.array_equal(truth[ring], guess[ring]):
        edge = _step(truth, guess, inside, ring, (reach_px > BAND_PX) & (reach_px <= 2 * BAND_PX))
    else:
        edge = _drift(truth - guess, (reach_px > GAP_PX) & (reach_px <= GAP_PX + BAND_PX))
    if not edge.values[edge.known].any():
        return fill
    correction = spread(harmonic(edge.values, edge.known), inside.shape)
    corrected = np.clip(np.rint(guess + correction), 0, 255).astype(np.uint8)[:height, :width]
    return np.where(hole[:, :, None], corrected, fill)


def harmonic(values: Floats, known: Bools) -> Floats:
    """The harmonic interpolation of values (h, w, channels) from `known` (h, w), which has a pixel, to all others.

    Solved coarse to fine: half the size first, then Jacobi relaxation of what the halving left. The border is free.
    """
    if known.all():
        return values
    if min(known.shape) <= 2:
        return np.where(known[:, :, None], values, values[known].mean(axis=0)).astype(np.float32)
    coarse, coarse_known = _halved(values, known)
    out = spread(harmonic(coarse, coarse_known), known.shape)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4.0
    fixed = known[:, :, None]
    for _ in range(RELAXATIONS):
        out = np.where(fixed, values, out)
        out = cv2.filter2D(out, -1, cross, borderType=cv2.BORDER_REPLICATE).reshape(values.shape)
    return np.where(fixed, values, out)


def _halved(values: Floats, known: Bools) -> tuple[Floats, Bools]:
    """Half the size; a block is known where one of its four pixels is, as the mean of those that are."""
    pad = ((0, known.shape[0] % 2), (0, known.shape[1] % 2))
    weight = np.pad(known.astype(np.float32), pad)
    held = np.pad(np.where(known[:, :, None], values, 0.0).astype(np.float32), (*pad, (0, 0)))
    total, share = cells(held, 2), cells(weight, 2)
    return total / np.maximum(share, 0.25)[:, :, None], share > 0


def _drift(error: F32, ring: Bools) -> _Edge:
    """The error on the ring around the hole, averaged over neighbouring cells; pixel by pixel it holds texture."""
    mean, variance, _ = _moments(error, ring)
    return _Edge(_plausible(mean, variance), cells(ring.astype(np.float32)) > 0)


def _step(truth: F32, guess: F32, hole: Bools, ring: Bools, beyond: Bools) -> _Edge:
    """The step from the fill just inside the edge to the picture just outside, less what texture and slope explain.

    Steps are taken place by place, where both sides show the same texture, and averaged along the edge. Their scatter is
    the doubt; the mean is shrunk as Stein would: step · (1 - 4 · doubt² / step²), 0 below two standard errors.
    """
    outer, _, outer_share = _moments(truth, ring)
    inner, _, inner_share = _moments(guess, hole & (distance_px(~hole) <= BAND_PX))
    farther, _, farther_share = _moments(truth, beyond)
    # A larger step is an edge of the scene along the hole's.
    likely = (np.abs(outer - inner) <= MOST_LEVELS).all(axis=2, keepdims=True)
    places = np.minimum(outer_share, inner_share) * likely
    step, scatter = _weighted(outer - inner, places)
    slope, _ = _weighted(outer - farther, np.minimum(outer_share, farther_share))
    count = np.maximum(_along(places) * (2 * ALONG_CELLS + 1) ** 2 / PLACE_CELLS, 1e-3)
    doubt = scatter / count + np.square(0.5 * slope)
    kept = step * np.clip(1.0 - 4.0 * doubt / np.maximum(np.square(step), 1e-6), 0.0, 1.0)
    kept *= np.clip(count / FEW_PLACES - 1.0, 0.0, 1.0)
    return _Edge(_plausible(kept, np.zeros_like(kept)), cells(ring.astype(np.float32)) > 0)


def _weighted(values: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and variance of `values` along the edge around each cell."""
    share = np.maximum(_along(weight), 1e-6)
    mean = _along(values * weight) / share
    return mean, np.maximum(_along(np.square(values) * weight) / share - np.square(mean), 0.0)


def _along(values: Floats) -> F32:
    return box_mean(values, ALONG_CELLS)


def _across(values: Floats) -> F32:
    return np.asarray(cv2.GaussianBlur(values, (5, 5), 1.0), np.float32).reshape(values.shape)


def _moments(values: F32, where: Bools) -> tuple[Floats, Floats, Floats]:
    """Mean and variance of `values` over the pixels `where` around each cell, (rows, columns, channels); and their share."""
    weight = where.astype(np.float32)
    share = _across(cells(weight))[:, :, None]
    held = values * weight[:, :, None]
    mean, power = (_across(cells(moment)) / np.maximum(share, 1e-6) for moment in (held, held * values))
    return mean, np.maximum(power - np.square(mean), 0.0), share


def _plausible(mean: Floats, variance: Floats) -> F32:
    """`mean`, faded out where it or the stray around it is more than a drift of tone would be."""
    unlikely = np.maximum(np.abs(mean), np.sqrt(variance)).max(axis=2, keepdims=True) / MOST_LEVELS
    return (mean * np.clip(2.0 - unlikely, 0.0, 1.0)).astype(np.float32)
