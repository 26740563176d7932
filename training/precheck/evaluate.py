"""Measures the precheck beside an edge-density and variance heuristic: `python -m training.precheck.evaluate`.

Area under the ROC curve: text on development photographs and held-back fonts, texture on development photographs and on
originals of 6000 px, whose proxies are 1 : 5.6.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.evaluate import Options, Table
from training.precheck.regions import Item, ring, text_item, texture_item
from training.precheck.routing import Routing, measure
from training.served import loaded, patch
from training.text.evaluate import photographs

Judge = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float32]]
SEED, TEXT_ITEMS, TEXTURE_ITEMS = 2026, 600, 600
STRONG_GRADIENT = 60.0


def served(repository: Path) -> Judge:
    """The model that ships, through the file that serves it."""
    folder = repository / "precheck" / "1"
    model = loaded(folder / "scores.py").Precheck(folder / "model.onnx")
    return lambda image, region: model.scores(image, region[..., None].view(np.uint8))


def heuristic(image: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Text: share of the region with a steep gradient. Texture: log variance of the Laplacian in the ring."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steepness = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 4
    laplacian = cv2.Laplacian(grey, cv2.CV_32F)
    return np.array([(steepness[region] > STRONG_GRADIENT).mean(), np.log(laplacian[ring(region)].var() + 1e-3)], np.float32)


def area_under_roc(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The probability that a true item scores above a false one (Mann and Whitney, 1947); ties count half."""
    order = np.sort(scores[~truth])
    below = np.searchsorted(order, scores[truth], "left") + np.searchsorted(order, scores[truth], "right")
    return float(below.mean() / (2 * len(order)))


def judged(judge: Judge, items: list[Item], which: int) -> NDArray[np.float32]:
    return np.array([judge(each.image, each.region)[which] for each in items])


def milliseconds(judge: Judge) -> float:
    """Processor time for a proxy of 1024 x 683 with all of it masked; the median of 9."""
    image = np.random.default_rng(0).integers(0, 256, (683, 1024, 3), np.uint8)
    region, times = np.ones(image.shape[:2], bool), []
    for _ in range(9):
        started = time.process_time()
        judge(image, region)
        times.append(1e3 * (time.process_time() - started))
    return float(np.median(times))


def evaluate(options: Options) -> Table:
    share = 10 if options.quick else 1
    dev = photographs(options.data / "photos" / "dev")
    large = photographs(options.data / "photos" / "highres")
    text = [text_item(dev, "dev", SEED, i) for i in range(TEXT_ITEMS // share)]
    rng = np.random.default_rng(SEED)
    texture = [texture_item(rng, dev, 2.0) for _ in range(TEXTURE_ITEMS // share)]
    texture_large = [texture_item(rng, large, 5.6) for _ in range(TEXTURE_ITEMS // 2 // share)]
    truths = [np.array([each.answer for each in items]) for items in (text, texture, texture_large)]
    rows, reached = [], []
    judges = {"precheck": served(options.repository), "edge density, variance": heuristic}
    for name, judge in judges.items():
        scores = [judged(judge, items, which) for items, which in ((text, 0), (texture, 1), (texture_large, 1))]
        areas = [area_under_roc(each, truth) for each, truth in zip(scores, truths, strict=True)]
        right = [float(((each > 0.5) == truth).mean()) for each, truth in zip(scores, truths, strict=True)]
        at_half = ", ".join(f"{share:.2f}" for share in right) if name == "precheck" else "-"
        rows.append([name, *areas, at_half, f"{milliseconds(judge):.1f}"])
        reached.append(areas)
    ours, spent = reached[0], float(rows[0][-1])
    fill = patch(options.repository)
    trials = measure(dev, fill, lambda image, region: float(judges["precheck"](image, region)[1]), 1 if options.quick else 3)
    routing = Routing.by(trials)
    lost = routing.full - routing.routed
    return Table(
        "precheck",
        f"{len(text)} regions of proxies for text ({truths[0].mean():.0%} hold it), {len(texture)} for texture at 1 : 2 "
        f"({truths[1].mean():.0%} too fine), {len(texture_large)} of the originals at 1 : 5.6 ({truths[2].mean():.0%}). "
        "Routing: inpaint_patch on holes in 320 px of the development photographs, mean SSIM "
        f"{routing.full:.4f} always at full size, {routing.half:.4f} always at half size, {routing.routed:.4f} routed "
        f"({routing.sent_to_full:.0%} at full size).",
        (
            "method",
            "AUC text",
            "AUC texture",
            "AUC texture, originals",
            "right at 0.5 (text, texture, originals)",
            "ms, one core",
        ),
        rows,
        (
            (f"AUC of text {ours[0]:.3f}, asked for 0.98", ours[0] >= 0.98),
            (f"AUC of texture {ours[1]:.3f}, asked for 0.98", ours[1] >= 0.98),
            (
                f"routing costs {lost:.4f} SSIM and saves {routing.saved:.0%} of the time; asked for 0.005 and 40 %",
                lost <= 0.005 and routing.saved >= 0.4,
            ),
            (f"{spent:.1f} ms for 1024 x 683, all of it masked; asked for at most 15 ms", spent <= 15),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Options.data)
    parser.add_argument("--repository", type=Path, default=Options.repository)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(evaluate(Options(given.data, given.repository, quick=given.quick)).markdown())


if __name__ == "__main__":
    main()
