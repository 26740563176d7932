"""Triton model inpaint_diffusion: holes drawn by diffusion over the window's own patches. See sampler.py and README.md."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from refiner import Refiner
from sampler import fill
from wire import answered, array_of, image_and_mask, picture


class TritonPythonModel:
    """Answers with the window whose pixels under mask > 0 are drawn; stateless."""

    def initialize(self, args):
        """Load the network that lies beside this file."""
        self._refine = Refiner(Path(__file__).parent, flipped=True)

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        image, mask = image_and_mask(request)
        guide = _optional(request, "guide", image.shape)
        if guide.shape[:2] != image.shape[:2]:
            raise ValueError(f"image is {list(image.shape[:2])} px and guide {list(guide.shape[:2])} px; they must agree")
        guide_px = pb_utils.get_input_tensor_by_name(request, "guide_px")
        reference = _optional(request, "reference", (1, 1))
        seed = int(array_of(pb_utils.get_input_tensor_by_name(request, "seed"))[0])
        filled = fill(image, mask, guide, reference, 1 if guide_px is None else int(array_of(guide_px)[0]), seed)
        return {"result": self._refine(filled, mask, guide)}


def _optional(request, name, shape):
    """The input `name` as [H,W,4] uint8; zeros of `shape`, which tell nothing, where it was left out."""
    if pb_utils.get_input_tensor_by_name(request, name) is None:
        return np.zeros((*shape[:2], 4), np.uint8)
    return picture(request, name, 4)
