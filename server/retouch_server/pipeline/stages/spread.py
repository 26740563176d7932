"""Fills at proxy resolution, and the windows of the regions that are filled so."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.blend import composite
from retouch_server.imaging.edge import EDGE_PX, alpha, apart, bounds, hole, stain
from retouch_server.imaging.grain import F32, grown, sample
from retouch_server.imaging.membrane import match_tone
from retouch_server.imaging.proxy import at_most
from retouch_server.imaging.rows import Pixels
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.coarse import Coarse
from retouch_server.pipeline.guide import CoarsePicture, Guide, cut, hole_over
from retouch_server.pipeline.proxied import Proxied
from retouch_server.pipeline.reference import KnownRows
from retouch_server.pipeline.stages.job import Fill, Given, Prepared, View, as_rgb, from_rgb

NEAR_PX = 64
"""Grain is looked for so far around a part of a window, at least; half the part's longer side where that is more."""
_NEXT = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Spread:
    """Spreads a fill at proxy resolution over its regions; then `rest` fills the others, but not in the windows `alone`.

    The fill is enlarged, given the grain of its surroundings and matched to them in tone. Outside the mask every byte stays.
    """

    rest: Fill
    proxied: Proxied
    fill: Guide
    seed: int
    alone: frozenset[Rect]

    @property
    def spec(self) -> ModelSpec:
        return self.rest.spec

    def view(self, source: Pixels, window: Rect, known: KnownRows | None = None) -> View:
        parts = apart(self.proxied.mask.window(window), EDGE_PX)
        given = tuple(self._given(window, box, mask, known) for box, mask in parts)
        if window in self.alone:
            return View(source, given=given)
        return self.rest.view(_spread(source, given), window, known)

    def _given(self, window: Rect, box: tuple[slice, slice], mask: NDArray[np.uint8], known: KnownRows | None) -> Given:
        at = Rect(box[0].start, box[1].start, *mask.shape)
        part = Rect(window.y + at.y, window.x + at.x, at.height, at.width)
        grain = None if known is None else self._grain(part, known)
        return Given(at, mask, self.fill.over(part), grain, (0, 0, 0) if grain is None else (self.seed, part.y, part.x))

    def _grain(self, part: Rect, known: KnownRows) -> F32 | None:
        pixels, is_known = known.around(part, max(NEAR_PX, max(part.height, part.width) // 2))
        return sample(pixels, is_known, self.proxied.ratio)

    def prepare(self, view: View) -> Prepared:
        if view.mask is None:
            return Prepared(None, lambda _: _spread(view.source, view.given))
        return self.rest.prepare(view)


def _spread(source: Pixels, given: Sequence[Given]) -> Pixels:
    """The source with what its parts are given."""
    touched = source.copy() if given else source
    for part in given:
        box = part.at.rows.slice, part.at.columns.slice
        touched[box] = _spread_part(source[box], part)
    return touched


def _spread_part(before: Pixels, given: Given) -> Pixels:
    stained = stain(before, given.mask)
    hollow = hole(given.mask, stained) > 0
    shown = np.where(given.fill[:, :, 3:] > 0, given.fill[:, :, :3], as_rgb(before))
    fill = match_tone(as_rgb(before), shown, hollow)
    if given.grain is not None:
        fill = _grainy(fill, hollow, given.grain, given.place)
    return composite(before, from_rgb(fill, before), alpha(given.mask, stained))


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
    job: Fill,
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
        assert window.call is not None
        async with dispatcher.infer(window.call, on_retry) as outputs:
            fill = await loop.run_in_executor(executor, window.result, outputs)
        return CoarsePicture(fill, picture.rows, picture.columns)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(filled(crop)) for crop in coarse.crops]
    return Guide(coarse, tuple(task.result() for task in tasks))
