"""Resampling and measures that the published upscaling figures rest on. NumPy only."""

import numpy as np
from numpy.typing import NDArray


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = -0.5 (Keys, IEEE TASSP 1981), as MATLAB's `imresize` uses it."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def downscale(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Antialiased bicubic reduction by a whole number: MATLAB's `imresize(image, 1/scale)`.

    uint8 [H, W, C] -> uint8 [H/scale, W/scale, C]. The kernel is stretched by `scale`, so an output pixel is a weighted
    sum of 4 * scale inputs a side; edges are mirrored (the edge pixel repeated), as there. Rounds half up, once.

    >>> int(downscale(np.full((8, 8, 3), 77, np.uint8), 2).max())
    77
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"{width}x{height} is not a multiple of {scale}: crop it first")
    taps = np.arange(4 * scale)
    weights = cubic((taps + 0.5) / scale - 2)
    weights = (weights / weights.sum()).astype(np.float32)
    before = (3 * scale) // 2  # taps that lie before the output pixel's own block of `scale` inputs
    reduced = image.astype(np.float32)
    for axis in (0, 1):
        pads = [(0, 0)] * image.ndim
        pads[axis] = (before, 4 * scale - scale - before)
        padded = np.moveaxis(np.pad(reduced, pads, mode="symmetric"), axis, 0)
        count = image.shape[axis] // scale
        total = sum(w * padded[t : t + count * scale : scale] for t, w in zip(taps, weights, strict=True))
        reduced = np.moveaxis(total, 0, axis)
    return np.floor(np.clip(reduced, 0, 255) + 0.5).astype(np.uint8)


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """BT.601 luma in studio range (16-235): uint8 [H, W, 3] RGB -> float64 [H, W]; MATLAB's `rgb2ycbcr`, unrounded."""
    return 16 + image.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def psnr_y(result: NDArray[np.uint8], truth: NDArray[np.uint8], border_px: int) -> float:
    """PSNR in dB on BT.601 luma, peak 255, a border of `border_px` left out."""
    inner = slice(border_px, -border_px or None)
    error = luma(result)[inner, inner] - luma(truth)[inner, inner]
    return float(10 * np.log10(255**2 / np.mean(error**2)))
