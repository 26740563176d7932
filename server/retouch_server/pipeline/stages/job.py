"""What a stage asks of its model for one window, and what it makes of the answer. Pure: no waiting, no state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.blend import composite
from retouch_server.imaging.edge import EDGE_PX, alpha, bounds, hole, stain
from retouch_server.imaging.membrane import match_tone
from retouch_server.imaging.rows import Pixels
from retouch_server.imaging.tone import anchor
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.guide import Guide, unguided
from retouch_server.pipeline.reference import KnownRows
from retouch_server.pipeline.regions import StageMask
from retouch_server.pipeline.wish import UNSAID, Wish


@dataclass(frozen=True, slots=True)
class View:
    """What a job sees of a window: everything that the window's result depends on beside the model, and its key in the cache.

    source (h, w, channels) uint8; mask (h, w) uint8; told: what else the model is told of it, by the names of its inputs.
    """

    source: Pixels
    mask: NDArray[np.uint8] | None = None
    told: Mapping[str, Array] = field(default_factory=dict[str, Array])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A view that is ready for the model.

    call: the model call for it. result: the window's result, (h × scale, w × scale, channels), from the model's outputs.
    """

    call: Call
    result: Callable[[Mapping[str, Array]], Pixels]


class Job(Protocol):
    """One window's worth of work. What is made of a view depends on nothing but the view and the model."""

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        ...

    def view(self, source: Pixels, window: Rect, known: KnownRows | None = None) -> View:
        """Of a window and its pixels. known: what lies beside and above it, where the model may need that."""
        ...

    def prepare(self, view: View) -> Prepared:
        """What is asked of the model, and what becomes of its answer."""
        ...


@dataclass(frozen=True, slots=True)
class Fill:
    """Text removal and inpainting: the model's answer goes where the mask is, softly where the mask is soft.

    Outside the mask every byte stays. Pixels that hold some of what is removed are no surroundings to the model, nor are
    they mixed back where the mask is soft on them; and the fill's tone is matched to what lies around it.
    """

    spec: ModelSpec
    mask: StageMask
    guide: Guide | None = None
    wish: Wish = UNSAID

    def view(self, source: Pixels, window: Rect, known: KnownRows | None = None) -> View:
        told = self._guided(window, known) | self.wish.inputs(self.spec, window)
        return View(source, self.mask.window(window), told)

    def _guided(self, window: Rect, known: KnownRows | None) -> dict[str, Array]:
        """What tells the model about a hole that is larger than the window; of what it takes."""
        guide = None if self.guide is None or "guide" not in self.spec.inputs else self.guide.over(window)
        if self.guide is None or guide is None or not guide[:, :, 3].any():
            return {}
        told: dict[str, Array] = {"guide": guide}
        if "guide_px" in self.spec.inputs:
            told["guide_px"] = np.array([self.guide.px(window)], np.int32)
        if known is not None and "reference" in self.spec.inputs:
            told["reference"] = known.reference(window, guide)
        return told

    def prepare(self, view: View) -> Prepared:
        source, mask = view.source, view.mask
        assert mask is not None
        stained = stain(source, mask)
        inputs: dict[str, Array] = {"image": as_rgb(source), "mask": hole(mask, stained)[:, :, None]}
        inputs |= unguided(self.spec, *mask.shape) | dict(view.told)
        inputs = {name: pad(values, self.spec.multiple_px) if values.ndim == 3 else values for name, values in inputs.items()}
        call = Call(self.spec.name, inputs, {"result": Output(inputs["image"].shape, np.uint8)})
        return Prepared(call, lambda outputs: _filled(source, mask, stained, outputs["result"]))


@dataclass(frozen=True, slots=True)
class Enlarge:
    """Upscaling. What a window's tone drifted from the source's is taken off.

    Alpha is resampled bicubically beside the model: what a network makes of colour is not meant for it.
    """

    spec: ModelSpec

    def view(self, source: Pixels, window: Rect, known: KnownRows | None = None) -> View:
        return View(source)

    def prepare(self, view: View) -> Prepared:
        image, scale = pad(as_rgb(view.source), self.spec.multiple_px), self.spec.scale
        height, width, channels = image.shape
        call = Call(self.spec.name, {"image": image}, {"result": Output((height * scale, width * scale, channels), np.uint8)})
        return Prepared(call, lambda outputs: _enlarged(view.source, outputs["result"], scale))


def _filled(source: Pixels, mask: NDArray[np.uint8], stained: NDArray[np.bool_], fill: Pixels) -> Pixels:
    """The source with the model's fill where the mask is."""
    touched = source.copy()
    box = bounds(mask > 0, EDGE_PX)
    if box is not None:
        mask, stained, before = mask[box], stained[box], source[box]
        matched = match_tone(as_rgb(before), fill[box], hole(mask, stained) > 0)
        touched[box] = composite(before, from_rgb(matched, before), alpha(mask, stained))
    return touched


def _enlarged(source: Pixels, result: Pixels, scale: int) -> Pixels:
    """The model's result in the source's channels."""
    height, width = source.shape[0] * scale, source.shape[1] * scale
    enlarged = anchor(result[:height, :width], as_rgb(source))
    if source.shape[2] == 3:
        return enlarged
    if source.shape[2] == 1:
        return _mean(enlarged)
    return np.dstack([enlarged, bicubic(source[:, :, 3], scale)])


def bicubic(pixels: Pixels, scale: int) -> Pixels:
    """(h, w, channels) or (h, w) enlarged `scale` times."""
    if scale == 1:
        return pixels
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_CUBIC), np.uint8)


def as_rgb(pixels: Pixels) -> Pixels:
    """(h, w, 3) of gray, RGB or RGBA: a view."""
    if pixels.shape[2] == 1:
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return pixels[:, :, :3]


def from_rgb(rgb: Pixels, source: Pixels) -> Pixels:
    """`rgb` in the channels of `source`, whose alpha it keeps."""
    if source.shape[2] == 3:
        return rgb
    return _mean(rgb) if source.shape[2] == 1 else np.dstack([rgb, source[:, :, 3]])


def _mean(rgb: Pixels) -> Pixels:
    """The channels' mean, (h, w, 1), rounded; exact where all three are equal."""
    total = rgb.sum(axis=2, dtype=np.uint16, keepdims=True)
    return ((total + 1) // 3).astype(np.uint8)


def pad(pixels: Pixels, multiple: int) -> Pixels:
    """Padded below and on the right by repeating the edge, so that both sides are multiples of `multiple`."""
    height, width = pixels.shape[:2]
    below, right = -height % multiple, -width % multiple
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), "edge") if below or right else pixels
