"""Pictures and masks to try a model on, the same in each run."""

import numpy as np

from retouch_server.importing.source import U8


def noise(height: int, width: int, seed: int = 0) -> U8:
    """(height, width, 3): every value by itself, all equally likely."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def photograph_like(height: int, width: int, seed: int = 0) -> U8:
    """(height, width, 3): what photographs have in common: a spectrum of 1/f (Field, JOSA A 1987), edges, grain."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    layers: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    for _ in range(4):
        phase = rng.uniform(0, 2 * np.pi, frequency.shape)
        layer = np.fft.irfft2(np.exp(1j * phase) / frequency, s=(height, width))
        layers.append((layer - layer.mean()) / max(float(layer.std()), 1e-9))
    luma, red, blue, shape = layers
    luma = luma + 1.2 * (shape > 0.3)  # surfaces that end in an edge
    colour = np.stack([luma + 0.3 * red, luma, luma + 0.3 * blue], axis=2)
    grain = rng.normal(0, 2, (height, width, 3))
    return np.clip(118 + 42 * colour + grain, 0, 255).astype(np.uint8)


def discs(height: int, width: int, radius_px: int = 8) -> U8:
    """(height, width, 1): holes (255) on a grid, over half of the area, so that there is one at any distance."""
    pitch = 5 * radius_px // 2
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y % pitch - pitch / 2, x % pitch - pitch / 2) <= radius_px
    return np.where(inside, 255, 0).astype(np.uint8)[:, :, None]
