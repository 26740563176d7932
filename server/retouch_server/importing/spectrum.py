"""Fourier transforms of real pictures as products with real matrices.

ONNX has no complex numbers, and its DFT operator is missing in some runtimes. Where a network goes to the spectrum and back
(fast Fourier convolutions: Chi, Jiang, Mu, NeurIPS 2020) its features are at an eighth of the picture's size, where a product
with a matrix of cosines costs less than the convolutions beside it.
"""
# pyright: basic, reportMissingImports=false

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch


class Spectrum:
    """Complex numbers as a pair of real tensors: as much of a complex tensor as networks ask of one."""

    def __init__(self, real: Any, imag: Any) -> None:
        self.real = real
        self.imag = imag

    def __mul__(self, other: Any) -> "Spectrum":
        if isinstance(other, Spectrum):
            real = self.real * other.real - self.imag * other.imag
            return Spectrum(real, self.real * other.imag + self.imag * other.real)
        return Spectrum(self.real * other, self.imag * other)


def rfft2(pixels: Any, s: None = None, dim: Any = (-2, -1), norm: str | None = None) -> Spectrum:
    """As torch.fft.rfft2 over the last two dimensions: (…, h, w) → (…, h, w // 2 + 1)."""
    _check(dim, norm)
    height, width = pixels.shape[-2:]
    cos, sin = _waves(width, width // 2 + 1, width, pixels)
    real, imag = pixels @ cos, -(pixels @ sin)
    cos, sin = _waves(height, height, height, pixels)
    share = _share(height, width, pixels) if norm == "ortho" else 1.0
    return Spectrum((cos @ real + sin @ imag) * share, (cos @ imag - sin @ real) * share)


def irfft2(spectrum: Spectrum, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Any:
    """As torch.fft.irfft2, with the size `s` = (h, w) given: (…, h, w // 2 + 1) → (…, h, w)."""
    _check(dim, norm)
    if s is None:
        raise NotImplementedError("irfft2 without a size")
    height, width = s
    cos, sin = _waves(height, height, height, spectrum.real)
    real, imag = cos @ spectrum.real - sin @ spectrum.imag, cos @ spectrum.imag + sin @ spectrum.real
    cos, sin = _waves(width // 2 + 1, width, width, spectrum.real)
    column = torch.arange(width // 2 + 1)
    # Column k stands for column w - k as well, unless they are the same.
    count = torch.where((column == 0) | (2 * column == width), 1.0, 2.0)[:, None]
    share = _share(height, width, spectrum.real)
    return (real @ (cos * count) - imag @ (sin * count)) * (share if norm == "ortho" else share * share)


@contextmanager
def in_real_numbers() -> Generator[None]:
    """Within, torch's transforms of real pictures, and torch.complex, are the ones above."""
    fft: Any = torch.fft
    saved = fft.rfftn, fft.irfftn, fft.rfft2, fft.irfft2, torch.complex
    fft.rfftn = fft.rfft2 = rfft2
    fft.irfftn = fft.irfft2 = irfft2
    torch.complex = Spectrum
    try:
        yield
    finally:
        fft.rfftn, fft.irfftn, fft.rfft2, fft.irfft2, torch.complex = saved


def _waves(rows: Any, columns: Any, period: Any, like: Any) -> tuple[Any, Any]:
    # The angle's multiples of a turn are taken off as integers, where nothing is lost.
    steps = torch.arange(rows)[:, None] * torch.arange(columns)[None] % period
    angle = steps.to(like.dtype) * (2 * torch.pi / period)
    return torch.cos(angle), torch.sin(angle)


def _share(height: Any, width: Any, like: Any) -> Any:
    return torch.rsqrt(torch.as_tensor(height * width, dtype=like.dtype))


def _check(dim: Any, norm: str | None) -> None:
    if tuple(dim) != (-2, -1) or norm not in (None, "backward", "ortho"):
        raise NotImplementedError(f"a Fourier transform over {dim} with norm {norm!r}")
