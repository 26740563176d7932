"""The upscalers on B100 beside bicubic and Lanczos; called by `python -m training.evaluate upscale`.

Measures the ONNX files that ship, through ONNX Runtime, so rounding to 8 bits counts. Low resolution by antialiased
bicubic, luma by BT.601, a border of `scale` pixels left out.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image

from training.evaluate import Options, Picture, Table
from training.imaging import downscale, psnr_y
from training.perceptual import load_lpips
from training.upscale.network import macs_per_input_pixel

Pixels = NDArray[np.uint8]
Upscale = Callable[[Pixels], Pixels]
SHOWN = "photos/dev/0026_perched-osprey.webp"
LEAST_PSNR_DB = {2: 31.9, 4: 27.3}
LEAST_LPIPS_GAIN = 0.12
LEAST_AGREEMENT_DB = 30.0


@dataclass(frozen=True)
class Figures:
    """Means over the pictures; `least_agreement_db` is the worst picture's."""

    psnr_y_db: float
    lpips: float
    agreement_db: float
    least_agreement_db: float


def onnx_upscaler(path: Path, threads: int = 1) -> Upscale:
    """uint8 [H, W, 3] -> uint8 [H * scale, W * scale, 3], the whole picture in one call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda low: session.run(["result"], {"image": low[None]})[0][0]


def pillow_upscaler(scale: int, resampling: Image.Resampling) -> Upscale:
    return lambda low: np.asarray(Image.fromarray(low).resize((low.shape[1] * scale, low.shape[0] * scale), resampling))


def candidates(repository: Path, scale: int) -> dict[str, Upscale]:
    """The peers and what ships, by name."""
    resamplings = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}
    found = {name: pillow_upscaler(scale, resampling) for name, resampling in resamplings.items()}
    for method in ("conservative", "creative"):
        path = repository / f"upscale_{method}_x{scale}" / "1" / "model.onnx"
        if path.exists():
            found[method] = onnx_upscaler(path)
    return found


def lpips_alex(data: Path) -> Callable[[Pixels, Pixels], float]:
    """LPIPS v0.1 on AlexNet features (Zhang et al., CVPR 2018)."""
    metric = load_lpips(data / "lpips", "alex")

    def tensor(pixels: Pixels) -> torch.Tensor:
        return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)

    return lambda result, truth: float(metric(tensor(result), tensor(truth)))


def measure(pictures: list[Pixels], scale: int, upscale: Upscale, lpips: Callable[[Pixels, Pixels], float]) -> Figures:
    """PSNR-Y and LPIPS against the truth; agreement is the PSNR of the shrunken result against the input."""
    rows = []
    for picture in pictures:
        truth = cropped(picture, scale)
        low = downscale(truth, scale)
        result = upscale(low)
        error = float(np.mean((downscale(result, scale).astype(np.float64) - low) ** 2))
        rows.append((psnr_y(result, truth, scale), lpips(result, truth), 10 * np.log10(255**2 / max(error, 1e-6))))
    means = np.mean(rows, axis=0)
    return Figures(*(float(mean) for mean in means), min(row[2] for row in rows))


def cropped(picture: Pixels, scale: int) -> Pixels:
    height, width = (side // scale * scale for side in picture.shape[:2])
    return picture[:height, :width]


def evaluate(options: Options) -> Table:
    """Both methods at both scales, and a picture of each scale."""
    paths = sorted((options.data / "b100").glob("*.jpg"))[:: 10 if options.quick else 1]
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    lpips = lpips_alex(options.data)
    rows: list[list[str | float]] = []
    goals: list[tuple[str, bool]] = []
    for scale in (2, 4):
        found = {
            name: measure(pictures, scale, upscale, lpips) for name, upscale in candidates(options.repository, scale).items()
        }
        for name, figures in found.items():
            cost = f"{macs_per_input_pixel(scale) / 1000:.0f}" if name.startswith("c") else "-"
            rows.append([f"×{scale}", name, figures.psnr_y_db, figures.lpips, figures.agreement_db, cost])
        goals += _goals(scale, found)
    return Table(
        "Upscalers",
        f"{len(pictures)} pictures of B100. PSNR on luma in dB; LPIPS with AlexNet (less is better); agreement: PSNR in dB of "
        "the shrunken result against the input. Published PSNR at ×2 / ×4: FSRCNN 31.53 / 26.98, IMDN 32.19 / 27.56.",
        ("scale", "upscaler", "PSNR-Y", "LPIPS", "agreement", "kMAC per input px"),
        rows,
        goals,
        [_comparison(options, scale) for scale in (2, 4)],
    )


def _goals(scale: int, found: Mapping[str, Figures]) -> list[tuple[str, bool]]:
    goals = []
    if "conservative" in found:
        reached = found["conservative"].psnr_y_db
        wanted = LEAST_PSNR_DB[scale]
        goals.append((f"conservative ×{scale}: PSNR-Y {reached:.2f} dB, asked {wanted} dB", reached >= wanted))
    if "creative" in found:
        gain = found["conservative"].lpips - found["creative"].lpips
        if scale == 4:
            told = f"creative ×4: LPIPS {gain:.3f} below conservative, asked {LEAST_LPIPS_GAIN}"
            goals.append((told, gain >= LEAST_LPIPS_GAIN))
        least = found["creative"].least_agreement_db
        told = f"creative ×{scale}: agreement of the worst picture {least:.1f} dB, asked {LEAST_AGREEMENT_DB:.0f} dB"
        goals.append((told, least >= LEAST_AGREEMENT_DB))
    return goals


def _comparison(options: Options, scale: int) -> Picture:
    """A crop of a free photograph: nearest pixels, bicubic, conservative, creative, truth, each enlarged to 3:1."""
    path, credit = _credited(options.data, SHOWN)
    side = 160
    truth = np.asarray(Image.open(path).convert("RGB").resize((1440, 960), Image.Resampling.BICUBIC))[400:560, 640:800]
    low = downscale(cropped(truth, scale), scale)
    shown = [low.repeat(scale, axis=0).repeat(scale, axis=1)]
    shown += [make(low) for name, make in candidates(options.repository, scale).items() if name != "Lanczos"]
    shown.append(truth)
    strip = np.hstack(shown)
    file = f"upscale_x{scale}.webp"
    enlarged = Image.fromarray(strip).resize((strip.shape[1] * 2, side * 2), Image.Resampling.NEAREST)
    enlarged.save(options.pictures / file, quality=90)
    names = ["input", *(name for name in candidates(options.repository, scale) if name != "Lanczos"), "truth"]
    return Picture(file, f"×{scale}, at 2:1: {', '.join(names)}. {credit}")


def _credited(data: Path, file: str) -> tuple[Path, str]:
    """A photograph that may be shown, and its credit. Errors: LookupError when it is not free of conditions."""
    with (data / "LICENCES.csv").open(newline="") as lines:
        row = next(row for row in csv.DictReader(lines) if row["file"] == file)
    if not row["licence"].startswith(("CC0", "Public domain")):
        raise LookupError(f"{file} is under {row['licence']}")
    return data / file, f"Photograph: {row['author'] or 'unknown author'}, {row['licence']}."
