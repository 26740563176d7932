"""PSNR-Y on B100 of the exported models beside bicubic and Lanczos: `python -m training.upscale.evaluate`.

Measures the ONNX files that ship, through ONNX Runtime, so rounding to 8 bits counts. Low resolution by antialiased
bicubic, luma by BT.601, a border of `scale` pixels left out.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from training.imaging import downscale, psnr_y

Upscale = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def onnx_upscaler(path: Path, threads: int = 1) -> Upscale:
    """uint8 [H, W, 3] -> uint8 [H * scale, W * scale, 3], the whole picture in one call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda low: session.run(["result"], {"image": low[None]})[0][0]


def pillow_upscaler(scale: int, resampling: Image.Resampling) -> Upscale:
    def upscale(low: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = (low.shape[1] * scale, low.shape[0] * scale)
        return np.asarray(Image.fromarray(low).resize(size, resampling))

    return upscale


def mean_psnr_y(pictures: list[NDArray[np.uint8]], scale: int, upscale: Upscale) -> float:
    """Mean over the pictures of PSNR-Y in dB."""
    figures = []
    for picture in pictures:
        height, width = (side // scale * scale for side in picture.shape[:2])
        truth = picture[:height, :width]
        figures.append(psnr_y(upscale(downscale(truth, scale)), truth, scale))
    return float(np.mean(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--folder", default="b100", help="another folder of the data, such as photos/dev")
    options = parser.parse_args()
    paths = sorted(path for path in (options.data / options.folder).iterdir() if path.suffix in {".jpg", ".webp"})
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    print(f"PSNR-Y in dB, {len(pictures)} pictures of {options.folder}\nscale  bicubic  lanczos     ours")
    for scale in (2, 4):
        path = options.repository / f"upscale_conservative_x{scale}" / "1" / "model.onnx"
        bicubic = mean_psnr_y(pictures, scale, pillow_upscaler(scale, Image.Resampling.BICUBIC))
        lanczos = mean_psnr_y(pictures, scale, pillow_upscaler(scale, Image.Resampling.LANCZOS))
        ours = f"{mean_psnr_y(pictures, scale, onnx_upscaler(path)):7.2f}" if path.exists() else "absent"
        print(f"x{scale}     {bicubic:7.2f}  {lanczos:7.2f}  {ours:>7}")


if __name__ == "__main__":
    main()
