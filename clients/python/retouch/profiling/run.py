"""Runs every candidate over every pair through the service, as an edit would."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from retouch.client import RetouchClient
from retouch.options import EditOptions
from retouch.plan import Model
from retouch.profiling.measures import Measures, Picture
from retouch.profiling.pairs import Pair

BICUBIC = "bicubic"
"""What a plain pipeline enlarges with: the yardstick, not a candidate."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upscaler by its name in Triton, an inpainter by its method; `kind` is upscale or inpaint."""

    kind: str
    name: str
    method: str
    scale: int


@dataclass(frozen=True, slots=True)
class Result:
    """One candidate on one pair. LPIPS is None where it cannot be measured; seconds per megapixel of input."""

    candidate: Candidate
    pair: Pair
    psnr_db: float
    ssim: float
    lpips: float | None
    seconds_per_mp: float


@dataclass(frozen=True, slots=True)
class Score:
    """The means of one candidate over the pairs with one label."""

    candidate: Candidate
    label: str
    pairs: int
    psnr_db: float
    ssim: float
    lpips: float | None
    seconds_per_mp: float


def candidates(models: Sequence[Model], pair: Pair) -> list[Candidate]:
    """Who may try a pair: the ready upscalers of its scale, or one inpainter for each method."""
    if pair.mask is not None:
        methods = {model.method: model for model in reversed(models) if model.kind == "inpaint" and model.is_ready}
        return [Candidate("inpaint", method, method, 1) for method in sorted(methods)]
    fitting = [m for m in models if m.kind == "upscale" and m.scale == pair.scale and m.is_ready]
    plain = Candidate("upscale", BICUBIC, "", pair.scale)
    return [plain, *(Candidate("upscale", m.name, m.method, m.scale) for m in fitting)]


async def profile(client: RetouchClient, pairs: Sequence[Pair], measures: Measures) -> AsyncIterator[Result]:
    """The results, one after the other: edits are not run side by side, so that their times can be compared."""
    models = await client.models()
    for pair in pairs:
        truth = _read(pair.truth)
        source = _read(pair.input)
        mask = None if pair.mask is None else np.asarray(Image.open(pair.mask).convert("L"))
        inside = None if mask is None else mask > 127
        for candidate in candidates(models, pair):
            began = time.monotonic()
            result = await _attempt(client, candidate, source, mask)
            seconds = time.monotonic() - began
            yield Result(
                candidate,
                pair,
                measures.psnr_db(result, truth, inside),
                measures.ssim(result, truth, inside),
                measures.lpips(result, truth, inside),
                seconds / (source.shape[0] * source.shape[1] / 1e6),
            )


async def _attempt(client: RetouchClient, candidate: Candidate, source: Picture, mask: Picture | None) -> Picture:
    if candidate.name == BICUBIC:
        size = source.shape[1] * candidate.scale, source.shape[0] * candidate.scale
        return np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BICUBIC))
    if candidate.kind == "inpaint":
        options = EditOptions(text_removal="never", inpaint=candidate.method)  # pyright: ignore[reportArgumentType]
    else:
        options = EditOptions(inpaint="none", scale=candidate.scale, upscaler=candidate.name, criticality="low")
    return await client.edit_image(source, mask, options)


def scores(results: Sequence[Result]) -> list[Score]:
    """Means by candidate and label; with several labels, also over all of them (label "all")."""
    groups: defaultdict[tuple[Candidate, str], list[Result]] = defaultdict(list)
    for result in results:
        for label in {result.pair.label, "all"}:
            groups[result.candidate, label].append(result)
    return [
        Score(
            candidate,
            label,
            len(group),
            fmean(result.psnr_db for result in group),
            fmean(result.ssim for result in group),
            _mean([result.lpips for result in group]),
            fmean(result.seconds_per_mp for result in group),
        )
        for (candidate, label), group in sorted(
            groups.items(), key=lambda item: (item[0][0].kind, item[0][0].scale, item[0][1], item[0][0].name)
        )
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _read(path: Path) -> Picture:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
