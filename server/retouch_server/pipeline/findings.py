"""The precheck: what a proxy and a mask say about the work ahead."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.errors import ModelFault
from retouch_server.geometry import Rect
from retouch_server.imaging.proxy import at_most, ratio_of
from retouch_server.imaging.rows import Pixels
from retouch_server.models.backend import Call, Output
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import Kind
from retouch_server.pipeline.policy import USUAL, Limits
from retouch_server.pipeline.regions import RegionMap
from retouch_server.telemetry.tracing import traced

DETECTED = 0.3
"""Probability from which the detector's map counts as text: the threshold that PP-OCR ships with."""
LEAST_CORE_PX = 4
LEAST_MASKED = 0.3
"""Share of a line's core that must lie under the mask for the line to count."""
MOST_THICK = 0.18
"""Thickness of a line's core, as a share of the proxy's longer side, that no line reaches: letters of 300 px on a proxy of
960 px reach 0.14."""
JUDGED_REGIONS = 16
"""The largest regions are judged by the precheck model; the others by text detection alone and as fine texture."""


@dataclass(frozen=True, slots=True)
class RegionFinding:
    """What was found in one region; scores 0 to 1."""

    bounds: Rect
    area_px: int
    text_score: float
    texture_score: float
    is_judged: bool = True
    """False when there was no proxy to look at; the scores then are the cautious ones."""
    limits: Limits = USUAL

    @property
    def has_text(self) -> bool:
        """Whether overlay text dominates it."""
        return self.text_score >= self.limits.text_dominated

    @property
    def is_fine(self) -> bool:
        """Whether its texture is too fine for a fill at proxy resolution."""
        return self.texture_score >= self.limits.fine_texture


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found. `regions` is None when nothing is masked; `judged` is False when there was no proxy to look at."""

    regions: RegionMap | None = None
    found: tuple[RegionFinding, ...] = ()
    judged: bool = True
    ratio: float = 1.0
    """How many times smaller than the image a copy is of which its regions may be filled."""
    text: NDArray[np.float64] | None = None
    """Share of each cell of the regions' grid that lies on detected text; None when no detector looked."""

    @property
    def text_score(self) -> float:
        return max((region.text_score for region in self.found), default=0.0)

    @property
    def texture_score(self) -> float:
        return max((region.texture_score for region in self.found), default=0.0)

    @property
    def needs_text_removal(self) -> bool:
        return any(region.has_text for region in self.found)

    @property
    def needs_full_resolution_inpaint(self) -> bool:
        return any(region.is_fine and not region.has_text for region in self.found)


def unjudged(regions: RegionMap) -> Findings:
    """Without a proxy: every region is treated as if it had text and fine texture."""
    found = [
        RegionFinding(b, area, 1.0, 1.0, is_judged=False) for b, area in zip(regions.bounds, regions.areas_px, strict=True)
    ]
    return Findings(regions, tuple(found), judged=False)


class Precheck:
    """Judges proxies with the models that are served."""

    def __init__(self, catalogue: Catalogue, dispatcher: Models, limits: Limits = USUAL) -> None:
        self._catalogue = catalogue
        self._dispatcher = dispatcher
        self._limits = limits

    @traced("precheck")
    async def judge(self, proxy: Pixels, regions: RegionMap, size: tuple[int, int]) -> Findings:
        """Findings for `regions` of the image of (height, width) px that `proxy` (h, w, 3) uint8 stands for."""
        text = None
        if self._catalogue.find(Kind.TEXT_DETECT) is not None:
            text = text_cells(await self.detect_text(proxy), regions)
        shares = _text_shares(text, regions)
        found = [
            RegionFinding(bounds, area, shares[label], 1.0, limits=self._limits)
            for label, (bounds, area) in enumerate(zip(regions.bounds, regions.areas_px, strict=True))
        ]
        spec, small = self._catalogue.find(Kind.PRECHECK), at_most(proxy, size)
        if spec is not None:
            for label in range(min(len(found), JUDGED_REGIONS)):
                text_score, texture_score = await self._scores(spec.name, small, regions, label + 1)
                if text is not None:
                    text_score = shares[label]
                elif small is not proxy:  # letters are told at the best resolution there is
                    text_score, _ = await self._scores(spec.name, proxy, regions, label + 1)
                found[label] = replace(found[label], text_score=text_score, texture_score=texture_score)
        return Findings(regions, tuple(found), ratio=ratio_of(size, proxy.shape), text=text)

    async def detect_text(self, image: Pixels) -> NDArray[np.uint8]:
        """Probability × 255 of text at each pixel of `image` (h, w, 3), (h, w) uint8, without what cannot be text.

        Errors: ModelNotServed.
        """
        spec = self._catalogue.require(Kind.TEXT_DETECT)
        call = Call(spec.name, {"image": image}, {"result": Output((*image.shape[:2], 1), np.uint8)})
        async with self._dispatcher.infer(call) as outputs:
            return without_slabs(outputs["result"][:, :, 0])

    async def _scores(self, model: str, proxy: Pixels, regions: RegionMap, label: int) -> tuple[float, float]:
        """Text and texture score of one region, from the proxy around it."""
        height, width = proxy.shape[:2]
        judged = (regions.labels == label).astype(np.uint8) * 255
        mask = np.asarray(cv2.resize(judged, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        mask = np.where(mask > 0, np.uint8(255), np.uint8(0))[:, :, None]
        call = Call(model, {"image": proxy, "mask": mask}, {"scores": Output((2,), np.float32)})
        async with self._dispatcher.infer(call) as outputs:
            scores = outputs["scores"].copy()
        if not np.isfinite(scores).all():
            raise ModelFault(model, "a score is not a number")
        text, texture = np.clip(scores, 0.0, 1.0)
        return float(text), float(texture)


def _text_shares(text: NDArray[np.float64] | None, regions: RegionMap) -> list[float]:
    """For each region the share of its masked pixels that lie on detected text; zeros when no detector looked."""
    if text is None:
        return [0.0] * len(regions)
    labels, weights = regions.labels.ravel(), regions.coverage.ravel().astype(np.float64)
    masked = np.bincount(labels, weights, minlength=len(regions) + 1)
    on_text = np.bincount(labels, weights * text.ravel(), minlength=len(regions) + 1)
    return [float(share) for share in (on_text / np.maximum(masked, 1e-9))[1:]]


def text_cells(probability: NDArray[np.uint8], regions: RegionMap) -> NDArray[np.float64]:
    """Share of each cell of the regions' grid that lies on text, from the detector's map of the proxy.

    The detector (DB, Liao et al. 2020) marks the shrunken core of each line: grown by half its height it covers the letters.
    Overlay text that somebody masked lies under the mask: a core that mostly lies elsewhere does not count.
    """
    core = (probability >= round(DETECTED * 255)).astype(np.uint8)
    height, width = core.shape
    masked = cv2.resize((regions.coverage > 0).astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    grown = np.zeros_like(core)
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        if area < LEAST_CORE_PX:
            continue
        margin = max(1, round(min(w, h) * 0.6))
        near = slice(max(0, y - margin), y + h + margin), slice(max(0, x - margin), x + w + margin)
        part = labels[near] == label
        if float(masked[near][part].mean()) >= LEAST_MASKED:
            kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * margin + 1, 2 * margin + 1))
            np.maximum(grown[near], cv2.dilate(part.astype(np.uint8), kernel), out=grown[near])
    rows, columns = regions.labels.shape
    cells = cv2.resize(grown.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.float64)


def without_slabs(probability: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The detector's map, (h, w), with 0 where what it marks is thicker than a line of text can be.

    On pictures without text the detector now and then takes a sky or a wall for a line.
    """
    core = (probability >= round(DETECTED * 255)).astype(np.uint8)
    labels = np.asarray(cv2.connectedComponents(core, connectivity=8)[1], np.int32)
    depth = cv2.distanceTransform(core, cv2.DIST_L2, 3)
    too_thick = np.unique(labels[2 * depth > MOST_THICK * max(probability.shape)])
    return np.where(np.isin(labels, too_thick) & (core > 0), np.uint8(0), probability)
