"""What the learned inpainter is measured against. Each: image uint8 [H, W, 3], mask uint8 [H, W] -> uint8 [H, W, 3]."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Fill = Callable[[U8, U8], U8]


def telea(image: U8, mask: U8) -> U8:
    """Telea, "An Image Inpainting Technique Based on the Fast Marching Method", 2004; OpenCV, radius 3."""
    return np.asarray(cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA), np.uint8)


def navier_stokes(image: U8, mask: U8) -> U8:
    """Bertalmio, Bertozzi, Sapiro, CVPR 2001; OpenCV, radius 3."""
    return np.asarray(cv2.inpaint(image, mask, 3, cv2.INPAINT_NS), np.uint8)


def biharmonic(image: U8, mask: U8) -> U8:
    """Damelin and Hoang, "On Surface Completion and Image Inpainting by Biharmonic Functions", 2018; scikit-image."""
    from skimage.restoration import inpaint_biharmonic

    filled = inpaint_biharmonic(image, mask > 0, channel_axis=2, split_into_regions=True)
    return np.round(np.clip(filled, 0, 1) * 255).astype(np.uint8)


def fsr(quality: str) -> Fill:
    """Frequency selective reconstruction (Genser et al., PCS 2018) of opencv-contrib; quality "FAST" or "BEST"."""
    if not hasattr(cv2, "xphoto"):
        raise ImportError("this OpenCV has no xphoto: install opencv-contrib-python-headless in its place")
    mode = getattr(cv2.xphoto, f"INPAINT_FSR_{quality}")

    def fill(image: U8, mask: U8) -> U8:
        filled = np.zeros_like(image)
        cv2.xphoto.inpaint(image, 255 - mask, filled, mode)
        return filled

    return fill


def classical(repository: Path) -> Fill:
    """Our own inpaint_classical, straight from its file."""
    return _module(repository, "inpaint_classical", "exemplar").fill


def diffusion(repository: Path, seed: int) -> Fill:
    """Our own inpaint_diffusion, straight from its files, without a guide."""
    draw = _module(repository, "inpaint_diffusion", "sampler").fill

    def fill(image: U8, mask: U8) -> U8:
        nothing = np.zeros((*mask.shape, 4), np.uint8)
        return draw(image, mask[:, :, None], nothing, nothing[:1, :1], 1, seed)

    return fill


def _module(repository: Path, model: str, name: str) -> Any:
    """A file of a model's, its neighbours importable, as Triton's stub imports it."""
    folder = repository / model / "1"
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / f"{name}.py")
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def exported(path: Path, threads: int = 1) -> Fill:
    """The ONNX file, without a guide."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def fill(image: U8, mask: U8) -> U8:
        guide = np.zeros((*mask.shape, 4), np.uint8)
        return session.run(["result"], {"image": image[None], "mask": mask[None, :, :, None], "guide": guide[None]})[0][0]

    return fill
