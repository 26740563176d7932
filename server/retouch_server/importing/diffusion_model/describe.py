"""A hole filled by a diffusers inpainting pipeline (latent diffusion: Rombach et al., CVPR 2022) as a prompt describes it.

What the hole holds is not seen: the mean of its surroundings takes its place, and the whole way from noise is gone. The same
inputs and seed give the same bytes on one machine: noise is drawn on the CPU, whatever the pipeline runs on.
"""
# pyright: basic, reportMissingImports=false

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # all there is lies in the folder

import numpy as np
import torch
from diffusers import AutoPipelineForInpainting
from PIL import Image


class Describer:
    """The pipeline in `folder`, run for `steps` steps."""

    def __init__(self, folder, steps, device="cpu"):
        precision = torch.float32 if device == "cpu" else torch.float16
        self._pipeline = AutoPipelineForInpainting.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, torch_dtype=precision
        ).to(device)
        self._pipeline.set_progress_bar_config(disable=True)
        self._steps = steps

    @property
    def window_px(self):
        """The side of the pictures that the pipeline was made for."""
        network = getattr(self._pipeline, "unet", None) or self._pipeline.transformer
        return int(network.config.sample_size) * int(self._pipeline.vae_scale_factor)

    def fill(self, image, mask, prompt, seed):
        """image [H,W,3], mask [H,W,1] uint8 → [H,W,3] uint8, the image where the mask is 0."""
        hole = mask > 0
        if not hole.any():
            return image
        kept = image[~hole[:, :, 0]]
        around = kept.mean(axis=0).round().astype(np.uint8) if kept.size else np.full(3, 128, np.uint8)
        height, width = image.shape[:2]
        answer = self._pipeline(
            prompt=prompt,
            image=Image.fromarray(np.where(hole, around, image)),
            mask_image=Image.fromarray(np.where(hole[:, :, 0], np.uint8(255), np.uint8(0))),
            height=height,
            width=width,
            strength=1.0,
            num_inference_steps=self._steps,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
        )
        if any(getattr(answer, "nsfw_content_detected", None) or ()):
            raise ValueError("the model's own safety checker refused what it drew; choose another prompt or seed")
        drawn = np.floor(np.clip(answer.images[0], 0, 1) * 255 + 0.5).astype(np.uint8)
        return np.where(hole, drawn, image)
