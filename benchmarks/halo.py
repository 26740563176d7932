"""What is left of a stroke where it was: drawn on photographs, masked in seven ways, removed by the product's inpainting stage.

residual_share: in the ring 1 to 6 px around a stroke, the projection of result - truth on stroke - truth as a share of the
latter, over all photographs and strokes at once, without its sign; the mean of all kinds of mask. residual_worst: the kind of
mask with the largest. residual_mean: the largest of their plain means, in which a stroke that hardly shows counts as much as
any. residual_spread: the mean without signs, most of it texture that the fill invented. halo_*: the same with the truth as
the model's answer, so that nothing can err but the mask's edge. tone_left: how much of a drift in tone is left, with a truth so
disturbed as the model's answer. plain_*: the model asked with the mask as it is, and composited by it. Every pixel outside
the mask must be byte-identical.
"""

import argparse
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.one_stage import MakeJob, Model, filled, product_model
from benchmarks.photograph import Pixels, photograph
from benchmarks.report import Bound, Report, rounded
from benchmarks.strokes import F32, Stroke, drawn, masks, strokes
from retouch_server.geometry import Rect
from retouch_server.imaging.blend import composite
from retouch_server.models.backend import Call, Output
from retouch_server.models.spec import ModelSpec
from retouch_server.pipeline.regions import StageMask
from retouch_server.pipeline.stages.job import Fill, Prepared, View

BOUNDS = {"residual_share": Bound(most=0.02), "halo_share": Bound(most=0.02), "rim_levels": Bound(most=2.0)}
RING_PX = range(1, 7)
SMOOTH_PX = 12.0
"""The truth is averaged so far for `stroke - truth`: its texture, which no fill knows, would else be part of both sides."""
LEAST_CONTRAST = 30.0
"""A stroke that departs from the photograph by less, levels of the three channels together, is hardly seen on it."""
JPEG_QUALITY = 80
VIEW_PX = 72
DRIFT_GAIN, DRIFT_LEVELS, DRIFT_SLOPE = 0.04, 6.0, 6.0


@dataclass(frozen=True, slots=True)
class Case:
    """A stroke removed from a photograph: what is left of it, in all and by ring, as a share; its contrast and energy."""

    photo: int
    mask: str
    stroke: str
    share: float
    rings: tuple[float, ...]
    contrast: float
    energy: float

    @property
    def rim_levels(self) -> float:
        """How far a ring departs from the mean of all: a narrow line around the stroke, not a tone."""
        return max(abs(ring - statistics.fmean(self.rings)) for ring in self.rings) * self.contrast


@dataclass(frozen=True, slots=True)
class Plain:
    """The peer: the model is told the mask as it is, and its answer composited by it."""

    spec: ModelSpec
    mask: StageMask

    def view(self, source: Pixels, window: Rect, known: object = None) -> View:
        return View(source, self.mask.window(window)[:, :, None])

    def prepare(self, view: View) -> Prepared:
        assert view.mask is not None
        mask, source = view.mask, view.source
        call = Call(self.spec.name, {"image": source, "mask": mask}, {"result": Output(source.shape, np.uint8)})
        return Prepared(call, lambda outputs: composite(source, outputs["result"], mask[:, :, 0]))


JOBS: dict[str, MakeJob] = {"ours": Fill, "plain": Plain}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=None, help="photographs to draw on; none: crops of the one that ships")
    parser.add_argument("--photographs", type=int, default=6, help="how many of them")
    parser.add_argument("--size", type=int, default=512, help="side of the square cut from each, px")
    parser.add_argument("--pictures", type=Path, help="a folder for the worst at 4:1: before, mask, plain, ours, truth")


async def measure(options: argparse.Namespace) -> Report:
    fill = _remembering(product_model("inpaint_classical", "exemplar").fill)
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    cases: dict[str, list[Case]] = {}
    drifts: dict[str, list[tuple[float, float]]] = {"pasted": [], "whole": []}
    worst: dict[str, tuple[float, Pixels]] = {}
    for number, truth in enumerate(_crops(options)):
        photo = Photo(number, truth, strokes(*truth.shape[:2]))
        before, named = drawn(truth, photo.layers), masks(_covered(photo.layers))
        for name, mask in named.items():
            for model, answer in (("classical", fill), ("truth", lambda _image, _mask, truth=truth: truth)):
                results = {job: await _removed(before, mask, answer, job) for job in JOBS}
                for job, result in results.items():
                    cases.setdefault(f"{model} {job}", []).extend(photo.cases(name, result, truth))
                score = max(case.rim_levels for case in cases[f"{model} ours"] if (case.photo, case.mask) == (number, name))
                if options.pictures and score > worst.get(f"{model} {name}", (0.0, truth))[0]:
                    panel = _panel([before, mask, results["plain"], results["ours"], truth], results["ours"], truth)
                    worst[f"{model} {name}"] = score, panel
        for name in ("exact", "grown 4", "grown and feathered"):
            result = await _removed(_coded(before), named[name], fill, "ours")
            cases.setdefault("coded ours", []).extend(photo.cases(name, result, _coded(truth)))
        for how, kept in drifts.items():
            kept.append(await _drift(before, named["grown 4"], truth, number, is_pasted=how == "pasted"))
    for name, (_, panel) in worst.items():
        Image.fromarray(panel).save(options.pictures / f"{name.replace(' ', '_')}.png")
    figures = {
        "residual_share": _mean(map(abs, _pooled(cases["classical ours"]).values())),
        "residual_worst": max(map(abs, _pooled(cases["classical ours"]).values())),
        "plain_share": _mean(map(abs, _pooled(cases["classical plain"]).values())),
        "residual_mean": max(map(abs, _by_mask(cases["classical ours"], lambda case: case.share).values())),
        "residual_spread": _mean(abs(case.share) for case in cases["classical ours"]),
        "plain_spread": _mean(abs(case.share) for case in cases["classical plain"]),
        "coded_share": max(map(abs, _pooled(cases["coded ours"]).values())),
        "halo_share": max(_by_mask(cases["truth ours"], lambda case: abs(case.share)).values()),
        "plain_halo_share": max(_by_mask(cases["truth plain"], lambda case: abs(case.share)).values()),
        "halo_worst": max(abs(case.share) for case in cases["truth ours"]),
        "plain_halo_worst": max(abs(case.share) for case in cases["truth plain"]),
        "rim_levels": max(_by_mask(cases["truth ours"], lambda case: case.rim_levels).values()),
        "plain_rim_levels": max(_by_mask(cases["truth plain"], lambda case: case.rim_levels).values()),
        **{f"tone_left_{how}": sum(a for a, _ in kept) / sum(b for _, b in kept) for how, kept in drifts.items()},
    }
    for who in ("classical ours", "classical plain", "truth ours", "truth plain", "coded ours"):
        for name, share in _pooled(cases[who]).items():
            figures[f"{who} {name}".replace(" ", "_")] = share
    ours = cases["classical ours"]
    notes = (
        f"{len({case.photo for case in ours})} crops of {options.size}² px, {len(ours)} pairs of stroke and mask",
        "every byte outside the masks was kept",
    )
    return Report("halo", rounded(figures), BOUNDS, notes)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph (h, w, 3), and what is drawn on it."""

    number: int
    truth: Pixels
    layers: list[Stroke]

    def cases(self, mask: str, result: Pixels, truth: Pixels) -> list[Case]:
        """What is left of each stroke that can be seen."""
        error = result.astype(np.float32) - truth
        smooth = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), SMOOTH_PX)
        found: list[Case] = []
        for layer in self.layers:
            stroke = layer.full(smooth) - smooth
            solid = (layer.coverage >= 0.5 * layer.coverage.max()).astype(np.uint8)
            distance = np.rint(cv2.distanceTransform(1 - solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
            rings = [distance == ring for ring in RING_PX]
            contrast = float(np.sqrt(np.square(stroke[np.isin(distance, RING_PX)]).sum(axis=1).mean()))
            if contrast >= LEAST_CONTRAST:
                shares = tuple(_share(error[ring], stroke[ring]) for ring in rings)
                whole = np.isin(distance, RING_PX)
                energy = float(np.square(stroke[whole]).sum())
                found.append(Case(self.number, mask, layer.name, _share(error[whole], stroke[whole]), shares, contrast, energy))
        return found


def _share(error: F32, stroke: F32) -> float:
    """The projection of the one on the other, as a share of the latter, over all pixels (n, 3)."""
    return float((error * stroke).sum() / np.square(stroke).sum())


async def _removed(before: Pixels, mask: Pixels, model: Model, job: str) -> Pixels:
    result = await filled(before, mask, model, JOBS[job])
    if not np.array_equal(result[mask == 0], before[mask == 0]):
        raise AssertionError("a pixel outside the mask was changed")
    return result


async def _drift(before: Pixels, mask: Pixels, truth: Pixels, seed: int, *, is_pasted: bool) -> tuple[float, float]:
    """Mean error in tone under the mask, after and before matching, levels: truth off by a gain, an offset and a slope."""
    draw = np.random.default_rng(seed)
    gain = 1 + draw.uniform(-DRIFT_GAIN, DRIFT_GAIN)
    slope = np.linspace(-1, 1, truth.shape[1])[None, :, None] * draw.uniform(-DRIFT_SLOPE, DRIFT_SLOPE)
    off = truth * gain + draw.uniform(-DRIFT_LEVELS, DRIFT_LEVELS, 3) + slope
    drifted = np.clip(np.rint(off), 0, 255).astype(np.uint8)

    def model(image: Pixels, told: Pixels) -> Pixels:
        return np.where(told[:, :, None] > 0, drifted, image) if is_pasted else drifted

    hole = mask > 0
    errors: list[float] = []
    for job in ("ours", "plain"):
        error = (await _removed(before, mask, model, job)).astype(np.float32) - truth
        tone = cv2.GaussianBlur(error * hole[:, :, None], (0, 0), 4.0)[hole]
        share = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 4.0)[hole]
        errors.append(float(np.abs(tone / share[:, None]).mean()))
    return errors[0], errors[1]


def _by_mask(cases: list[Case], of: Callable[[Case], float]) -> dict[str, float]:
    """The mean of a figure for each kind of mask."""
    return {name: _mean(of(case) for case in cases if case.mask == name) for name in dict.fromkeys(case.mask for case in cases)}


def _pooled(cases: list[Case]) -> dict[str, float]:
    """For each kind of mask, the projection over all pixels of all photographs and strokes at once."""
    return {
        name: sum(case.share * case.energy for case in cases if case.mask == name)
        / sum(case.energy for case in cases if case.mask == name)
        for name in dict.fromkeys(case.mask for case in cases)
    }


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def _covered(layers: list[Stroke]) -> F32:
    """Where anything is drawn, 0 to 1."""
    return 1 - np.prod([1 - layer.coverage for layer in layers], axis=0, dtype=np.float32)


def _coded(picture: Pixels) -> Pixels:
    """After JPEG, at JPEG_QUALITY and 4:2:0: a stroke rings for a block, its colour bleeds for two pixels."""
    with BytesIO() as file:
        Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))


def _crops(options: argparse.Namespace) -> Iterator[Pixels]:
    """A square from the middle of each photograph in the folder, or squares side by side from the one that ships."""
    size: int = options.size
    if options.folder is None:
        photo = photograph()
        places = [(y, x) for y in range(0, photo.shape[0] - size + 1, size) for x in range(0, photo.shape[1] - size + 1, size)]
        yield from (photo[y : y + size, x : x + size] for y, x in places[: options.photographs])
        return
    for path in sorted(options.folder.iterdir())[: options.photographs]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        y, x = ((length - size) // 2 for length in pixels.shape[:2])
        if min(y, x) >= 0:
            yield pixels[y : y + size, x : x + size]


def _remembering(fill: Model) -> Model:
    """The same answer for the same question, asked by ours and by the peer."""
    answers: dict[tuple[bytes, bytes], Pixels] = {}

    def model(image: Pixels, mask: Pixels) -> Pixels:
        key = image.tobytes(), (mask > 0).tobytes()
        if key not in answers:
            answers[key] = fill(image, mask)
        return answers[key]

    return model


def _panel(pictures: Sequence[Pixels], result: Pixels, truth: Pixels) -> Pixels:
    """Where the result errs most, VIEW_PX² of each picture side by side, four times as large."""
    error = np.abs(result.astype(np.float32) - truth).sum(axis=2)
    y, x = np.unravel_index(np.argmax(cv2.boxFilter(error, -1, (9, 9))), error.shape)
    top, left = (int(np.clip(at - VIEW_PX // 2, 0, length - VIEW_PX)) for at, length in zip((y, x), error.shape, strict=True))
    views = [np.atleast_3d(picture)[top : top + VIEW_PX, left : left + VIEW_PX] for picture in pictures]
    row = np.concatenate([np.broadcast_to(view, (VIEW_PX, VIEW_PX, 3)) for view in views], axis=1)
    return row.repeat(4, axis=0).repeat(4, axis=1)
