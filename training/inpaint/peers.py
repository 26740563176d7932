"""What the learned inpainter is measured against. Each: image uint8 [H, W, 3], mask uint8 [H, W] -> uint8 [H, W, 3]."""

import cv2
import numpy as np

from training.served import U8, Fill


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
