"""Measures what a `config.pbtxt` states of an exported upscaler: `python -m training.upscale.probe --scale 2`.

Receptive field (by changing one pixel), time for each window size on one thread, difference of tiled from untiled.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.upscale.evaluate import Upscale, onnx_upscaler

HALO_PX = 24


def receptive_field_px(upscale: Upscale, scale: int) -> int:
    """The greatest distance, in input pixels, at which changing one pixel changed an output pixel.

    The output is 8 bits, so faint influence at the rim is lost in any one picture: 200 noise pictures with the pixel
    thrown from black to white give a lower bound that comes near to what counting the layers gives.
    """
    rng = np.random.default_rng(0)
    side, centre, reach = 49, 24, 0
    for _ in range(200):
        before = rng.integers(0, 256, (side, side, 3), np.uint8)
        after = before.copy()
        before[centre, centre], after[centre, centre] = 0, 255
        changed = np.argwhere((upscale(before) != upscale(after)).any(axis=2)) // scale
        reach = max(reach, int(np.abs(changed - centre).max()))
    return reach


def tiled(image: NDArray[np.uint8], upscale: Upscale, scale: int, window_px: int) -> NDArray[np.uint8]:
    """The picture by windows that overlap by 2 * HALO_PX, each giving only its core."""
    core_px = window_px - 2 * HALO_PX
    height, width = image.shape[:2]
    result = np.zeros((height * scale, width * scale, 3), np.uint8)
    for y in range(0, height, core_px):
        for x in range(0, width, core_px):
            top, left = max(0, y - HALO_PX), max(0, x - HALO_PX)
            window = image[top : y + core_px + HALO_PX, left : x + core_px + HALO_PX]
            core = upscale(window)[(y - top) * scale :, (x - left) * scale :][: core_px * scale, : core_px * scale]
            result[y * scale :, x * scale :][: core.shape[0], : core.shape[1]] = core
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--photo", type=Path, required=True, help="for the tiled / untiled comparison")
    options = parser.parse_args()
    upscale = onnx_upscaler(options.repository / f"upscale_conservative_x{options.scale}" / "1" / "model.onnx")
    print("receptive field, measured:", receptive_field_px(upscale, options.scale), "px")

    photo = np.asarray(Image.open(options.photo).convert("RGB"))
    whole = upscale(photo).astype(np.int16)
    for window_px in (256, 384, 512):
        window = np.random.default_rng(0).integers(0, 256, (window_px, window_px, 3), np.uint8)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            upscale(window)
            seconds.append(time.perf_counter() - started)
        core_megapixels = (window_px - 2 * HALO_PX) ** 2 / 1e6
        difference = np.abs(tiled(photo, upscale, options.scale, window_px) - whole)
        print(
            f"window {window_px} px: {min(seconds) * 1e3:.0f} ms, {core_megapixels / min(seconds):.2f} Mpx of core/s"
            f"; tiled - untiled: greatest {difference.max()}, share of values {np.mean(difference > 0):.1e}"
        )


if __name__ == "__main__":
    main()
