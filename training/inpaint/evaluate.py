"""inpaint_patch beside its classical peers: `python -m training.inpaint.evaluate`, or through training.evaluate.

Windows of 512 px from photographs that nothing was trained on, with strokes, blobs and boxes over 1 to 25 % of each.
Both measures look at the hole only: PSNR over its pixels; LPIPS (AlexNet, v0.1) of the window with the hole filled,
divided by the hole's share of the window, since outside the hole both pictures are equal.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from training.evaluate import Options, Picture, Table
from training.inpaint import peers
from training.inpaint.masks import KINDS, hole
from training.perceptual import load_lpips
from training.served import U8, Fill, classical, patch

NAME = "inpaint_patch"
WINDOW_PX = 512
SEED = 20261122
SLOW_EVERY = 8  # FSR at its best takes minutes for a window: every eighth only
SHOWN = (("0021_kitten-on-lawn", (700, 500)), ("0096_museum", (300, 500)))


@dataclass(frozen=True)
class Window:
    """One thing to fill. truth [512, 512, 3], mask [512, 512], 255 in the hole."""

    photo: str
    kind: str
    truth: U8
    mask: U8


@dataclass(frozen=True)
class Figure:
    """How one method did on one window."""

    kind: str
    psnr: float
    lpips: float
    seconds: float


def windows(photos: Path, count_per_kind: int = 1, every: int = 1) -> list[Window]:
    """For each photograph and kind of hole `count_per_kind` windows, the same ones every time."""
    found = []
    for index, path in enumerate(sorted(photos.iterdir())[::every]):
        photo = np.asarray(Image.open(path).convert("RGB"))
        rng = np.random.default_rng((SEED, index))
        for kind in KINDS * count_per_kind:
            y, x = (int(rng.integers(side - WINDOW_PX + 1)) for side in photo.shape[:2])
            mask = hole(rng, WINDOW_PX, kind, rng.uniform(0.01, 0.25))
            found.append(Window(path.stem, kind, photo[y : y + WINDOW_PX, x : x + WINDOW_PX].copy(), mask))
    return found


class Lpips:
    """LPIPS v0.1 on AlexNet of two uint8 pictures."""

    def __init__(self, folder: Path) -> None:
        self.metric = load_lpips(folder, "alex")

    def __call__(self, one: U8, other: U8) -> float:
        planes = (torch.from_numpy(np.moveaxis(picture, 2, 0)[None] / np.float32(127.5) - 1) for picture in (one, other))
        return float(self.metric(*planes))


def measure(fill: Fill, over: Iterable[Window], lpips: Lpips) -> list[Figure]:
    figures = []
    for window in over:
        is_hole = window.mask > 0
        shown = np.where(is_hole[:, :, None], 0, window.truth).astype(np.uint8)
        started = time.perf_counter()
        filled = fill(shown, window.mask)
        seconds = time.perf_counter() - started
        filled = np.where(is_hole[:, :, None], filled, window.truth).astype(np.uint8)
        error = filled[is_hole].astype(np.float64) - window.truth[is_hole]
        psnr = 10 * np.log10(255**2 / max(np.mean(error**2), 1e-2))
        figures.append(Figure(window.kind, float(psnr), lpips(filled, window.truth) / float(is_hole.mean()), seconds))
    return figures


def _mean(figures: list[Figure], measure_name: str, kind: str = "") -> float:
    return float(np.mean([getattr(figure, measure_name) for figure in figures if kind in ("", figure.kind)]))


def _row(name: str, figures: list[Figure]) -> list[str | float]:
    by_kind = [f"{_mean(figures, 'lpips', kind):.3f} / {_mean(figures, 'psnr', kind):.2f}" for kind in KINDS]
    overall = [_mean(figures, "lpips"), f"{_mean(figures, 'psnr'):.2f}"]
    return [name, *overall, *by_kind, f"{float(np.median([figure.seconds for figure in figures])):.2f}"]


def evaluate(options: Options) -> Table:
    """The table; pictures of two windows, all methods side by side, into options.pictures."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    lpips = Lpips(options.data / "lpips")
    over = windows(options.data / "photos" / "dev", every=6 if options.quick else 1)
    some = slice(None, None, SLOW_EVERY)  # 3 does not divide the step, so all kinds of hole come up
    published: dict[str, Fill] = {
        "Telea (OpenCV)": peers.telea,
        "Navier-Stokes (OpenCV)": peers.navier_stokes,
        "biharmonic (scikit-image)": peers.biharmonic,
        "FSR, fast (opencv-contrib)": peers.fsr("FAST"),
    }
    methods = published | {"inpaint_classical": classical(options.repository), NAME: patch(options.repository)}
    figures = {name: measure(fill, over, lpips) for name, fill in methods.items()}
    slow = measure(peers.fsr("BEST"), over[some], lpips)
    rows = [_row(name, of) for name, of in figures.items()] + [_row(f"FSR, best, {len(slow)} windows", slow)]
    ours = figures[NAME]
    rows.append(_row(f"{NAME}, the same windows", ours[some]))
    goals = _goals(ours, [figures[each] for each in published], "")
    goals += _goals(ours[some], [slow], f", beside FSR's best on {len(slow)} windows")
    return Table(
        NAME,
        f"{len(over)} windows of {WINDOW_PX} x {WINDOW_PX} from {len(over) // len(KINDS)} photographs (photos/dev), holes of"
        " 1 to 25 %. LPIPS (AlexNet) and PSNR in dB count in the hole only; by kind of hole LPIPS / PSNR; seconds: median for"
        " a window, one core.",
        ["method", "LPIPS", "PSNR", *KINDS, "seconds"],
        rows,
        goals,
        [_picture(options, index, methods) for index in range(len(SHOWN))],
    )


def _goals(ours: list[Figure], theirs: list[list[Figure]], where: str) -> list[tuple[str, bool]]:
    """What issue 3 asks, against the best of the peers by each measure."""
    ratio = _mean(ours, "lpips") / min(_mean(figures, "lpips") for figures in theirs)
    psnr, best_psnr = _mean(ours, "psnr"), max(_mean(figures, "psnr") for figures in theirs)
    return [
        (f"LPIPS at most 0.75 x the best classical peer's{where}: {ratio:.3f} x", ratio <= 0.75),
        (f"PSNR no lower than the best peer's{where}: {psnr:.2f} against {best_psnr:.2f} dB", psnr >= best_psnr),
    ]


def _picture(options: Options, index: int, methods: dict[str, Fill]) -> Picture:
    """One window at 1:1: what is given, every method's fill, the truth."""
    name, (y, x) = SHOWN[index]
    photo = np.asarray(Image.open(options.data / "photos" / "dev" / f"{name}.webp").convert("RGB"))
    truth = photo[y : y + 256, x : x + 256].copy()
    mask = hole(np.random.default_rng((SEED, index)), 256, KINDS[1 + index], 0.12)
    is_hole = mask[:, :, None] > 0
    shown = np.where(is_hole, 0, truth).astype(np.uint8)
    fills = [np.where(is_hole, fill(shown, mask), truth) for fill in methods.values()]
    file = f"{NAME}_{index}.webp"
    Image.fromarray(np.hstack([np.where(is_hole, 128, truth), *fills, truth]).astype(np.uint8)).save(
        options.pictures / file, quality=90
    )
    return Picture(file, f"Given, {', '.join(methods)}, truth. Photograph: photos/dev/{name}, CC0.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Options.data)
    parser.add_argument("--repository", type=Path, default=Options.repository)
    parser.add_argument("--pictures", type=Path, default=Options.pictures)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    given.pictures.mkdir(parents=True, exist_ok=True)
    print(evaluate(Options(given.data, given.repository, given.pictures, given.quick)).markdown())


if __name__ == "__main__":
    main()
