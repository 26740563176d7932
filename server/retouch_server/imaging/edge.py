"""The edge of a fill: how far the colour of what is removed reaches, and what a soft mask means there.

A stroke's edge is antialiased, a compressed stroke rings, a shadow fades: pixels beside the stroke hold some of its colour.
Where the mask is soft on them, source · (1 - alpha) brings that colour back as a halo; where they lie just outside a tight
mask, a model that takes them for surroundings paints a rim. Both need the same knowledge, the *stain*: the pixels that hold
some of the stroke. It is read from the picture. Background and its noise are estimated from the surroundings of the mask
(normalised convolution: Knutsson and Westin, CVPR 1993); what departs from it inside the mask is stroke; and around the
stroke the departure is averaged ring by ring, as far out as it is more than the noise explains. Averages along the edge
tell a few per cent of a stroke from texture that hides it in any one pixel.

Over a busy scene nothing departs by more than the scene itself, and yet a soft mask on a stroke's own edge would show as a
line. There the mask is the witness: where the picture changes with it, along the whole of its edge, is stain (`isolines.py`).
And a scene is busy in brightness: within a soft mask a stroke may stand out by hue alone.
"""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.cells import CELL_PX, F32, Floats, Kind, box_mean, cells, padded, spread
from retouch_server.imaging.isolines import FAINTEST_LEVELS, stained_from
from retouch_server.imaging.rings import NEAR_CELLS, REACH_PX, Rings, distance_px
from retouch_server.imaging.rows import Pixels

U8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

FAR_CELLS, FAR_WEIGHT = 8, 0.05
"""Where there are no surroundings within NEAR_CELLS, those within FAR_CELLS, 34 px, speak for them."""
LEAST_SHARE = 3e-3
"""Less of the surroundings in reach than this, 280 px far away or 3 near by, tells nothing."""
EDGE_PX = FAR_CELLS * CELL_PX + REACH_PX
"""How much around the mask is looked at."""
STROKE_SHARE = 0.5
"""What departs from the background by at least this share of the local contrast is stroke."""
STAIN_SHARE = 0.04
"""A ring with less of the contrast than this (root mean square) is clean: 4 % of 150 levels is 6."""
LEAST_CONTRAST = 2.0
"""Contrast over noise below which nothing is called a stroke: noise alone has 1.2, uniform noise at most 1.8."""
LEAST_GROWTH_SHARE, RIM_SHARE, RIM_PX = 0.06, 0.1, 2
"""Beside the mask a ring with less of the stroke's colour than this, in the mean, is surroundings; and so is a pixel of the
two next to the stroke, which antialiasing may have touched here and there, with less than RIM_SHARE."""
LEAST_SCATTER = 0.05
"""Of the mean over all directions of colour, below which a direction is taken to scatter no less."""
AMONG_PX, AMONG_SHARE = 2, 0.6
"""A pixel of a soft mask that has this share of those around it in the mask stained is stained."""
OUTER = slice(REACH_PX - 3, None)
"""The three rings farthest out tell what is the background's own."""


def stain(source: Pixels, mask: U8) -> Bools:
    """Which pixels hold some of what the mask is there to remove, (h, w); in the mask and up to REACH_PX beside it.

    source (h, w, channels) gray, RGB or RGBA; mask (h, w). Empty where mask or surroundings are missing, and where
    nothing in the mask stands out from them nor follows its soft edge. A pixel's answer rests on those within 80 px of it.
    """
    found = np.zeros(mask.shape, np.bool_)
    support = mask > 0
    box = bounds(support, EDGE_PX)
    if box is None or support.all():
        return found
    colours = source.shape[2] if source.shape[2] != 4 else 3
    planes = np.ascontiguousarray(np.moveaxis(padded(source[box][:, :, :colours]), 2, 0), np.float32)
    cut = padded(mask[box])
    support = cut > 0
    ground = _Ground.around(planes, support)
    stroke = _Stroke.over(ground, support)
    stained = np.where(support, stroke.within(), stroke.beyond(support)) if stroke else np.zeros_like(support)
    if (support & (cut < 255)).any():
        # By hue within the mask alone: beside a tight one the ground holds some of the stroke, and scatters in its direction.
        by_hue = _Stroke.over(ground.by_hue(), support)
        within = cut >= _of_cell(stained_from(planes, cut))
        stained |= support & (within if by_hue is None else within | by_hue.within())
        stained |= _among(stained, support)
    found[box] = stained[: found[box].shape[0], : found[box].shape[1]]
    return found


def bounds(flags: Bools, margin_px: int = 0) -> tuple[slice, slice] | None:
    """The box around what is true in `flags` (h, w), grown by a margin as far as there are pixels; None: nothing is."""
    spans: list[slice] = []
    for axis, length in ((1, flags.shape[0]), (0, flags.shape[1])):
        found = np.flatnonzero(flags.any(axis=axis))
        if not found.size:
            return None
        spans.append(slice(max(0, int(found[0]) - margin_px), min(length, int(found[-1]) + 1 + margin_px)))
    return spans[0], spans[1]


def hole(mask: U8, stained: Bools) -> U8:
    """The mask that the model is told: the stain is hole too, so that it is neither source nor boundary of the fill."""
    return np.where(stained, np.uint8(255), mask)


def alpha(mask: U8, stained: Bools) -> U8:
    """The mask to composite with: firm where the stain is, as it came elsewhere; 0 where it was 0.

    Only an edge is made firm: a mask that stays below half all around is a faint edit, and is raised to twice that at most.
    """
    plateau = cv2.dilate(mask, np.ones((2 * REACH_PX + 1,) * 2, np.uint8)).astype(np.uint16)
    firm = np.minimum(2 * plateau, 255).astype(np.uint8)
    return np.where(stained & (mask > 0), np.maximum(mask, firm), mask)


@dataclass(frozen=True, slots=True)
class _Ground:
    """The surroundings of a mask, and what departs from them: (channels, h, w). weight (h, w): how far a pixel counts as one of
    them; share (rows, columns): the sum of it around each cell, and known, whether that is enough."""

    departs: F32
    weight: F32
    share: Floats
    known: Bools

    @classmethod
    def around(cls, planes: F32, support: Bools) -> Self:
        """planes: the picture, (channels, h, w)."""
        # The nearer to the mask, the likelier a pixel is stained itself.
        weight = np.square(np.minimum(distance_px(support) / REACH_PX, 1.0))
        share = _around(cells(weight))
        ground = cls(planes, weight, np.maximum(share, 1e-6), share > LEAST_SHARE)
        return replace(ground, departs=np.stack([plane - spread(ground.mean(plane), support.shape) for plane in planes]))

    def mean(self, values: Floats) -> Floats:
        """Of values (h, w), around each cell."""
        return _around(cells(values * self.weight)) / self.share

    def by_hue(self) -> "_Ground":
        """In units in which the ground scatters alike in every direction of colour: a scene does so far more in brightness than
        in hue, by which a stroke stands out then. (Cholesky whitening: Kessy, Lewin and Strimmer, Am. Stat. 2018, channel after
        channel: what those before explain of one is taken off, and the rest scaled.)"""
        power = np.maximum(np.mean([self.mean(np.square(plane)) for plane in self.departs], axis=0), 1e-6)
        turned: list[Floats] = []
        for plane in self.departs:
            rest = plane
            for other in turned:
                rest = rest - other * _of_cell(self.mean(plane * other) / power)
            scatter = np.maximum(self.mean(np.square(rest)), LEAST_SCATTER * power)
            turned.append(rest * _of_cell(np.sqrt(power / scatter)))
        return replace(self, departs=np.stack(turned))


@dataclass(frozen=True, slots=True)
class _Stroke:
    """What stands out from its ground within a mask, and how far it reaches.

    Pixels, (h, w): square, how far each departs from the ground, the sum over the channels; along, the share of the stroke's
    colour in that. Cells, (rows, columns): noise and contrast, the mean squares of the ground's departure and the stroke's;
    reach_px, how many rings around the stroke are stained. Averages are taken on cells, and pixels compared to them.
    """

    square: Floats
    along: Floats
    noise: Floats
    contrast: Floats
    rings: Rings
    reach_px: NDArray[np.uint8]

    @classmethod
    def over(cls, ground: _Ground, support: Bools) -> Self | None:
        """None: nothing stands out. The sides of `support` (h, w) are multiples of CELL_PX."""
        departs = ground.departs
        square = np.square(departs).sum(axis=0)
        noise = np.maximum(ground.mean(square), 0.0)
        # The mean departure inside the mask, by energy: a stroke's adds up, that of a scene's edges cancels.
        energy = square * support
        total = np.maximum(_near(cells(energy)), 1e-6)
        mean = np.stack([_near(cells(plane * energy)) / total for plane in departs])
        contrast = np.square(mean).sum(axis=0)
        stands_out = ground.known & (contrast > np.maximum(LEAST_CONTRAST**2 * noise, len(departs) * FAINTEST_LEVELS**2))
        towards = mean / np.maximum(contrast, 1e-6)
        along = np.sum([plane * _of_cell(part) for plane, part in zip(departs, towards, strict=True)], axis=0)
        strong = _of_cell(np.where(stands_out, STROKE_SHARE**4 * _strongest(contrast), np.inf))
        flags = support & (along >= STROKE_SHARE) & (square >= strong)
        if not flags.any():
            return None
        rings = Rings.around(flags)
        return cls(square, along, noise, contrast, rings, _reach_within_px(rings, square, noise, contrast))

    def within(self) -> Bools:
        """What is stained of the mask."""
        return self.rings.number <= _of_cell(self.reach_px)

    def beyond(self, support: Bools) -> Bools:
        """What is stained beside the mask. A stain goes on from within: what lies apart from the stroke is the scene's."""
        rings = Rings.around(support)
        reached = rings.number <= _of_cell(_reach_beyond_px(rings, self.along))
        rim_share = np.maximum(RIM_SHARE, 4.0 * np.sqrt(self.noise / np.maximum(self.contrast, 1e-6)))
        rim = (self.rings.number <= RIM_PX) & (self.along > _of_cell(rim_share))
        return reached & (self.rings.number <= _of_cell(self.reach_px) + 1) | rim


def _reach_within_px(rings: Rings, square: Floats, noise: Floats, contrast: Floats) -> NDArray[np.uint8]:
    """How far around the stroke its rings are stained inside the mask, for each cell.

    Whatever is more than the noise explains counts, ringing and shadows too: to be firm in error costs little.
    """
    power = rings.mean(square)
    floor = np.maximum(noise[:, :, None], power[:, :, OUTER].min(axis=2, keepdims=True))
    # The mean of n squared deviates strays by sqrt(2 / n) of itself.
    doubt = 2.0 * floor * np.sqrt(2.0 / rings.independent)
    return _unbroken(power - floor > np.maximum(STAIN_SHARE**2 * contrast[:, :, None], doubt))


def _reach_beyond_px(rings: Rings, along: Floats) -> NDArray[np.uint8]:
    """How far around the mask its rings hold the stroke's own colour, for each cell.

    To take good surroundings from the model costs more, so this asks for more: what the outermost rings share with the
    stroke's colour is the background's own, and the rest must be clear of four standard errors.
    """
    share = rings.mean(along)
    variance = np.maximum(rings.mean(np.square(along)) - np.square(share), 0.0) / rings.independent
    excess = share - share[:, :, OUTER].mean(axis=2, keepdims=True)
    doubt = 4.0 * np.sqrt(variance + variance[:, :, OUTER].mean(axis=2, keepdims=True) / 3.0)
    return _unbroken(excess > np.maximum(LEAST_GROWTH_SHARE, doubt))


def _among(stained: Bools, support: Bools) -> Bools:
    """Pixels of the mask most of whose neighbours in it are stained: alone among those they would show as dots or as a line."""
    size = (2 * AMONG_PX + 1,) * 2
    near, of = (cv2.blur(flags.astype(np.float32), size) for flags in (stained & support, support))
    return support & (near >= AMONG_SHARE * of)


def _unbroken(holds: Bools) -> NDArray[np.uint8]:
    """How many rings in a row hold, from the innermost on."""
    return np.logical_and.accumulate(holds, axis=2).sum(axis=2, dtype=np.uint8)


def _of_cell(values: NDArray[Kind]) -> NDArray[Kind]:
    """The value of its cell for each pixel."""
    return values.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)


def _strongest(values: Floats) -> F32:
    """The largest value of the cells near by."""
    return np.asarray(cv2.dilate(values, np.ones((2 * NEAR_CELLS + 1,) * 2, np.uint8)), np.float32)


def _near(values: Floats) -> F32:
    return box_mean(values, NEAR_CELLS)


def _around(values: Floats) -> Floats:
    """Sums over the surroundings; only where there is next to nothing near by do those farther away have a say."""
    return _near(values) + FAR_WEIGHT * box_mean(values, FAR_CELLS)
