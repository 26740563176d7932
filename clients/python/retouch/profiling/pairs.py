"""Labelled pairs in a folder.

DIR/input/NAME.*     what an edit gets
DIR/truth/NAME.*     what it should give: ×1, ×2 or ×4 the size of the input
DIR/mask/NAME.*      what is to be filled, where the pair is about inpainting (truth and input of one size)
DIR/labels.csv       optional, lines `NAME,label`: results are also told by label
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from retouch.errors import InvalidInputError

UNLABELLED = "all"


@dataclass(frozen=True, slots=True)
class Pair:
    """An input and its truth; `mask` where the pair is about inpainting, else `scale` is 2 or 4."""

    name: str
    input: Path
    truth: Path
    mask: Path | None
    scale: int
    label: str


def find_pairs(folder: Path) -> list[Pair]:
    """The pairs in `folder`, by name. Errors: InvalidInputError naming the file and what is wrong with it."""
    inputs, truths, masks = (_by_stem(folder / name) for name in ("input", "truth", "mask"))
    labels = _labels(folder / "labels.csv")
    if not inputs:
        raise InvalidInputError(f"{folder} has no pictures in {folder / 'input'}; see `retouch profile --help` for the layout")
    pairs: list[Pair] = []
    for name, path in sorted(inputs.items()):
        if name not in truths:
            raise InvalidInputError(f"{path} has no truth: expected {folder / 'truth' / name} with any extension")
        mask = masks.get(name)
        scale = _scale(path, truths[name])
        if (scale == 1) != (mask is not None):
            wanted = f"a mask in {folder / 'mask'}" if scale == 1 else "no mask, since its truth is larger"
            raise InvalidInputError(f"{path}: a pair of scale {scale} needs {wanted}")
        pairs.append(Pair(name, path, truths[name], mask, scale, labels.get(name, UNLABELLED)))
    return pairs


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        if path.stem in found:
            raise InvalidInputError(f"{path} and {found[path.stem]} have one name; rename one")
        found[path.stem] = path
    return found


def _labels(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(newline="") as lines:
        rows = [row for row in csv.reader(lines) if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise InvalidInputError(f"{path} line {number}: expected NAME,label")
    return {name.strip(): label.strip() for name, label in rows}


def _scale(path: Path, truth: Path) -> int:
    (width, height), (wide, high) = _size(path), _size(truth)
    for scale in (1, 2, 4):
        if (wide, high) == (width * scale, height * scale):
            return scale
    raise InvalidInputError(f"{truth} has {high}×{wide} px, which is not 1, 2 or 4 times {path} with {height}×{width} px")


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"{path} cannot be read as a picture: {error}") from error
