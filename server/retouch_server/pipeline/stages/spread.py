"""Fills at proxy resolution, and the windows of the regions that are filled so."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.blend import composite
from retouch_server.imaging.edge import EDGE_PX, alpha, bounds, hole, stain
from retouch_server.imaging.grain import F32, grown, sample
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.membrane import match_tone
from retouch_server.imaging.proxy import at_most
from retouch_server.imaging.rows import Pixels
from retouch_server.models.backend import Array, Call
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.coarse import MARGIN_PX, Coarse
from retouch_server.pipeline.guide import CoarsePicture, Guide, cut, hole_over
from retouch_server.pipeline.proxied import Proxied
from retouch_server.pipeline.reference import KnownRows
from retouch_server.pipeline.regions import StageMask
from retouch_server.pipeline.stages.job import Fill, Given, View, as_rgb, from_rgb

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
        view = View(source) if window in self.alone else self.rest.view(source, window, known)
        mask = self.proxied.mask.window(window)
        box = bounds(mask > 0, MARGIN_PX)
        if box is None:
            return view
        fill = np.zeros((*mask.shape, 4), np.uint8)
        fill[box] = self.fill.over(Rect(window.y + box[0].start, window.x + box[1].start, *mask[box].shape))
        grain = None if known is None else self._grain(window, known)
        place = (0, 0, 0) if grain is None else (self.seed, window.y, window.x)
        return replace(view, given=Given(fill, mask, grain, place))

    def _grain(self, window: Rect, known: KnownRows) -> F32 | None:
        columns = known.beside(window)
        return sample(known.pixels[:, columns], known.known[:, columns], self.proxied.ratio)

    def call(self, view: View) -> Call | None:
        if view.given is None:
            return self.rest.call(view)
        return None if view.mask is None else self.rest.call(_spread(view, view.given))

    def result(self, view: View, outputs: Mapping[str, Array]) -> Pixels:
        if view.given is not None:
            view = _spread(view, view.given)
        return self.rest.result(view, outputs) if outputs else view.source


def _spread(view: View, given: Given) -> View:
    """The view with what is given in its source."""
    source = view.source
    box = bounds(given.mask > 0, EDGE_PX)
    if box is None:
        return view
    stained = stain(source, given.mask)[box]
    mask, before = given.mask[box], source[box]
    hollow = hole(mask, stained) > 0
    shown = np.where(given.fill[box][:, :, 3:] > 0, given.fill[box][:, :, :3], as_rgb(before))
    fill = match_tone(as_rgb(before), shown, hollow)
    if given.grain is not None:
        fill = _grainy(fill, hollow, given, box)
    touched = source.copy()
    touched[box] = composite(before, from_rgb(fill, before), alpha(mask, stained))
    return replace(view, source=touched, given=None)


def _grainy(fill: Pixels, hollow: NDArray[np.bool_], given: Given, box: tuple[slice, slice]) -> Pixels:
    assert given.grain is not None
    seed, y, x = given.place
    rect = Rect(y + box[0].start, x + box[1].start, *hollow.shape)
    grain = np.where(hollow[:, :, None], grown(given.grain, rect, seed), np.float32(0))
    return np.clip(np.rint(fill + grain), 0, 255).astype(np.uint8)


async def fill_proxied(
    coarse: Coarse,
    proxy: tuple[Pixels, tuple[int, int]],
    spec: ModelSpec,
    house: tuple[Models, Executor],
    on_retry: Callable[[], None],
) -> Guide:
    """Fills each crop once, with the model of the stage.

    proxy: its pixels (h, w, 3), and the size (height, width) of the image that it stands for. Errors: those of the model.
    """
    (pixels, size), (dispatcher, executor) = proxy, house
    loop = asyncio.get_running_loop()
    small = await loop.run_in_executor(executor, at_most, pixels, size)

    async def filled(crop: Rect) -> CoarsePicture:
        picture = await loop.run_in_executor(executor, cut, small, size, crop, spec.window_px)
        # The copy was resampled twice, and its pixels reach into their neighbours'.
        touched = hole_over(coarse.masked, coarse.cell_px, picture).astype(np.uint8) * np.uint8(255)
        hole = np.asarray(cv2.dilate(touched, _NEXT), np.uint8)
        job = Fill(spec, StageMask(Mask.from_array(hole)))
        view = job.view(picture.pixels, Rect(0, 0, *hole.shape))
        call = await loop.run_in_executor(executor, job.call, view)
        async with dispatcher.infer(call, on_retry) as outputs:
            fill = await loop.run_in_executor(executor, job.result, view, outputs)
        return CoarsePicture(fill, picture.rows, picture.columns)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(filled(crop)) for crop in coarse.crops]
    return Guide(coarse, tuple(task.result() for task in tasks))
