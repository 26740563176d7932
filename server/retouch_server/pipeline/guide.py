"""Coarse to fine: deep holes are filled on the proxy, and that fill tells every window what its part of the hole holds."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span
from retouch_server.imaging.membrane import harmonic
from retouch_server.imaging.rows import Pixels
from retouch_server.models.backend import Call, Output
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.coarse import Coarse

CALM = 0.3
CALM_SIGMA = 0.1
"""A fill of a large hole is one guess of many, and its slow changes are its boldest part: this share of what it departs by
from the mean of all guesses, which the membrane over the hole stands for, is taken back; slow means a tenth of the hole."""
SEAM_SIGMA_PX = 2.0
MOST_LEVELS = 24.0
"""What a fill departs by from the picture where it overlaps it is averaged so far along the edge, and believed so far."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the pixels of a coarse picture lie along one axis of the image: number i covers `px` from start + i · px on."""

    start: float
    px: float

    def positions(self, span: Span) -> NDArray[np.float32]:
        """Of the image's pixels `span`, in coarse pixels: whole numbers are their centres."""
        return ((np.arange(span.start, span.stop) + 0.5 - self.start) / self.px - 0.5).astype(np.float32)

    def cells(self, length: int, cell_px: int, most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The cells in which each of `length` coarse pixels begins and ends."""
        edges = self.start + np.arange(length + 1) * self.px
        first, last = np.floor(edges[:-1] / cell_px), np.ceil(edges[1:] / cell_px) - 1
        return np.clip(first, 0, most).astype(np.intp), np.clip(last, 0, most).astype(np.intp)


@dataclass(frozen=True, slots=True)
class CoarsePicture:
    """A crop of the proxy at one model window's size, (h, w, 3) uint8, and where it lies in the image."""

    pixels: Pixels
    rows: Axis
    columns: Axis

    def over(self, rect: Rect) -> Pixels:
        """Enlarged over `rect` of the image. A pixel of the image gets the same value whatever the rectangle."""
        y, x = np.meshgrid(self.rows.positions(rect.rows), self.columns.positions(rect.columns), indexing="ij")
        return np.asarray(cv2.remap(self.pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True, slots=True)
class Guide:
    """The fills of a stage's deep holes, in the order of its plan."""

    coarse: Coarse
    fills: tuple[CoarsePicture, ...]

    def over(self, rect: Rect) -> Pixels:
        """(height, width, 4) uint8: RGB and confidence, which is 255 in deep holes and 0 elsewhere, where RGB is 0 too."""
        numbers = self.coarse.over(rect)
        out = np.zeros((rect.height, rect.width, 4), np.uint8)
        for number in self._in(numbers):
            np.copyto(out[:, :, :3], self.fills[number - 1].over(rect), where=(numbers == number)[:, :, None])
        out[:, :, 3] = np.where(numbers > 0, np.uint8(255), np.uint8(0))
        return out

    def px(self, rect: Rect) -> int:
        """How many px of the image a px of the guide over `rect` stands for, rounded up; 1 where there is no guide."""
        fills = [self.fills[number - 1] for number in self._in(self.coarse.over(rect))]
        return max((int(np.ceil(max(fill.rows.px, fill.columns.px))) for fill in fills), default=1)

    @staticmethod
    def _in(numbers: NDArray[np.int32]) -> list[int]:
        return [int(number) for number in np.unique(numbers) if number]


async def draw_guide(
    coarse: Coarse,
    proxy: tuple[Pixels, tuple[int, int]],
    spec: ModelSpec,
    house: tuple[Models, Executor],
    on_retry: Callable[[], None],
) -> Guide:
    """Fills each deep hole once, with the model that fills the windows.

    proxy: its pixels (h, w, 3), and the size (height, width) of the image that it stands for. Errors: those of the model.
    """
    (pixels, size), (dispatcher, executor) = proxy, house
    loop = asyncio.get_running_loop()

    async def filled(crop: Rect) -> CoarsePicture:
        picture = await loop.run_in_executor(executor, cut, pixels, size, crop, spec.window_px)
        hole, near = hole_over(coarse.masked, coarse.cell_px, picture), hole_over(coarse.near, coarse.cell_px, picture)
        call = coarse_call(spec, picture, hole)
        async with dispatcher.infer(call, on_retry) as outputs:
            fill = outputs["result"][: hole.shape[0], : hole.shape[1]].copy()
        fill = await loop.run_in_executor(executor, partial(matched, picture.pixels, fill, hole, near))
        return CoarsePicture(fill, picture.rows, picture.columns)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(filled(crop)) for crop in coarse.crops]
    return Guide(coarse, tuple(task.result() for task in tasks))


def cut(proxy: Pixels, size: tuple[int, int], crop: Rect, window_px: int) -> CoarsePicture:
    """The proxy over `crop` (image px, rounded outwards to pixels of the proxy), shrunk to a window where it is larger."""
    scales = [length / side for length, side in zip(size, proxy.shape[:2], strict=True)]
    spans = [
        Span(int(span.start / scale), int(np.ceil(span.stop / scale))).clip(Span(0, side))
        for span, scale, side in zip((crop.rows, crop.columns), scales, proxy.shape[:2], strict=True)
    ]
    part = proxy[spans[0].slice, spans[1].slice]
    shrunk = min(1.0, window_px / max(part.shape[:2]))
    height, width = (max(1, round(length * shrunk)) for length in part.shape[:2])
    pixels = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = (
        Axis(span.start * scale, span.length * scale / length)
        for span, scale, length in zip(spans, scales, (height, width), strict=True)
    )
    return CoarsePicture(np.asarray(pixels, np.uint8), rows, columns)


def hole_over(masked: NDArray[np.bool_], cell_px: int, picture: CoarsePicture) -> NDArray[np.bool_]:
    """Which pixels of a coarse picture touch a cell that is `masked`, (h, w)."""
    height, width = picture.pixels.shape[:2]
    rows = picture.rows.cells(height, cell_px, masked.shape[0] - 1)
    columns = picture.columns.cells(width, cell_px, masked.shape[1] - 1)
    return np.logical_or.reduce([masked[np.ix_(y, x)] for y in rows for x in columns])


def coarse_call(spec: ModelSpec, picture: CoarsePicture, hole: NDArray[np.bool_]) -> Call:
    """The model call that fills `hole`: as for any window, and unguided."""
    below, right = (-length % spec.multiple_px for length in hole.shape)
    image = np.pad(picture.pixels, ((0, below), (0, right), (0, 0)), "edge")
    mask = np.pad(hole.astype(np.uint8) * np.uint8(255), ((0, below), (0, right)), "edge")[:, :, None]
    inputs = {"image": image, "mask": mask} | unguided(spec, mask.shape[0], mask.shape[1])
    return Call(spec.name, inputs, {"result": Output(image.shape, np.uint8)})


def unguided(spec: ModelSpec, height: int, width: int) -> dict[str, NDArray[np.generic]]:
    """The inputs beyond image and mask that a model takes for a window which nothing guides."""
    nothing = np.zeros((height, width, 4), np.uint8)
    inputs: dict[str, NDArray[np.generic]] = {"guide": nothing, "reference": nothing, "guide_px": np.ones(1, np.int32)}
    return {name: values for name, values in inputs.items() if name in spec.inputs}


def matched(picture: Pixels, fill: Pixels, hole: NDArray[np.bool_], near: NDArray[np.bool_]) -> Pixels:
    """The fill as the guide shows it: in agreement with the picture in hole & ~near, where both are there; and calmed.

    What the two differ by there is carried over the hole by a membrane (Perez, Gangnet, Blake, SIGGRAPH 2003).
    """
    band = hole & ~near
    if not band.any():
        return calmed(picture, fill, hole)
    weight = band.astype(np.float32)
    error = (picture.astype(np.float32) - fill) * weight[:, :, None]
    share = np.maximum(cv2.GaussianBlur(weight, (0, 0), SEAM_SIGMA_PX), 1e-6)
    mean = np.clip(cv2.GaussianBlur(error, (0, 0), SEAM_SIGMA_PX) / share[:, :, None], -MOST_LEVELS, MOST_LEVELS)
    correction = harmonic((mean * weight[:, :, None]).astype(np.float32), band)
    moved = np.clip(np.rint(fill + np.where(hole[:, :, None], correction, 0.0)), 0, 255).astype(np.uint8)
    return calmed(picture, moved, hole)


def calmed(picture: Pixels, fill: Pixels, hole: NDArray[np.bool_]) -> Pixels:
    """The fill with some of its slow departure from the membrane over the hole taken back; its edge stays."""
    if hole.all() or not hole.any():
        return fill
    values = np.where(hole[:, :, None], 0.0, picture).astype(np.float32)
    sigma_px = CALM_SIGMA * float(np.sqrt(np.count_nonzero(hole)))
    departure = np.where(hole[:, :, None], harmonic(values, ~hole) - fill, 0.0).astype(np.float32)
    slow = cv2.GaussianBlur(departure, (0, 0), sigma_px)
    inside_px = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    share = CALM * np.minimum(1.0, inside_px / (2.0 * sigma_px))
    return np.clip(np.rint(fill + share[:, :, None] * slow), 0, 255).astype(np.uint8)
