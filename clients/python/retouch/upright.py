"""The eight EXIF orientations: how stored pixels are turned to stand upright (Exif 2.32, tag 0x0112)."""

import re
from typing import TypeVar

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from retouch.geometry import Size

ORIENTATION_TAG = 0x0112
TRANSPOSING = frozenset({5, 6, 7, 8})  # height and width change places
STREAMABLE = frozenset({1, 2})  # rows stay where they are
Scalar = TypeVar("Scalar", bound=np.generic)

_PILLOW = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_size(stored: Size, orientation: int) -> Size:
    """The size once the orientation was applied."""
    return Size(stored.width, stored.height) if orientation in TRANSPOSING else stored


def upright_array(array: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """A view of (height, width, …) that stands upright."""
    if orientation in TRANSPOSING:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array[:, ::-1] if orientation in (2, 3, 6, 7) else array


def upright_pillow(image: Image.Image, orientation: int) -> Image.Image:
    """A copy that stands upright, or the image itself where it does already."""
    return image.transpose(_PILLOW[orientation]) if orientation in _PILLOW else image


def upright_vips(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """The image standing upright. Needs random access for orientations that are not STREAMABLE."""
    if orientation in (2, 4):
        return image.fliphor() if orientation == 2 else image.flipver()
    turned = {3: image.rot180, 5: image.rot90, 6: image.rot90, 7: image.rot90, 8: image.rot270}.get(orientation)
    if turned is None:
        return image
    upright = turned()
    if orientation == 5:
        return upright.fliphor()
    return upright.flipver() if orientation == 7 else upright


def parse_orientation(value: object) -> int | None:
    """An orientation tag's value; None where there is none or it makes no sense."""
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet that says that the pixels stand upright, of the same length."""
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>))[1-8]", rb"\g<1>1", xmp)
