"""Coarse to fine: the fills of deep holes, made on the proxy, tell every window what its part of the hole holds."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span
from retouch_server.imaging.edge import bounds
from retouch_server.imaging.rows import Pixels
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.coarse import Coarse


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
    """A crop of the proxy, (h, w, 3) uint8, at most as large as a model's window, and where it lies in the image."""

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
        for number in self.coarse.numbers(rect):
            here = numbers == number
            box = bounds(here)
            assert box is not None
            part = Rect(rect.y + box[0].start, rect.x + box[1].start, *here[box].shape)
            np.copyto(out[box][:, :, :3], self.fills[number - 1].over(part), where=here[box][:, :, None])
        out[:, :, 3] = np.where(numbers > 0, np.uint8(255), np.uint8(0))
        return out

    def px(self, rect: Rect) -> int:
        """How many px of the image a px of the guide over `rect` stands for, rounded up; 1 where there is no guide."""
        fills = [self.fills[number - 1] for number in self.coarse.numbers(rect)]
        return max((int(np.ceil(max(fill.rows.px, fill.columns.px))) for fill in fills), default=1)


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


def unguided(spec: ModelSpec, height: int, width: int) -> dict[str, NDArray[np.generic]]:
    """The inputs beyond image and mask that a model takes for a window which nothing guides."""
    nothing = np.zeros((height, width, 4), np.uint8)
    inputs: dict[str, NDArray[np.generic]] = {"guide": nothing, "reference": nothing, "guide_px": np.ones(1, np.int32)}
    return {name: values for name, values in inputs.items() if name in spec.inputs}
