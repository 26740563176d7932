"""Measures text_removal beside cv2.inpaint: `python -m training.text.evaluate`.

What is served is measured, by its own files, on windows with overlays in fonts that were held back, drawn on photographs
that were held back; and on the same photographs without any. cv2's inpainting is handed the true strokes, and so, once, is the
fill that is served: what lies between that row and the first is the price of strokes missed and invented.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.evaluate import Options, Picture, Table
from training.served import classical, loaded
from training.text import ocr
from training.text.detection import detector
from training.text.generator import Sample, sample

U8 = NDArray[np.uint8]
Remove = Callable[[U8, U8], tuple[U8, U8]]
"""image [H, W, 3], mask [H, W, 1] -> result [H, W, 3], strokes [H, W, 1]; uint8."""

SEED, WINDOW_PX, WINDOWS = 2026, 512, 30
PEERS = {"cv2 Telea, true strokes": cv2.INPAINT_TELEA, "cv2 Navier-Stokes, true strokes": cv2.INPAINT_NS}
GROWN_PX, RADIUS_PX = 2, 3
SHOWN = ("0025_orange-hallway", "0032_the-spices-of-life", "0021_kitten-on-lawn", "0029_singaporean-cityscape")
"""CC0 photographs of the development set that the comparison pictures are drawn on."""


@dataclass
class Figures:
    """Sums over the windows. PSNR in dB over whole windows that hold an overlay."""

    psnr: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    iou: list[float] = field(default_factory=list)
    common: int = 0
    either: int = 0
    letters_left: int = 0

    def add(self, drawn: Sample, result: U8, strokes: NDArray[np.bool_]) -> None:
        difference = np.square(result.astype(np.float32) - drawn.clean)
        self.psnr.append(float(10 * np.log10(255**2 / max(1e-3, difference.mean()))))
        self.error.append(float(difference[drawn.strokes].mean()))
        common, either = int((strokes & drawn.strokes).sum()), int((strokes | drawn.strokes).sum())
        self.common, self.either = self.common + common, self.either + either
        self.iou.append(common / either)


def served(repository: Path) -> Remove:
    """The text_removal of the repository, by the files that serve it, with the detector and the fill that it calls."""
    folder = repository / "text_removal" / "1"
    removal, find = loaded(folder / "removal.py"), loaded(folder / "strokes.py").StrokeFinder(folder)
    fill = classical(repository)
    detect = detector(repository).probability

    def remove(image: U8, mask: U8) -> tuple[U8, U8]:
        done = removal.remove_text(image, mask, detect, find, fill)
        return done.result, done.strokes

    return remove


def full_mask(image: U8) -> U8:
    return np.full((*image.shape[:2], 1), 255, np.uint8)


def photographs(folder: Path) -> list[U8]:
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".webp", ".jpg", ".png"})
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def windows_with_text(photos: list[U8], count: int) -> list[Sample]:
    """`count` windows in which the overlay changed at least 0.1 % of the pixels."""
    drawn = (sample(photos, "dev", SEED, index, WINDOW_PX, text_share=1.0) for index in range(10 * count))
    kept = (each for each in drawn if each.strokes.mean() > 0.001)
    return [next(kept) for _ in range(count)]


def told(method: int) -> Callable[[Sample], U8]:
    """cv2.inpaint with the true strokes, grown by GROWN_PX: they blur into their surroundings."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * GROWN_PX + 1,) * 2)
    return lambda drawn: cv2.inpaint(drawn.composited, cv2.dilate(drawn.strokes.astype(np.uint8), kernel), RADIUS_PX, method)


def fill_told(repository: Path) -> Callable[[Sample], U8]:
    """The fill that is served, with the true strokes and the pixel beside them for its hole."""
    fill = classical(repository)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))

    def restore(drawn: Sample) -> U8:
        filled = fill(drawn.composited, cv2.dilate(drawn.strokes.astype(np.uint8), kernel))
        return np.where(drawn.strokes[..., None], filled, drawn.composited)

    return restore


def touched_share(remove: Remove, photos: list[U8], most: int) -> float:
    """Share of the pixels of text-free photographs that are taken for strokes, all of them allowed."""
    touched = pixels = 0
    for photo in photos:
        spots = [(y, x) for y in range(0, photo.shape[0], WINDOW_PX) for x in range(0, photo.shape[1], WINDOW_PX)]
        for y, x in spots[:: max(1, round(len(spots) / most))]:
            window = photo[y : y + WINDOW_PX, x : x + WINDOW_PX]
            touched += int((remove(window, full_mask(window))[1] > 0).sum())
            pixels += window.shape[0] * window.shape[1]
    return touched / pixels


def measure(remove: Remove, drawn: list[Sample], reader: ocr.Reader, before: list[list[ocr.Line]]) -> Figures:
    figures = Figures()
    for each, lines in zip(drawn, before, strict=True):
        result, strokes = remove(each.composited, full_mask(each.composited))
        figures.add(each, result, strokes[..., 0] > 0)
        if lines:
            figures.letters_left += ocr.still_read(lines, reader.lines(result), each.strokes.shape)
    return figures


def restored(restore: Callable[[Sample], U8], drawn: list[Sample]) -> Figures:
    """Of a method that is told the true strokes."""
    figures = Figures()
    for each in drawn:
        figures.add(each, restore(each), each.strokes)
    return figures


def evaluate(options: Options) -> Table:
    """The table of the text_removal that ships."""
    remove = served(options.repository)
    photos = photographs(options.data / "photos" / "dev")
    drawn = windows_with_text(photos, WINDOWS // 10 if options.quick else WINDOWS)
    reader = ocr.Reader()
    before = [ocr.overlay_lines(reader.lines(each.composited), each.strokes) for each in drawn]
    letters = sum(len(line.text) for lines in before for line in lines)
    ours = measure(remove, drawn, reader, before)
    touched = touched_share(remove, photos, 2 if options.quick else 6)
    rows = [_row("text_removal", ours)]
    rows[0][4:] = [f"{ours.letters_left} of {letters}", f"{100 * touched:.2f} %"]
    peers = {name: restored(told(method), drawn) for name, method in PEERS.items()}
    bound = {"text_removal's fill, true strokes": restored(fill_told(options.repository), drawn)}
    for name, figures in (peers | bound).items():
        rows.append([name, float(np.mean(figures.psnr)), _rms(figures), "-", "-", "-"])
    best = max(float(np.mean(figures.psnr)) for figures in peers.values())
    iou, share, gain = ours.common / ours.either, ours.letters_left / max(1, letters), float(np.mean(ours.psnr)) - best
    return Table(
        "text_removal",
        f"{len(drawn)} windows of {WINDOW_PX} px: development photographs, held-back fonts, five scripts, 10 to 200 px, "
        f"half of them through JPEG (seed {SEED}); a full mask. The peers are told the true strokes, grown by {GROWN_PX} px.",
        ("method", "PSNR, dB", "RMS in the strokes", "stroke IoU", "letters still read", "text-free pixels touched"),
        rows,
        (
            (f"stroke IoU {iou:.3f}, asked for 0.85", iou >= 0.85),
            (f"{100 * share:.1f} % of the letters still read, asked for at most 3 %", share <= 0.03),
            (f"{gain:+.2f} dB against the best peer, asked for +3 dB", gain >= 3),
            (f"{100 * touched:.2f} % of text-free pixels touched, asked for at most 0.5 %", touched <= 0.005),
        ),
        pictures(remove, options) if not options.quick else (),
    )


def _rms(figures: Figures) -> float:
    return float(np.sqrt(np.mean(figures.error)))


def _row(name: str, figures: Figures) -> list[str | float]:
    iou = f"{figures.common / figures.either:.3f} (mean of windows {np.mean(figures.iou):.3f})"
    return [name, float(np.mean(figures.psnr)), _rms(figures), iou, "", ""]


def pictures(remove: Remove, options: Options) -> tuple[Picture, ...]:
    """For some photographs: with its overlay, cleaned, by Telea with the true strokes, as it was."""
    made = []
    for index, name in enumerate(SHOWN):
        (path,) = (options.data / "photos" / "dev").glob(f"{name}*")
        photo = np.asarray(Image.open(path).convert("RGB"))
        drawn = next(
            each
            for number in range(1000)
            if 0.03 < (each := sample([photo], "dev", SEED + 1 + index, number, 320, text_share=1.0)).strokes.mean() < 0.2
        )
        cleaned, _ = remove(drawn.composited, full_mask(drawn.composited))
        row = np.hstack([drawn.composited, cleaned, told(cv2.INPAINT_TELEA)(drawn), drawn.clean])
        Image.fromarray(row).save(options.pictures / f"text_removal_{index}.webp", quality=88)
        made.append(
            Picture(
                f"text_removal_{index}.webp",
                f"With overlay; text_removal; Telea, told the strokes; the photograph. {credit(options.data, path.name)}",
            )
        )
    return tuple(made)


def credit(data: Path, name: str) -> str:
    """Title, author where known, licence and its record, from LICENCES.csv."""
    with (data / "LICENCES.csv").open() as listed:
        (row,) = (row for row in csv.DictReader(listed) if Path(row["file"]).name == name)
    title = Path(name).stem.split("_", 1)[1].replace("-", " ")
    return f'Photograph: "{title}", {row["author"] or "author not recorded"}, {row["licence"]} ({row["record"]}).'


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
