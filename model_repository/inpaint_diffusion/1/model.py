"""Triton model inpaint_diffusion: holes drawn by diffusion over the window's own patches. See sampler.py and README.md."""

from pathlib import Path

import triton_python_backend_utils as pb_utils
from refiner import Refiner
from sampler import fill
from wire import answered, array_of, guidance, image_and_mask


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
        guide, guide_px, reference = guidance(request, image)
        seed = int(array_of(pb_utils.get_input_tensor_by_name(request, "seed"))[0])
        return {"result": self._refine(fill(image, mask, guide, reference, guide_px, seed), mask, guide)}
