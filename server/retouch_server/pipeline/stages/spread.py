"""Fills at proxy resolution, spread over their regions: in the rows of a row of windows, before these are cut."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span, ceil_div
from retouch_server.imaging.blend import blend, composite
from retouch_server.imaging.edge import EDGE_PX, alpha, bounds, hole, stain
from retouch_server.imaging.grain import F32, grown, sample
from retouch_server.imaging.membrane import match_tone
from retouch_server.imaging.proxy import at_most
from retouch_server.imaging.rows import Pixels
from retouch_server.models.dispatch import Models
from retouch_server.pipeline.coarse import Coarse
from retouch_server.pipeline.guide import CoarsePicture, Guide, cut, hole_over
from retouch_server.pipeline.proxied import Proxied
from retouch_server.pipeline.reference import KnownRows
from retouch_server.pipeline.stages.job import Job, Prepared, View, as_rgb, from_rgb

NEAR_PX = 64
"""Grain is looked for so far around a piece of a part, at least; half the piece's longer side where that is more."""
PIECE_PX = 1024
"""What is wider is spread in pieces, which bounds the memory; they blend over OVERLAP_PX on either side of a border."""
OVERLAP_PX = 2 * EDGE_PX
_NEXT = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Spread:
    """Spreads a fill at proxy resolution over its regions.

    The fill is enlarged, given the grain of its surroundings and matched to them in tone. Outside the mask every byte stays.
    """

    proxied: Proxied
    fill: Guide
    seed: int

    def over(self, number: int, known: KnownRows, rows: Span, pixels: Pixels, out: Pixels) -> None:
        """Fills a part as far as it shows in `rows` of the image, `pixels` (h, width, channels), in `out`, a copy of them.

        Parts may be filled at the same time: each is written where its own mask is.
        """
        part = self.proxied.parts[number - 1]
        high, wide = part.rows.grow(EDGE_PX).clip(rows), part.columns.grow(EDGE_PX).clip(Span(0, pixels.shape[1]))
        edges = np.linspace(wide.start, wide.stop, ceil_div(wide.length, PIECE_PX) + 1).astype(int).tolist()
        before: Pixels | None = None
        for start, stop in pairwise(edges):
            piece = Rect.from_spans(high, Span(start, stop).grow(OVERLAP_PX).clip(wide))
            box = piece.rows.shifted(-rows.start).slice, piece.columns.slice
            mask = self.proxied.part(number, piece)
            filled = self._filled(pixels[box], mask, piece, known)
            if before is not None:
                shared = 2 * OVERLAP_PX
                filled[:, :shared] = blend(before[:, -shared:], filled[:, :shared], axis=1)
            np.copyto(out[box], filled, where=mask[:, :, None] > 0)
            before = filled

    def _filled(self, before: Pixels, mask: NDArray[np.uint8], piece: Rect, known: KnownRows) -> Pixels:
        """A piece of the image, `before` and `mask`, with its fill."""
        filled = before.copy()
        box = bounds(mask > 0, EDGE_PX)
        if box is None:
            return filled
        before, mask = before[box], mask[box]
        inner = Rect(piece.y + box[0].start, piece.x + box[1].start, *mask.shape)
        enlarged = self.fill.over(inner)
        stained = stain(before, mask)
        hollow = hole(mask, stained) > 0
        shown = np.where(enlarged[:, :, 3:] > 0, enlarged[:, :, :3], as_rgb(before))
        fill = match_tone(as_rgb(before), shown, hollow)
        grain = self._grain(inner, known)
        if grain is not None:
            fill = _grainy(fill, hollow, grain, (self.seed, inner.y, inner.x))
        filled[box] = composite(before, from_rgb(fill, before), alpha(mask, stained))
        return filled

    def _grain(self, piece: Rect, known: KnownRows) -> F32 | None:
        pixels, is_known = known.around(piece, max(NEAR_PX, max(piece.height, piece.width) // 2))
        return sample(pixels, is_known, self.proxied.ratio)


def _grainy(fill: Pixels, hollow: NDArray[np.bool_], grain: F32, place: tuple[int, int, int]) -> Pixels:
    box = bounds(hollow)
    if box is None:
        return fill
    seed, y, x = place
    inner = hollow[box]
    grains = np.where(
        inner[:, :, None], grown(grain, Rect(y + box[0].start, x + box[1].start, *inner.shape), seed), np.float32(0)
    )
    grainy = fill.copy()
    grainy[box] = np.clip(np.rint(fill[box] + grains), 0, 255).astype(np.uint8)
    return grainy


async def fill_proxied(
    coarse: Coarse,
    proxy: tuple[Pixels, tuple[int, int]],
    job: Job,
    house: tuple[Models, Executor],
    on_retry: Callable[[], None],
) -> Guide:
    """Fills each crop once, as `job` fills windows.

    proxy: its pixels (h, w, 3), and the size (height, width) of the image that it stands for. Errors: those of the model.
    """
    (pixels, size), (dispatcher, executor) = proxy, house
    loop = asyncio.get_running_loop()
    small = await loop.run_in_executor(executor, at_most, pixels, size)

    def prepared(crop: Rect) -> tuple[CoarsePicture, Prepared]:
        picture = cut(small, size, crop, job.spec.window_px)
        # The copy was resampled twice, and its pixels reach into their neighbours'.
        touched = hole_over(coarse.masked, coarse.cell_px, picture).astype(np.uint8) * np.uint8(255)
        hole = np.asarray(cv2.dilate(touched, _NEXT), np.uint8)
        return picture, job.prepare(View(picture.pixels, hole))

    async def filled(crop: Rect) -> CoarsePicture:
        picture, window = await loop.run_in_executor(executor, prepared, crop)
        async with dispatcher.infer(window.call, on_retry) as outputs:
            fill = await loop.run_in_executor(executor, window.result, outputs)
        return CoarsePicture(fill, picture.rows, picture.columns)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(filled(crop)) for crop in coarse.crops]
    return Guide(coarse, tuple(task.result() for task in tasks))
