"""How close a result is to the truth: PSNR and SSIM by scikit-image, LPIPS by its authors' package."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouch.errors import InvalidInputError

Picture = NDArray[np.uint8]
PEAK = 255
BEST_DB = 99.0
"""PSNR of equal pictures, which has no finite value."""


class Measures:
    """The measures that can be had here. `lpips_missing` says why LPIPS cannot, and is empty where it can.

    Errors: InvalidInputError when scikit-image is not installed.
    """

    def __init__(self) -> None:
        try:
            self._ssim: Any = import_module("skimage.metrics").structural_similarity
        except ImportError as error:
            raise InvalidInputError("profiling needs scikit-image: pip install 'retouch[profile]'") from error
        self.lpips_missing = ""
        try:
            self._torch: Any = import_module("torch")
            self._lpips: Any = import_module("lpips").LPIPS(net="alex", verbose=False).eval()
        except Exception as error:  # a build of torchvision that does not fit torch raises what it likes
            self.lpips_missing = f"LPIPS is not measured ({type(error).__name__}): pip install 'retouch[lpips]'"

    def psnr_db(self, result: Picture, truth: Picture, mask: NDArray[np.bool_] | None = None) -> float:
        """Peak signal to noise, dB, of RGB pictures (h, w, 3); where `mask` (h, w) holds, everywhere without one."""
        error = (result.astype(np.float32) - truth) ** 2
        mean = float((error if mask is None else error[mask]).mean())
        return BEST_DB if mean == 0 else min(BEST_DB, 10 * float(np.log10(PEAK**2 / mean)))

    def ssim(self, result: Picture, truth: Picture, mask: NDArray[np.bool_] | None = None) -> float:
        """Structural similarity (Wang et al. 2004: Gaussian window, sigma 1.5), -1 to 1; its mean over `mask`."""
        if min(truth.shape[:2]) < 11:
            raise InvalidInputError("SSIM needs pictures of at least 11×11 px")
        options = {"channel_axis": 2, "data_range": PEAK, "gaussian_weights": True, "use_sample_covariance": False}
        value, each = self._ssim(result, truth, full=True, **options)
        return float(value if mask is None else each[mask].mean())

    def lpips(self, result: Picture, truth: Picture, mask: NDArray[np.bool_] | None = None) -> float | None:
        """Learned perceptual distance (Zhang et al. 2018, AlexNet), 0 = equal; of the box around `mask`. None: no `lpips`."""
        if self.lpips_missing:
            return None
        if mask is not None:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = _box(rows, truth.shape[0]), _box(columns, truth.shape[1])
            result, truth = result[box], truth[box]
        with self._torch.inference_mode():
            tensors = [self._tensor(picture) for picture in (result, truth)]
            return float(self._lpips(*tensors).item())

    def _tensor(self, picture: Picture) -> Any:
        scaled = np.ascontiguousarray(picture.transpose(2, 0, 1)[None]).astype(np.float32) / 127.5 - 1
        return self._torch.from_numpy(scaled)


LEAST_BOX_PX = 64
"""AlexNet's features need that much."""


def _box(indices: NDArray[np.intp], length: int) -> slice:
    """The span of `indices`, grown to `LEAST_BOX_PX` within [0, length)."""
    start, stop = int(indices[0]), int(indices[-1]) + 1
    missing = max(0, LEAST_BOX_PX - (stop - start))
    start = max(0, min(start - missing // 2, length - (stop - start) - missing))
    return slice(start, min(length, max(stop, start + LEAST_BOX_PX)))
