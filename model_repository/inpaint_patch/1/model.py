"""Triton model inpaint_patch: holes filled by another model, and the fill corrected. See refiner.py and README.md."""

import json
from pathlib import Path

import triton_python_backend_utils as pb_utils
from refiner import Refiner
from wire import answered, array_of, called, image_and_mask

PASSED_ON = ("image", "mask", "guide", "guide_px", "reference")


class TritonPythonModel:
    """Composes the model named in config.pbtxt (fill_model) and a network, inside Triton (business logic scripting)."""

    def initialize(self, args):
        """Read the name of the model to call; load the network that lies beside this file."""
        self._fill_model = json.loads(args["model_config"])["parameters"]["fill_model"]["string_value"]
        self._refine = Refiner(Path(__file__).parent)

    def execute(self, requests):
        """One answer per request, in their order. A request at fault, or cancelled, does not touch the others."""
        return [answered(self._answer, request) for request in requests]

    def _answer(self, request):
        _, mask = image_and_mask(request)
        given = {name: pb_utils.get_input_tensor_by_name(request, name) for name in PASSED_ON}
        inputs = {name: array_of(tensor) for name, tensor in given.items() if tensor is not None}
        return {"result": self._refine(called(request, self._fill_model, **inputs), mask, inputs.get("guide"))}
