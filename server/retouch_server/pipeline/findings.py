"""The precheck: what a proxy and a mask say about the work ahead."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.errors import ModelFault
from retouch_server.geometry import Rect
from retouch_server.imaging.rows import Pixels
from retouch_server.models.backend import Call, Output
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.spec import Kind
from retouch_server.pipeline.regions import RegionMap

TEXT_DOMINATED = 0.35
"""Share of a region's masked pixels on detected text from which the region counts as overlay text."""
FINE_TEXTURE = 0.5
DETECTED = 0.3
"""Probability from which the detector's map counts as text: the threshold that PP-OCR ships with."""
JUDGED_REGIONS = 16
"""The largest regions are judged by the precheck model; the others by text detection alone and as fine texture."""


@dataclass(frozen=True, slots=True)
class RegionFinding:
    """What was found in one region; scores 0 to 1."""

    bounds: Rect
    area_px: int
    text_score: float
    texture_score: float

    @property
    def has_text(self) -> bool:
        return self.text_score >= TEXT_DOMINATED


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found. `regions` is None when nothing is masked; `judged` is False when there was no proxy to look at."""

    regions: RegionMap | None = None
    found: tuple[RegionFinding, ...] = ()
    judged: bool = True
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
        return any(region.texture_score >= FINE_TEXTURE and not region.has_text for region in self.found)


def unjudged(regions: RegionMap) -> Findings:
    """Without a proxy: every region is treated as if it had text and fine texture."""
    found = [RegionFinding(b, area, 1.0, 1.0) for b, area in zip(regions.bounds, regions.areas_px, strict=True)]
    return Findings(regions, tuple(found), judged=False)


class Precheck:
    """Judges proxies with the models that are served."""

    def __init__(self, catalogue: Catalogue, dispatcher: Dispatcher) -> None:
        self._catalogue = catalogue
        self._dispatcher = dispatcher

    async def judge(self, proxy: Pixels, regions: RegionMap) -> Findings:
        """Findings for `regions` of the image that `proxy` (h, w, 3) uint8 stands for."""
        text = None
        if self._catalogue.find(Kind.TEXT_DETECT) is not None:
            text = text_cells(await self.detect_text(proxy), regions)
        shares = _text_shares(text, regions)
        found = [
            RegionFinding(bounds, area, shares[label], 1.0)
            for label, (bounds, area) in enumerate(zip(regions.bounds, regions.areas_px, strict=True))
        ]
        spec = self._catalogue.find(Kind.PRECHECK)
        if spec is not None:
            for label in range(min(len(found), JUDGED_REGIONS)):
                text_score, texture_score = await self._scores(spec.name, proxy, regions, label + 1)
                if text is None:
                    found[label] = replace(found[label], text_score=text_score)
                found[label] = replace(found[label], texture_score=texture_score)
        return Findings(regions, tuple(found), text=text)

    async def detect_text(self, image: Pixels) -> NDArray[np.uint8]:
        """Probability × 255 of text at each pixel of `image` (h, w, 3), (h, w) uint8. Errors: ModelNotServed."""
        spec = self._catalogue.require(Kind.TEXT_DETECT)
        call = Call(spec.name, {"image": image}, {"result": Output((*image.shape[:2], 1), np.uint8)})
        async with self._dispatcher.infer(call) as outputs:
            return outputs["result"][:, :, 0].copy()

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
    """
    core = (probability >= round(DETECTED * 255)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    grown = np.zeros_like(core)
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        if area < 4:
            continue
        margin = max(1, round(min(width, height) * 0.6))
        top, left = max(0, y - margin), max(0, x - margin)
        part = (labels[top : y + height + margin, left : x + width + margin] == label).astype(np.uint8)
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * margin + 1, 2 * margin + 1))
        inside = grown[top : y + height + margin, left : x + width + margin]
        np.maximum(inside, cv2.dilate(part, kernel), out=inside)
    rows, columns = regions.labels.shape
    cells = cv2.resize(grown.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cells, np.float64)
