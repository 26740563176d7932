"""Averages over squares of pixels: what of a picture changes slowly costs a sixteenth on them."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Floats = NDArray[np.floating]
"""Of any width: numpy's own arithmetic is typed no narrower. What comes of OpenCV is float32."""
Kind = TypeVar("Kind", bound=np.generic)

CELL_PX = 4


def padded(pixels: NDArray[Kind]) -> NDArray[Kind]:
    """(h, w, …) with its last row and column repeated until both sides are multiples of CELL_PX."""
    below, right = -pixels.shape[0] % CELL_PX, -pixels.shape[1] % CELL_PX
    return np.pad(pixels, ((0, below), (0, right), *((0, 0),) * (pixels.ndim - 2)), "edge") if below or right else pixels


def cells(pixels: Floats, side: int = CELL_PX) -> F32:
    """The mean of each square of side × side px, (h / side, w / side, …); both lengths are multiples of `side`."""
    size = (pixels.shape[1] // side, pixels.shape[0] // side)
    means = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32).reshape(size[1], size[0], *pixels.shape[2:])


def spread(values: Floats, shape: tuple[int, ...]) -> F32:
    """Values of squares as a picture of shape (h, w), bilinear between their centres."""
    picture = cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(picture, np.float32).reshape(*shape[:2], *values.shape[2:])


def box_mean(values: Floats, radius: int) -> F32:
    """The mean over the square of 2 · radius + 1 around each; beyond the border lies 0."""
    side = (2 * radius + 1,) * 2
    return np.asarray(cv2.boxFilter(values, -1, side, borderType=cv2.BORDER_CONSTANT), np.float32).reshape(values.shape)
