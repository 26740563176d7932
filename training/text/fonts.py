"""The fonts that text is drawn in, from Debian packages (training/README.md lists them), by script and by split.

Families held back for development ("dev") are never trained on, nor is any other name of the same outlines: Arimo, Tinos and
Cousine are Liberation's, so they stand nowhere.
"""

from functools import cache
from pathlib import Path

from PIL import ImageFont

ROOT = Path("/usr/share/fonts")

TRAIN = {
    "latin": (
        "truetype/dejavu/*.ttf",
        "truetype/liberation/*.ttf",
        "truetype/freefont/FreeS*.ttf",
        "truetype/noto/NotoSans-*.ttf",
        "truetype/noto/NotoSerif-*.ttf",
        "truetype/noto/NotoSansMono-*.ttf",
        "truetype/lato/*.ttf",
        "truetype/comfortaa/*.ttf",
        "opentype/cantarell/*.otf",
        "opentype/linux-libertine/LinLibertine_R*.otf",
    ),
    "cyrillic": (
        "truetype/dejavu/*.ttf",
        "truetype/liberation/*.ttf",
        "truetype/freefont/FreeS*.ttf",
        "truetype/noto/NotoSans-*.ttf",
        "truetype/noto/NotoSerif-*.ttf",
        "truetype/comfortaa/*.ttf",
    ),
    "cjk": ("opentype/noto/NotoSansCJK-*.ttc", "truetype/arphic/uming.ttc"),
    "arabic": (
        "truetype/noto/NotoSansArabic-*.ttf",
        "truetype/noto/NotoNaskhArabic-*.ttf",
        "truetype/kacst/Kacst[BNOPT]*.ttf",
    ),
    "devanagari": ("truetype/noto/NotoSansDevanagari-*.ttf", "truetype/samyak/*.ttf"),
}
DEV = {
    "latin": ("truetype/open-sans/*.ttf", "truetype/roboto/**/Roboto-*.ttf", "opentype/lobster/*.otf"),
    "cyrillic": ("truetype/open-sans/*.ttf", "truetype/roboto/**/Roboto-*.ttf"),
    "cjk": ("truetype/wqy/*.ttc", "opentype/noto/NotoSerifCJK-*.ttc"),
    "arabic": ("opentype/fonts-hosny-amiri/Amiri-*.ttf", "truetype/noto/NotoKufiArabic-*.ttf"),
    "devanagari": ("truetype/lohit-devanagari/*.ttf", "truetype/noto/NotoSerifDevanagari-*.ttf"),
}
SPLITS = {"train": TRAIN, "dev": DEV}


@cache
def files(split: str, script: str) -> tuple[tuple[Path, ...], ...]:
    """The font files of each family, so that a family is drawn before one of its weights. FileNotFoundError if too few."""
    families = [tuple(sorted(ROOT.glob(pattern))) for pattern in SPLITS[split][script]]
    found = tuple(family for family in families if family)
    if len(found) < 2:
        raise FileNotFoundError(f"fewer than two families for {script} ({split}): install the packages of training/README.md")
    return found


@cache
def font(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    """The font at `size_px` per em, shaped by raqm, which Arabic and Devanagari need."""
    return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.RAQM)
